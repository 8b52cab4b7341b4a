//! Problem documents, as the contract has them.

use std::time::Duration;

use http::StatusCode;
use orchestrator_types::{ErrorView, FieldError, Problem, TraceId};

use super::answer::Answer;
use super::outcome::Failure;
use crate::code::ErrorCode;

/// Why the server does not do it.
#[derive(Debug, Clone)]
pub(super) struct Refusal(Box<Inner>);

#[derive(Debug, Clone)]
struct Inner {
    code: ErrorCode,
    error: ErrorView,
    errors: Vec<FieldError>,
    id: Option<String>,
    attempts: Option<u32>,
    retry_after: Option<Duration>,
}

impl Refusal {
    pub(super) fn new(code: ErrorCode, detail: impl Into<String>) -> Self {
        let error = ErrorView { code: code.as_str().to_owned(), detail: detail.into(), upstream: None };
        Self(Box::new(Inner { code, error, errors: Vec::new(), id: None, attempts: None, retry_after: None }))
    }

    pub(super) fn invalid(pointer: &str, detail: impl Into<String>) -> Self {
        let mut refusal = Self::new(ErrorCode::InvalidRequest, "the request is not valid: see `errors`");
        refusal.0.errors = vec![FieldError::new(pointer, detail)];
        refusal
    }

    pub(super) fn not_found() -> Self {
        Self::new(ErrorCode::NotFound, "there is no such thing")
    }

    /// A call that was made and failed.
    pub(super) fn called(id: impl ToString, failure: &Failure) -> Self {
        Self(Box::new(Inner {
            code: failure.code.clone(),
            error: failure.view(),
            errors: Vec::new(),
            id: Some(id.to_string()),
            attempts: Some(u32::from(failure.began())),
            retry_after: failure.retry_after,
        }))
    }

    /// As it leaves.
    pub(super) fn answer(self, trace: TraceId) -> Answer {
        let Inner { code, error, errors, id, attempts, retry_after } = *self.0;
        let status = code.status().unwrap_or(StatusCode::BAD_GATEWAY);
        let code = error.code;
        let mut title = code.replace('_', " ");
        if let Some(first) = title.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        let problem = Problem {
            kind: format!("urn:orchestrator:problem:{code}"),
            title,
            status: status.as_u16(),
            detail: error.detail,
            code,
            trace_id: Some(trace.to_string()),
            errors,
            id,
            upstream: error.upstream,
            attempts,
            last_step: None,
        };
        let mut answer = Answer::json(status, &problem);
        answer.content_type = "application/problem+json".to_owned();
        if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            let wait = retry_after.unwrap_or(Duration::from_secs(1));
            answer = answer.with("retry-after", wait.as_secs().max(1).to_string());
        }
        answer
    }
}
