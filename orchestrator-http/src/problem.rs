//! Refusals: what is wrong, on its way to becoming a problem document (RFC 9457).
//!
//! A handler answers a [`Refusal`]; the edge renders it, because only the edge knows the trace. Nothing is rendered that
//! did not come from a closed set of codes or from the caller's own request.

use std::borrow::Cow;
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use orchestrator_core::execute::CallFailure;
use orchestrator_types::{FieldError, Problem, TraceId, UpstreamView};

use crate::tokens::Unauthenticated;

/// The media type of every error answer.
pub const PROBLEM_JSON: &str = "application/problem+json";
const MAX_DETAIL: usize = 500;
const MAX_ERRORS: usize = 100;

/// Why a request was not done.
#[derive(Debug, Clone)]
pub struct Refusal(Box<Inner>);

#[derive(Debug, Clone)]
struct Inner {
    status: StatusCode,
    code: Cow<'static, str>,
    detail: Cow<'static, str>,
    errors: Vec<FieldError>,
    retry_after: Option<Duration>,
    id: Option<String>,
    upstream: Option<UpstreamView>,
    attempts: Option<u32>,
    last_step: Option<String>,
    oauth: bool,
}

/// A problem of the token endpoint: OAuth clients look for `error` (RFC 6749, 5.2).
#[derive(serde::Serialize)]
struct OauthProblem {
    #[serde(flatten)]
    problem: Problem,
    error: String,
    error_description: String,
}

