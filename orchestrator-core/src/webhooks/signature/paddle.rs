//! Paddle Billing: `Paddle-Signature: ts=<seconds>;h1=<hex>;…`, HMAC-SHA256 over `<ts>:<body>`.
//!
//! While a secret is rotated there are several `h1`. Events name no account; their routes have a key. Paddle's own
//! libraries refuse what is older than 5 seconds; a route may ask for that by its setting `tolerance_s`.

use std::time::Duration;

use aws_lc_rs::hmac;
use data_encoding::HEXLOWER;
use http::{HeaderMap, HeaderName};
use orchestrator_types::{FieldError, Timestamp};
use serde_json::Value;

use super::{
    Address, EventError, EventFacts, Fixture, FixtureError, InboundWebhook, SignatureError, WebhookProvider, fresh,
    header, mac, settings,
};
use crate::callback::signing::SIGNATURES_MAX;
use crate::secrets::Secret;

const SIGNATURE: HeaderName = HeaderName::from_static("paddle-signature");
const PARTS_MAX: usize = 2 * SIGNATURES_MAX;

/// Paddle Billing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Paddle;

fn read(value: &str) -> Result<(&str, Vec<Vec<u8>>), SignatureError> {
    let (mut time, mut signatures) = (None, Vec::new());
    for (index, part) in value.split(';').enumerate() {
        if index == PARTS_MAX {
            return Err(SignatureError::TooMany);
        }
        match part.split_once('=').ok_or(SignatureError::Malformed)? {
            ("ts", seconds) if time.replace(seconds).is_none() => {}
            ("ts", _) => return Err(SignatureError::Repeated),
            ("h1", _) if signatures.len() == SIGNATURES_MAX => return Err(SignatureError::TooMany),
            ("h1", hex) if hex.len() == 64 => {
                signatures.push(HEXLOWER.decode(hex.as_bytes()).map_err(|_| SignatureError::Malformed)?);
            }
            ("h1" | "", _) => return Err(SignatureError::Malformed),
            (other, _) if other.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {}
            _ => return Err(SignatureError::Malformed),
        }
    }
    match time {
        Some(time) if !signatures.is_empty() => Ok((time, signatures)),
        _ => Err(SignatureError::Missing),
    }
}

/// How old a webhook of the route may be.
fn tolerance(settings: Option<&Value>) -> Result<Duration, Vec<FieldError>> {
    settings::seconds(settings, "tolerance_s", fresh::TOLERANCE)
}

impl WebhookProvider for Paddle {
    fn name(&self) -> &'static str {
        "paddle"
    }

    fn account(&self, _: &InboundWebhook<'_>, _: Option<&Value>) -> Result<Option<String>, EventError> {
        Ok(None)
    }

    fn verify(
        &self,
        request: &InboundWebhook<'_>,
        secrets: &[Secret],
        settings: Option<&Value>,
        now: Timestamp,
    ) -> Result<(), SignatureError> {
        let tolerance = tolerance(settings).map_err(|_| SignatureError::Settings)?;
        let (time, signatures) = read(header::one(request.headers(), &SIGNATURE)?)?;
        fresh::check_within(time, now, tolerance)?;
        mac::verify(hmac::HMAC_SHA256, secrets, &[time.as_bytes(), b":", request.body()], &signatures)
    }

    fn event(&self, request: &InboundWebhook<'_>, _: Option<&Value>) -> Result<EventFacts, EventError> {
        Ok(EventFacts {
            event_id: request.fact("/event_id")?.ok_or(EventError::NoId)?,
            event_type: request.fact("/event_type")?,
            account: None,
        })
    }

    fn redacted_headers(&self, _: Option<&Value>) -> Vec<HeaderName> {
        vec![SIGNATURE]
    }

    fn check_settings(&self, settings: Option<&Value>) -> Vec<FieldError> {
        tolerance(settings).err().unwrap_or_default()
    }

    fn address(&self, sample: &mut Value, to: &Address<'_>) {
        to.put(sample, "event_id", Some(to.event_id));
        to.replace(sample, "event_type", to.event_type);
    }

    fn sign(&self, fixture: &Fixture<'_>, secret: &Secret, now: Timestamp) -> Result<HeaderMap, FixtureError> {
        let time = now.unix_seconds().to_string();
        let tag = mac::sign(hmac::HMAC_SHA256, secret, &[time.as_bytes(), b":", fixture.body])?;
        header::map([(SIGNATURE, &format!("ts={time};h1={}", HEXLOWER.encode(tag.as_ref())))])
    }
}
