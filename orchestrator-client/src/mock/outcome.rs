//! What a scripted call comes to.

use std::time::Duration;

use orchestrator_types::{ErrorView, UpstreamView};
use serde_json::Value;

use crate::code::ErrorCode;

/// What a scripted call comes to: an output (any JSON), or a failure by its code.
#[derive(Debug, Clone)]
pub struct Outcome {
    pub(super) result: Result<Value, Failure>,
    pub(super) delay: Duration,
}

#[derive(Debug, Clone)]
pub(super) struct Failure {
    pub(super) code: ErrorCode,
    pub(super) detail: String,
    pub(super) upstream: Option<UpstreamView>,
    pub(super) retry_after: Option<Duration>,
}

impl Outcome {
    /// The operation answers `output`.
    #[must_use]
    pub fn success(output: impl Into<Value>) -> Self {
        Self { result: Ok(output.into()), delay: Duration::ZERO }
    }

    /// The call fails with `code`.
    #[must_use]
    pub fn failure(code: ErrorCode) -> Self {
        let failure = Failure { detail: format!("the script says {code}"), code, upstream: None, retry_after: None };
        Self { result: Err(failure), delay: Duration::ZERO }
    }

    /// The upstream refuses for good (`upstream_rejected`) with this answer.
    #[must_use]
    pub fn rejected(status: u16, body: impl Into<Value>) -> Self {
        Self::failure(ErrorCode::UpstreamRejected).with_upstream(status, body)
    }

    /// With what the upstream answered last; of a failure only.
    #[must_use]
    pub fn with_upstream(mut self, status: u16, body: impl Into<Value>) -> Self {
        if let Err(failure) = &mut self.result {
            failure.upstream = Some(UpstreamView { status, body: body.into() });
        }
        self
    }

    /// With this `Retry-After` (whole seconds, at least 1); of a failure only.
    #[must_use]
    pub fn with_retry_after(mut self, wait: Duration) -> Self {
        if let Err(failure) = &mut self.result {
            failure.retry_after = Some(wait);
        }
        self
    }

    /// It takes so long.
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }
}

impl Failure {
    pub(super) fn view(&self) -> ErrorView {
        ErrorView { code: self.code.as_str().to_owned(), detail: self.detail.clone(), upstream: self.upstream.clone() }
    }

    /// Whether something was sent, so that an idempotency key keeps the answer.
    pub(super) fn began(&self) -> bool {
        !matches!(
            self.code,
            ErrorCode::RateLimited
                | ErrorCode::ConcurrencyLimited
                | ErrorCode::BreakerOpen
                | ErrorCode::InvalidInput
                | ErrorCode::ConnectorNotFound
                | ErrorCode::OperationNotFound
        )
    }
}

impl From<ErrorCode> for Outcome {
    fn from(code: ErrorCode) -> Self {
        Self::failure(code)
    }
}

impl From<Value> for Outcome {
    fn from(output: Value) -> Self {
        Self::success(output)
    }
}
