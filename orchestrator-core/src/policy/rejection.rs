//! What each layer says when it ends a call itself. Every layer asks of the inner service's error only that it can be
//! made `From` its own rejection, so one error type of the user serves the whole stack, and `tower::BoxError` does too.

use std::time::Duration;

/// The call did not end within its total deadline. Said by [`Deadline`](super::deadline::Deadline).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the call did not end within its total deadline")]
pub struct DeadlineExceeded;

/// The rate limit refused the call. Said by [`RateLimit`](super::rate_limit::RateLimit).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the rate limit is reached, a call may be admitted in {retry_after:?}")]
pub struct RateLimited {
    /// After how long a call may be admitted.
    pub retry_after: Duration,
}

/// Every place is taken, and the queue is full. Said by [`Concurrency`](super::concurrency::Concurrency).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the concurrency limit is reached and its queue is full")]
pub struct ConcurrencyLimited {
    /// After how long it is worth asking again.
    pub retry_after: Duration,
}

/// The circuit breaker is open: nothing was sent. Said by [`Breaker`](super::breaker::Breaker).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the circuit breaker is open, it lets a call through in {retry_after:?}")]
pub struct BreakerOpen {
    /// Until the breaker is half-open and lets probes through.
    pub retry_after: Duration,
}

/// The attempt did not end in its time. Said by [`AttemptTimeout`](super::attempt_timeout::AttemptTimeout).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the attempt did not end within its timeout")]
pub struct AttemptTimedOut;
