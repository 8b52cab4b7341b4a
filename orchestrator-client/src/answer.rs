//! What came back beside the body: the validator, whether it was a replay, the trace.

use std::fmt;

use http::header::{ETAG, HeaderMap};
use orchestrator_types::TraceId;

/// The validator of a thing that changes: hand it back as `If-Match`, and the change is refused (412) if somebody else
/// was faster.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ETag(String);

impl ETag {
    /// The validator as the header has it, quotes included.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// As the header has it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ETag {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// An answer's body, and what its headers tell.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Answer<T> {
    /// The body.
    pub body: T,
    /// Its validator, where it has one.
    pub etag: Option<ETag>,
    /// Whether this is the first answer given again for the same idempotency key.
    pub replayed: bool,
    /// The trace of the request.
    pub trace_id: Option<TraceId>,
}

impl<T> Answer<T> {
    pub(crate) fn new(body: T, headers: &HeaderMap) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        Self {
            body,
            etag: text(ETAG.as_str()).map(ETag::new),
            replayed: text("idempotency-replayed") == Some("true"),
            trace_id: trace_id(headers),
        }
    }
}

/// The trace that an answer names.
pub(crate) fn trace_id(headers: &HeaderMap) -> Option<TraceId> {
    headers.get("trace-id")?.to_str().ok()?.parse().ok()
}
