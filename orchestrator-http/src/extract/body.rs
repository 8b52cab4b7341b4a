//! Request bodies: bounded before they are read whole, of one type, in the time they may take.

use axum::extract::{FromRequest, Request};
use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;

use super::json;
use crate::edge::BodyError;
use crate::problem::Refusal;

/// How many bytes the bodies of a route may have; in the extensions of the request. The innermost layer counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyLimit(pub usize);

impl Default for BodyLimit {
    fn default() -> Self {
        Self(1024 * 1024)
    }
}

/// A JSON body. An empty one reads as `null`, so that `Body<Option<T>>` may be left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Refusal> {
        let typed = content_type(request.headers());
        let text = read(request).await?;
        if text.is_empty() {
            return json::parse(b"null").map(Body).map_err(|_| Refusal::invalid("", "a JSON body is required"));
        }
        typed?;
        json::parse(&text).map(Body)
    }
}

/// A body as it came, byte for byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raw(pub Bytes);

impl<S: Send + Sync> FromRequest<S> for Raw {
    type Rejection = Refusal;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Refusal> {
        read(request).await.map(Raw)
    }
}

/// Exactly one `Content-Type`, and that JSON in UTF-8.
fn content_type(headers: &HeaderMap) -> Result<(), Refusal> {
    let mut all = headers.get_all(CONTENT_TYPE).iter();
    let (one, more) = (all.next(), all.next());
    if more.is_some() {
        return Err(Refusal::new(StatusCode::BAD_REQUEST, "invalid_request", "more than one `Content-Type`"));
    }
    let text = one.and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut parts = text.split(';').map(|part| part.trim().to_ascii_lowercase());
    let json = parts.next().is_some_and(|kind| {
        kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"))
    });
    let utf8 = parts
        .all(|part| !part.starts_with("charset=") || matches!(part.as_str(), "charset=utf-8" | "charset=\"utf-8\""));
    if json && utf8 {
        return Ok(());
    }
    Err(unsupported("the body must be `application/json` in UTF-8"))
}

fn unsupported(detail: &'static str) -> Refusal {
    Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail)
}

/// The whole body, if it stays within the route's limit.
async fn read(request: Request) -> Result<Bytes, Refusal> {
    let limit = request.extensions().get::<BodyLimit>().copied().unwrap_or_default().0;
    let too_large = || {
        let detail = format!("the body has more than {limit} bytes");
        Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail)
    };
    let headers = request.headers();
    if headers.get_all(CONTENT_ENCODING).iter().any(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Err(unsupported("an encoded body is not taken: send it as it is"));
    }
    let announced = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > limit as u64) {
        return Err(too_large());
    }
    let mut body = request.into_body();
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| broken(&error))?;
        let Ok(data) = frame.into_data() else { continue };
        if whole.len() + data.len() > limit {
            return Err(too_large());
        }
        whole.extend_from_slice(&data);
    }
    Ok(whole.freeze())
}

fn broken(error: &axum::Error) -> Refusal {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = source {
        if matches!(error.downcast_ref(), Some(BodyError::TooSlow)) {
            return Refusal::new(StatusCode::REQUEST_TIMEOUT, "request_timeout", "the body came too slowly");
        }
        source = error.source();
    }
    Refusal::new(StatusCode::BAD_REQUEST, "invalid_request", "the body is incomplete")
}