impl Refusal {
    /// A refusal with a stable code.
    pub fn new(status: StatusCode, code: impl Into<Cow<'static, str>>, detail: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Inner {
            status,
            code: code.into(),
            detail: detail.into(),
            errors: Vec::new(),
            retry_after: None,
            id: None,
            upstream: None,
            attempts: None,
            last_step: None,
            oauth: false,
        }))
    }

    /// 400: something in the request is wrong.
    pub fn invalid(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request", "the request is not valid: see `errors`")
            .errors(vec![FieldError::new(pointer, detail)])
    }

    /// 401, in the one wording for every cause.
    #[must_use]
    pub fn unauthenticated() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthenticated", "a valid bearer token is required")
    }

    /// 403: the scope or role lacks it.
    #[must_use]
    pub fn forbidden() -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", "the token's scope or role does not allow this")
    }

    /// 404: there is none, or none for this caller.
    #[must_use]
    pub fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", "there is no such thing")
    }

    /// 412: the caller's `If-Match` is of another version.
    #[must_use]
    pub fn stale() -> Self {
        let detail = "it was changed meanwhile: read it again, and repeat the change on what is there now";
        Self::new(StatusCode::PRECONDITION_FAILED, "precondition_failed", detail)
    }

    /// 500, which says nothing.
    #[must_use]
    pub fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "an internal error; the trace id names it in our logs")
    }

    /// 503: not now.
    #[must_use]
    pub fn unavailable(detail: &'static str) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail).retry_after(Duration::from_secs(1))
    }

    /// 429: too often.
    #[must_use]
    pub fn too_many(detail: &'static str, wait: Duration) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", detail).retry_after(wait)
    }

    /// With everything that was wrong, field by field.
    #[must_use]
    pub fn errors(mut self, mut errors: Vec<FieldError>) -> Self {
        errors.truncate(MAX_ERRORS);
        self.0.errors = errors;
        self
    }

    /// With the time to come back.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.0.retry_after = Some(wait);
        self
    }

    /// With the execution that failed.
    #[must_use]
    pub fn id(mut self, id: impl ToString) -> Self {
        self.0.id = Some(id.to_string());
        self
    }

    /// With what the upstream answered last.
    #[must_use]
    pub fn upstream(mut self, upstream: Option<UpstreamView>) -> Self {
        self.0.upstream = upstream;
        self
    }

    /// With the number of attempts made.
    #[must_use]
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.0.attempts = Some(attempts);
        self
    }

    /// With the last step known of a request whose outcome is not.
    #[must_use]
    pub fn last_step(mut self, step: impl Into<String>) -> Self {
        self.0.last_step = Some(step.into());
        self
    }

    fn called(self, failure: CallFailure) -> Self {
        self.id(failure.id).attempts(failure.attempts).upstream(failure.error.upstream)
    }

    /// As OAuth clients read it too.
    #[must_use]
    pub fn oauth(mut self) -> Self {
        self.0.oauth = true;
        self
    }

    /// The status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &str {
        &self.0.code
    }

    /// The answer, as it leaves.
    pub(crate) fn render(self, trace: TraceId) -> Response {
        let Inner { status, code, detail, errors, retry_after, id, upstream, attempts, last_step, oauth } = *self.0;
        let problem = Problem {
            kind: format!("urn:orchestrator:problem:{code}"),
            title: title(&code),
            status: status.as_u16(),
            detail: cut(&detail),
            code: code.into_owned(),
            trace_id: Some(trace.to_string()),
            errors,
            id,
            upstream,
            attempts,
            last_step,
        };
        let body = if oauth {
            let (error, error_description) = (problem.code.clone(), problem.detail.clone());
            serde_json::to_vec(&OauthProblem { problem, error, error_description })
        } else {
            serde_json::to_vec(&problem)
        };
        let body = body.unwrap_or_default();
        let mut response = (status, [(CONTENT_TYPE, PROBLEM_JSON)], body).into_response();
        let headers = response.headers_mut();
        let tells_when = matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
        if let Some(wait) = retry_after.or(tells_when.then_some(Duration::from_secs(1))) {
            // Rounded up, so that nobody comes too early.
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = self.0.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<Unauthenticated> for Refusal {
    fn from(_: Unauthenticated) -> Self {
        Self::unauthenticated()
    }
}

impl From<orchestrator_core::Error> for Refusal {
    fn from(error: orchestrator_core::Error) -> Self {
        use orchestrator_core::Error;
        let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        if status == StatusCode::INTERNAL_SERVER_ERROR {
            tracing::error!(?error, "an internal error");
            return Self::internal();
        }
        let mut detail = error.to_string();
        if let Error::Unavailable(cause) = &error {
            tracing::warn!(%cause, "the store does not do it");
            if status == StatusCode::BAD_REQUEST {
                // What the store says names its own insides.
                detail = "the store cannot hold a value of this request".to_owned();
            }
        }
        let mut refusal = Self::new(status, error.code().to_owned(), detail);
        refusal.0.retry_after = error.retry_after();
        refusal = refusal.errors(error.field_errors().to_vec());
        match error {
            Error::Call(failure) => refusal.called(*failure),
            Error::OutcomeUnknown { execution, last_step } => refusal.id(execution).last_step(last_step),
            _ => refusal,
        }
    }
}

impl From<CallFailure> for Refusal {
    fn from(failure: CallFailure) -> Self {
        let status = StatusCode::from_u16(failure.status()).unwrap_or(StatusCode::BAD_GATEWAY);
        let mut refusal = Self::new(status, failure.error.code.clone(), failure.error.detail.clone());
        refusal.0.retry_after = failure.retry_after();
        refusal.called(failure)
    }
}

/// `connector_not_found` as a short sentence, the same for each problem of the kind.
fn title(code: &str) -> String {
    let mut title = code.replace('_', " ");
    if let Some(first) = title.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    title
}

fn cut(text: &str) -> String {
    text.chars().take(MAX_DETAIL).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use http_body_util::BodyExt;

    use super::*;

    async fn rendered(refusal: Refusal) -> (http::response::Parts, Problem) {
        let (parts, body) = refusal.render(TraceId::from_bits(7)).into_parts();
        (parts, serde_json::from_slice(&body.collect().await.unwrap().to_bytes()).unwrap())
    }

    #[tokio::test]
    async fn a_problem_says_what_it_must_and_nothing_empty() {
        let (parts, problem) = rendered(Refusal::invalid("/input", "is missing")).await;
        assert_eq!(parts.headers[CONTENT_TYPE], PROBLEM_JSON);
        assert_eq!(
            (problem.status, problem.code.as_str(), problem.title.as_str()),
            (400, "invalid_request", "Invalid request")
        );
        assert_eq!(problem.errors, [FieldError::new("/input", "is missing")]);
        assert_eq!(problem.trace_id.unwrap(), TraceId::from_bits(7).to_string());
        assert!(!parts.headers.contains_key(RETRY_AFTER));
    }

    #[tokio::test]
    async fn who_must_wait_is_told_at_least_one_second() {
        for (wait, told) in [(0, "1"), (1, "1"), (1_000, "1"), (1_001, "2"), (90_000, "90")] {
            let (parts, _) = rendered(Refusal::too_many("wait", Duration::from_millis(wait))).await;
            assert_eq!(parts.headers[RETRY_AFTER], told);
        }
        let bare = Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "");
        assert_eq!(rendered(bare).await.0.headers[RETRY_AFTER], "1");
    }
}
