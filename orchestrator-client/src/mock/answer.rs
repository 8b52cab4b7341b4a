//! An answer before it leaves: whole, so that an idempotency key can keep it.

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue, StatusCode};
use serde::Serialize;

/// An answer that is there whole.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) content_type: String,
    headers: Vec<(&'static str, String)>,
    body: Bytes,
}

impl Answer {
    pub(super) fn json(status: StatusCode, body: &impl Serialize) -> Self {
        // Only a map with keys that are no text cannot be written, and no document has one.
        let body = Bytes::from(serde_json::to_vec(body).unwrap_or_default());
        Self { status, content_type: "application/json".to_owned(), headers: Vec::new(), body }
    }

    pub(super) fn ok(body: &impl Serialize) -> Self {
        Self::json(StatusCode::OK, body)
    }

    pub(super) fn bytes(content_type: &str, body: Bytes) -> Self {
        Self { status: StatusCode::OK, content_type: content_type.to_owned(), headers: Vec::new(), body }
    }

    pub(super) fn empty(status: StatusCode) -> Self {
        Self { status, content_type: String::new(), headers: Vec::new(), body: Bytes::new() }
    }

    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(super) fn leave(self) -> Response {
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() = self.status;
        if let Ok(kind) = HeaderValue::from_str(&self.content_type)
            && !kind.is_empty()
        {
            response.headers_mut().insert(CONTENT_TYPE, kind);
        }
        for (name, value) in self.headers {
            if let Ok(value) = HeaderValue::from_str(&value) {
                response.headers_mut().insert(HeaderName::from_static(name), value);
            }
        }
        response
    }
}
