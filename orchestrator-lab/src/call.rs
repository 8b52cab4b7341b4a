//! What goes through the stack: the request, how it fails at the upstream, and what that means for the policies.

use std::time::Duration;

use orchestrator_core::policy::{
    AttemptTimedOut, BreakerOpen, Class, Classify, ClassifyErrors, ConcurrencyLimited, DeadlineExceeded, PolicyRequest,
    RateLimited, Sent,
};
use tower::BoxError;

/// One call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call {
    pub(crate) idempotent: bool,
    pub(crate) timeout: Option<Duration>,
}

impl PolicyRequest for Call {
    fn idempotent(&self) -> bool {
        self.idempotent
    }

    fn deadline_cap(&self) -> Option<Duration> {
        self.timeout
    }
}

/// How the upstream did not do what it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UpstreamFailure {
    #[error("500")]
    Error,
    #[error("connection refused")]
    Refused,
    #[error("503")]
    Unavailable { retry_after: Option<Duration> },
    #[error("503: too many wait")]
    Overloaded,
    #[error("400")]
    Rejected,
}

/// As the engine classifies, for the answers that the upstream here gives.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ByAnswer;

impl Classify<(), BoxError> for ByAnswer {
    fn classify(&self, result: Result<&(), &BoxError>) -> Class {
        let Some(failure) = result.err().and_then(|error| error.downcast_ref()) else {
            return ClassifyErrors.classify(result);
        };
        match failure {
            UpstreamFailure::Refused => Class::Retryable { retry_after: None, sent: Sent::No },
            UpstreamFailure::Error | UpstreamFailure::Overloaded => {
                Class::Retryable { retry_after: None, sent: Sent::Maybe }
            }
            UpstreamFailure::Unavailable { retry_after } => {
                Class::Retryable { retry_after: *retry_after, sent: Sent::Maybe }
            }
            UpstreamFailure::Rejected => Class::Final,
        }
    }
}

/// How a call ended, as reports count it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    Succeeded,
    RateLimited,
    ConcurrencyLimited,
    BreakerOpen,
    Deadline,
    AttemptTimeout,
    Error,
    Refused,
    Unavailable,
    Overloaded,
    Rejected,
    Other,
}

impl Ending {
    pub(crate) const ALL: [Self; 12] = [
        Self::Succeeded,
        Self::RateLimited,
        Self::ConcurrencyLimited,
        Self::BreakerOpen,
        Self::Deadline,
        Self::AttemptTimeout,
        Self::Error,
        Self::Refused,
        Self::Unavailable,
        Self::Overloaded,
        Self::Rejected,
        Self::Other,
    ];

    pub(crate) fn of(result: &Result<(), BoxError>) -> Self {
        let Err(error) = result else { return Self::Succeeded };
        if let Some(failure) = error.downcast_ref() {
            return match failure {
                UpstreamFailure::Error => Self::Error,
                UpstreamFailure::Refused => Self::Refused,
                UpstreamFailure::Unavailable { .. } => Self::Unavailable,
                UpstreamFailure::Overloaded => Self::Overloaded,
                UpstreamFailure::Rejected => Self::Rejected,
            };
        }
        if error.is::<RateLimited>() {
            Self::RateLimited
        } else if error.is::<ConcurrencyLimited>() {
            Self::ConcurrencyLimited
        } else if error.is::<BreakerOpen>() {
            Self::BreakerOpen
        } else if error.is::<DeadlineExceeded>() {
            Self::Deadline
        } else if error.is::<AttemptTimedOut>() {
            Self::AttemptTimeout
        } else {
            Self::Other
        }
    }

    /// Whether a policy refused the call, rather than it failing.
    pub(crate) fn is_rejection(self) -> bool {
        matches!(self, Self::RateLimited | Self::ConcurrencyLimited | Self::BreakerOpen)
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::RateLimited => "rate_limited",
            Self::ConcurrencyLimited => "concurrency_limited",
            Self::BreakerOpen => "breaker_open",
            Self::Deadline => "deadline",
            Self::AttemptTimeout => "attempt_timeout",
            Self::Error => "upstream_500",
            Self::Refused => "connection_refused",
            Self::Unavailable => "upstream_503",
            Self::Overloaded => "upstream_overloaded",
            Self::Rejected => "upstream_400",
            Self::Other => "other",
        }
    }
}

/// How long a refusal asks its caller to stay away.
pub(crate) fn retry_after(result: &Result<(), BoxError>) -> Option<Duration> {
    let error = result.as_ref().err()?;
    if let Some(open) = error.downcast_ref::<BreakerOpen>() {
        return Some(open.retry_after);
    }
    if let Some(limited) = error.downcast_ref::<RateLimited>() {
        return Some(limited.retry_after);
    }
    if let Some(limited) = error.downcast_ref::<ConcurrencyLimited>() {
        return Some(limited.retry_after);
    }
    match error.downcast_ref() {
        Some(UpstreamFailure::Unavailable { retry_after }) => *retry_after,
        _ => None,
    }
}
