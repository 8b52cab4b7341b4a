//! The way to the product.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::HeaderMap;

use crate::connector::CallError;

/// One delivery: a `POST` of these bytes.
#[derive(Debug, Clone)]
pub struct CallbackRequest {
    /// The product's endpoint.
    pub url: String,
    /// Signature, trace, content type.
    pub headers: HeaderMap,
    /// The same bytes on each try.
    pub body: Bytes,
}

/// What the product answered.
#[derive(Debug, Clone)]
pub struct CallbackAnswer {
    /// Its status.
    pub status: u16,
    /// How long it asked to be left alone.
    pub retry_after: Option<Duration>,
    /// The beginning of its body: at most 16 KiB.
    pub body: Bytes,
}

/// Sends callbacks. Follows no redirect and reaches no address that the install forbids.
#[async_trait]
pub trait CallbackTransport: Send + Sync + 'static {
    /// Makes one delivery. Any status is an answer.
    ///
    /// Dropping the future gives the delivery up; the product may or may not have seen it.
    ///
    /// # Errors
    /// The product was not reached, or its answer broke off.
    async fn deliver(&self, request: CallbackRequest) -> Result<CallbackAnswer, CallError>;
}
