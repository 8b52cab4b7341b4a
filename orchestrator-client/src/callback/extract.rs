//! The extractor for axum.

use axum::extract::{FromRef, FromRequest, Request};
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use orchestrator_types::Problem;
use serde::de::DeserializeOwned;

use super::error::CallbackError;
use super::verifier::{Callback, CallbackVerifier};

/// The largest callback that is read, in bytes.
const BODY_LIMIT: usize = 8 * 1024 * 1024;

/// A callback whose signature holds, taken from a request with the [`CallbackVerifier`] of the state.
///
/// It reads the raw body itself, up to 8 MiB, whatever limit axum has by default. What does not hold is answered with 401;
/// what holds but is not a `CallbackBody<D>` with 400, and what is too large with 413, after which the server gives the
/// delivery up at once: have a handler of its own for each kind of data, or take [`serde_json::Value`].
#[derive(Debug, Clone, PartialEq)]
pub struct VerifiedCallback<D = serde_json::Value>(pub Callback<D>);

impl<S, D> FromRequest<S> for VerifiedCallback<D>
where
    S: Send + Sync,
    D: DeserializeOwned,
    CallbackVerifier: FromRef<S>,
{
    type Rejection = CallbackRejection;

    async fn from_request(request: Request, state: &S) -> Result<Self, CallbackRejection> {
        let (head, body) = request.into_parts();
        let body = Limited::new(body, BODY_LIMIT).collect().await.map_err(|problem| {
            if problem.is::<LengthLimitError>() { CallbackRejection::TooLarge } else { CallbackRejection::Unread }
        })?;
        let verifier = CallbackVerifier::from_ref(state);
        verifier.verify(&head.headers, &body.to_bytes()).map(Self).map_err(CallbackRejection::Callback)
    }
}

/// Why a request is no callback to act on. Answers with a problem document that says no more than the sender may know.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallbackRejection {
    /// It is not believed or not understood.
    #[error("the callback was refused")]
    Callback(#[source] CallbackError),
    /// It is larger than 8 MiB.
    #[error("the callback is too large")]
    TooLarge,
    /// It broke off.
    #[error("the callback broke off")]
    Unread,
}

impl IntoResponse for CallbackRejection {
    fn into_response(self) -> Response {
        let (status, code, title, detail) = match self {
            Self::Callback(problem) if problem.is_unauthentic() => (
                StatusCode::UNAUTHORIZED,
                "signature_invalid",
                "The signature is not valid",
                "no signature holds over this body, or it is too old".to_owned(),
            ),
            Self::Callback(problem) => {
                (StatusCode::BAD_REQUEST, "invalid_body", "The body is not valid", problem.to_string())
            }
            Self::TooLarge => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "body_too_large",
                "The body is too large",
                format!("a callback has at most {BODY_LIMIT} bytes"),
            ),
            Self::Unread => (
                StatusCode::BAD_REQUEST,
                "invalid_body",
                "The body is not valid",
                "the body broke off before its end".to_owned(),
            ),
        };
        let problem = Problem {
            kind: "about:blank".to_owned(),
            title: title.to_owned(),
            status: status.as_u16(),
            detail,
            code: code.to_owned(),
            trace_id: None,
            errors: Vec::new(),
            id: None,
            upstream: None,
            attempts: None,
            last_step: None,
        };
        let mut response = (status, axum::Json(problem)).into_response();
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        response
    }
}
