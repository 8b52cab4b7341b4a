//! A call that did not succeed, in the words of the contract.

use std::time::Duration;

use orchestrator_types::{ErrorView, ExecutionId, TraceId};
use serde::{Deserialize, Serialize};

use super::call::CallFault;
use crate::connector::{CallError, CallErrorKind};
use crate::policy::RateLimitSnapshot;

/// Why a call did not succeed. Kept, as it is, for its idempotency key.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CallFailure {
    /// The execution.
    pub id: ExecutionId,
    /// Its code, in a sentence, and what the upstream answered.
    pub error: ErrorView,
    /// How many attempts reached for the upstream.
    pub attempts: u32,
    /// How long it took.
    pub duration_ms: u64,
    /// The trace.
    pub trace_id: TraceId,
    /// When to come back, in milliseconds.
    pub retry_after_ms: Option<u64>,
    /// How the rate limit stood.
    #[serde(skip)]
    pub rate_limit: Option<RateLimitSnapshot>,
}

impl CallFailure {
    /// The HTTP status that goes with the code.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self.error.code.as_str() {
            "rate_limited" | "concurrency_limited" => 429,
            "breaker_open" => 503,
            "timeout" => 504,
            "destination_forbidden" => 403,
            "payload_lost" => 410,
            _ => 502,
        }
    }

    /// When to come back.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after_ms.map(Duration::from_millis)
    }
}

impl CallFault {
    /// The fault by its code.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Call(error) => code(error.kind),
            Self::Deadline(_) | Self::Timeout(_) => "timeout",
            Self::Rate(_) => "rate_limited",
            Self::Concurrency(_) => "concurrency_limited",
            Self::Breaker(_) => "breaker_open",
        }
    }

    /// The fault in the words of the contract.
    pub(crate) fn view(&self) -> ErrorView {
        let detail = match self {
            Self::Call(error) => return error_view(error),
            Self::Deadline(_) => "the call did not end within its total deadline",
            Self::Timeout(_) => "the upstream did not answer within the attempt's timeout",
            Self::Rate(_) => "the rate limit of this connector is reached",
            Self::Concurrency(_) => "as many calls as this connector may have are in flight",
            Self::Breaker(_) => "the upstream failed too often: calls are held back for a while",
        };
        ErrorView { code: self.code().to_owned(), detail: detail.to_owned(), upstream: None }
    }

    /// When a policy lets calls through again.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Rate(limit) => Some(limit.retry_after),
            Self::Concurrency(limit) => Some(limit.retry_after),
            Self::Breaker(open) => Some(open.retry_after),
            Self::Call(_) | Self::Deadline(_) | Self::Timeout(_) => None,
        }
    }
}

/// An attempt's failure in the words of the contract.
pub(crate) fn error_view(error: &CallError) -> ErrorView {
    let code = code(error.kind).to_owned();
    ErrorView { code, detail: error.detail.clone(), upstream: error.upstream.clone() }
}

fn code(kind: CallErrorKind) -> &'static str {
    match kind {
        CallErrorKind::Rejected => "upstream_rejected",
        CallErrorKind::Failed => "upstream_failed",
        CallErrorKind::Unreachable => "upstream_unreachable",
        CallErrorKind::DestinationForbidden => "destination_forbidden",
        CallErrorKind::SecretUnavailable => "secret_unavailable",
        CallErrorKind::PayloadLost => "payload_lost",
    }
}
