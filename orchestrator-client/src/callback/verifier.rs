//! A verifier to keep in a product's state.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use http::HeaderMap;
use orchestrator_types::{CallbackBody, Timestamp, TraceId};
use serde::de::DeserializeOwned;

use super::error::CallbackError;
use super::secret::CallbackSecret;
use super::verify::{ID, TOLERANCE, header, verify};

/// The id of a delivery (`webhook-id`): the same on every redelivery, so that the product dedupes on it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeliveryId(String);

impl DeliveryId {
    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DeliveryId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// A callback whose signature holds.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Callback<D = serde_json::Value> {
    /// Dedupe on this.
    pub delivery: DeliveryId,
    /// The trace that it belongs to: hand it to [`Client::with_trace`](crate::Client::with_trace) to continue it.
    pub trace_id: Option<TraceId>,
    /// What it says.
    pub body: CallbackBody<D>,
}

/// Verifies callbacks with the secrets that it holds; they cannot be printed. A clone is cheap.
#[derive(Clone)]
pub struct CallbackVerifier {
    secrets: Arc<[CallbackSecret]>,
    tolerance: Duration,
}

impl CallbackVerifier {
    /// Accepts what one of these secrets signed, at most [`TOLERANCE`] ago: one, or two while it is rotated.
    #[must_use]
    pub fn new(secrets: impl IntoIterator<Item = CallbackSecret>) -> Self {
        Self { secrets: secrets.into_iter().collect(), tolerance: TOLERANCE }
    }

    /// Accepts what the secret `text` signed.
    ///
    /// # Errors
    /// [`CallbackError::Secret`] if it is not a secret.
    pub fn of(text: &str) -> Result<Self, CallbackError> {
        Ok(Self::new([text.parse()?]))
    }

    /// Another tolerance, into the past and into the future.
    #[must_use]
    pub fn with_tolerance(mut self, tolerance: Duration) -> Self {
        self.tolerance = tolerance;
        self
    }

    /// Verifies a callback over its raw bytes and reads it, by the clock of this machine.
    ///
    /// # Errors
    /// As [`verify`].
    #[allow(clippy::disallowed_methods, reason = "who has another clock calls the function `verify`")]
    pub fn verify<D: DeserializeOwned>(&self, headers: &HeaderMap, body: &[u8]) -> Result<Callback<D>, CallbackError> {
        let body = verify(&self.secrets, headers, body, Timestamp::from(Utc::now()), self.tolerance)?;
        let traceparent = headers.get("traceparent").and_then(|value| value.to_str().ok());
        Ok(Callback {
            delivery: DeliveryId(header(headers, ID)?.to_owned()),
            trace_id: traceparent.and_then(TraceId::from_traceparent),
            body,
        })
    }
}

impl fmt::Debug for CallbackVerifier {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("CallbackVerifier")
            .field("secrets", &self.secrets.len())
            .field("tolerance", &self.tolerance)
            .finish()
    }
}
