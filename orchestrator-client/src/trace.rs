//! Which trace a call belongs to, and how the server is told.

use std::fmt;

use fastrand::Rng;
use http::{HeaderMap, HeaderName, HeaderValue};
use orchestrator_types::TraceId;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// A place in a trace, as W3C Trace Context has it: the trace, the span within it, and what tracers add.
#[derive(Clone, PartialEq, Eq)]
pub struct TraceParent {
    trace: TraceId,
    header: HeaderValue,
    state: Option<HeaderValue>,
}

impl TraceParent {
    /// What a `traceparent` header says; `None` if it is not well formed.
    #[must_use]
    pub fn parse(traceparent: &str) -> Option<Self> {
        let trace = TraceId::from_traceparent(traceparent)?;
        Some(Self { trace, header: HeaderValue::from_str(traceparent).ok()?, state: None })
    }

    /// The span `span` of `trace`; `None` if the span's id is zero, which names none.
    #[must_use]
    pub fn new(trace: TraceId, span: u64, sampled: bool) -> Option<Self> {
        Self::parse(&format!("00-{trace}-{span:016x}-{:02x}", u8::from(sampled)))
    }

    /// With a `tracestate` beside it; one that no header can carry is left out.
    #[must_use]
    pub fn with_state(mut self, tracestate: &str) -> Self {
        self.state = HeaderValue::from_str(tracestate).ok().filter(|state| !state.is_empty());
        self
    }

    /// The trace.
    #[must_use]
    pub const fn trace_id(&self) -> TraceId {
        self.trace
    }

    pub(crate) fn write(&self, headers: &mut HeaderMap) {
        headers.insert(TRACEPARENT, self.header.clone());
        if let Some(state) = &self.state {
            headers.insert(TRACESTATE, state.clone());
        }
    }

    /// A place in `trace` that nobody else has.
    pub(crate) fn within(trace: TraceId) -> Option<Self> {
        Self::new(trace, Rng::new().u64(1..), true)
    }
}

impl fmt::Debug for TraceParent {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_tuple("TraceParent").field(&self.header).finish()
    }
}

/// Tells where in a trace the program is now: the bridge to whatever tracer it has.
///
/// It is asked once a call, within the call's own span. A closure is one. With `tracing-opentelemetry`:
///
/// ```text
/// let client = Client::builder(url).token(token).trace_context(|| {
///     let context = tracing::Span::current().context();
///     let span = context.span().span_context().clone();
///     let trace = TraceId::from_bits(u128::from_be_bytes(span.trace_id().to_bytes()));
///     TraceParent::new(trace, u64::from_be_bytes(span.span_id().to_bytes()), span.is_sampled())
/// });
/// ```
pub trait TraceContext: Send + Sync + 'static {
    /// Where the program is now; `None` if it is in no trace: the call begins one.
    fn current(&self) -> Option<TraceParent>;
}

impl<F: Fn() -> Option<TraceParent> + Send + Sync + 'static> TraceContext for F {
    fn current(&self) -> Option<TraceParent> {
        self()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_place_in_a_trace_is_told_as_it_is() {
        let trace = TraceId::from_bits(0xab);
        let place = TraceParent::new(trace, 7, false).unwrap().with_state("vendor=1");
        let mut headers = HeaderMap::new();
        place.write(&mut headers);
        assert_eq!(headers["traceparent"], format!("00-{trace}-0000000000000007-00"));
        assert_eq!((headers["tracestate"].to_str().unwrap(), place.trace_id()), ("vendor=1", trace));
    }

    #[test]
    fn what_names_no_place_is_none() {
        assert_eq!(TraceParent::new(TraceId::from_bits(1), 0, true), None);
        assert_eq!(TraceParent::parse("00-nonsense"), None);
        let plain = TraceParent::new(TraceId::from_bits(1), 1, true).unwrap();
        assert_eq!(plain.clone().with_state("a\nb"), plain);
    }
}
