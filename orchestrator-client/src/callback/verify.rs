//! The verification itself: pure, the time is an argument.

use std::time::Duration;

use data_encoding::BASE64;
use http::HeaderMap;
use orchestrator_types::{CallbackBody, Timestamp};
use serde::de::DeserializeOwned;

use super::error::CallbackError;
use super::secret::CallbackSecret;

/// The tolerance that Standard Webhooks recommends, into the past and into the future.
pub const TOLERANCE: Duration = Duration::from_secs(300);

pub(super) const ID: &str = "webhook-id";
const TIMESTAMP: &str = "webhook-timestamp";
const SIGNATURE: &str = "webhook-signature";
/// A sender signs with its active secrets: two while one is rotated.
const MAX_SIGNATURES: usize = 16;
const MAX_ID: usize = 255;

/// Verifies a callback over its raw bytes and reads it. One signature that holds with one of the secrets suffices, so that
/// secrets can be rotated on either side first.
///
/// `D` is [`WebhookCallbackData`](orchestrator_types::WebhookCallbackData), [`JobCallbackData`](orchestrator_types::JobCallbackData) or
/// [`serde_json::Value`], which is what `CallbackBody` alone means.
///
/// # Errors
/// A [`CallbackError`]; only [`CallbackError::Body`] comes from a sender that has proved itself.
pub fn verify<D: DeserializeOwned>(
    secrets: &[CallbackSecret],
    headers: &HeaderMap,
    body: &[u8],
    now: Timestamp,
    tolerance: Duration,
) -> Result<CallbackBody<D>, CallbackError> {
    authenticate(secrets, headers, body, now, tolerance)?;
    serde_json::from_slice(body).map_err(CallbackError::Body)
}

fn authenticate(
    secrets: &[CallbackSecret],
    headers: &HeaderMap,
    body: &[u8],
    now: Timestamp,
    tolerance: Duration,
) -> Result<(), CallbackError> {
    let id = header(headers, ID)?;
    if id.len() > MAX_ID || !id.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(CallbackError::Header(ID));
    }
    let timestamp = header(headers, TIMESTAMP)?;
    let sent_at = seconds(timestamp).ok_or(CallbackError::Header(TIMESTAMP))?;
    let signatures = header(headers, SIGNATURE)?;
    if signatures.split_ascii_whitespace().count() > MAX_SIGNATURES {
        return Err(CallbackError::TooManySignatures);
    }
    if now.unix_seconds().abs_diff(sent_at) > tolerance.as_secs() {
        return Err(CallbackError::Timestamp);
    }

    let content = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body].concat();
    let holds = signatures
        .split_ascii_whitespace()
        .filter_map(|signature| signature.strip_prefix("v1,"))
        .filter_map(|signature| BASE64.decode(signature.as_bytes()).ok())
        .any(|signature| secrets.iter().any(|secret| secret.signed(&content, &signature)));
    if holds { Ok(()) } else { Err(CallbackError::Signature) }
}

/// The one value of a header that must be there once.
pub(super) fn header<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<&'a str, CallbackError> {
    let mut values = headers.get_all(name).iter();
    match (values.next().and_then(|value| value.to_str().ok()), values.next()) {
        (Some(value), None) if !value.is_empty() => Ok(value),
        _ => Err(CallbackError::Header(name)),
    }
}

/// Seconds since the epoch, in digits only: what is signed has one spelling.
fn seconds(text: &str) -> Option<i64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}
