//! The numbers of a breaker, one by one.

use std::sync::Arc;
use std::time::Duration;

use orchestrator_types::BreakerPolicy;

use super::CircuitBreaker;

/// The calls that a breaker decides on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Span {
    Time(Duration),
    Calls(u32),
}

/// Makes a [`CircuitBreaker`]. What is not said is as in a policy without numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BreakerBuilder {
    pub(super) span: Span,
    pub(super) min_calls: u32,
    pub(super) failure_ratio: f64,
    pub(super) slow: Option<(Duration, f64)>,
    pub(super) open: Duration,
    pub(super) probes: u32,
}

impl Default for BreakerBuilder {
    fn default() -> Self {
        Self::from(&BreakerPolicy::default())
    }
}

impl From<&BreakerPolicy> for BreakerBuilder {
    fn from(policy: &BreakerPolicy) -> Self {
        Self {
            span: match policy.window_calls {
                Some(calls) => Span::Calls(calls),
                None => Span::Time(Duration::from_secs(policy.window_s)),
            },
            min_calls: policy.min_calls,
            failure_ratio: policy.failure_ratio,
            slow: policy.slow.as_ref().map(|slow| (Duration::from_millis(slow.over_ms), slow.ratio)),
            open: Duration::from_secs(policy.open_s),
            probes: policy.half_open_calls,
        }
    }
}

impl BreakerBuilder {
    /// The calls of the last `window` count.
    #[must_use]
    pub fn window(self, window: Duration) -> Self {
        Self { span: Span::Time(window), ..self }
    }

    /// The last `calls` calls count, however long ago they were.
    #[must_use]
    pub fn window_of_calls(self, calls: u32) -> Self {
        Self { span: Span::Calls(calls), ..self }
    }

    /// Fewer calls never open it; at least one.
    #[must_use]
    pub fn min_calls(self, min_calls: u32) -> Self {
        Self { min_calls, ..self }
    }

    /// The share of failures that opens it, above 0 and up to 1.
    #[must_use]
    pub fn failure_ratio(self, failure_ratio: f64) -> Self {
        Self { failure_ratio, ..self }
    }

    /// A call that takes longer than `over` is slow, and such a share of slow calls opens it.
    #[must_use]
    pub fn slow_calls(self, over: Duration, ratio: f64) -> Self {
        Self { slow: Some((over, ratio)), ..self }
    }

    /// How long it stays open.
    #[must_use]
    pub fn open_for(self, open: Duration) -> Self {
        Self { open, ..self }
    }

    /// How many calls are let through then; at least one.
    #[must_use]
    pub fn half_open_calls(self, probes: u32) -> Self {
        Self { probes, ..self }
    }

    /// A closed breaker with an empty window, to be shared.
    #[must_use]
    pub fn build(self) -> Arc<CircuitBreaker> {
        Arc::new(CircuitBreaker::of(&self))
    }
}
