//! Standard Webhooks: `webhook-id`, `webhook-timestamp`, and `webhook-signature: v1,<base64> …`, HMAC-SHA256 over
//! `<id>.<timestamp>.<body>`.
//!
//! Secrets as in [`crate::callback::signing`]. Versions other than `v1` are not looked at.

use data_encoding::BASE64;
use http::{HeaderMap, HeaderName};
use orchestrator_types::Timestamp;
use serde_json::Value;

use super::{
    Address, EventError, EventFacts, Fixture, FixtureError, InboundWebhook, SignatureError, WebhookProvider, fresh,
    header, mac,
};
use crate::callback::signing::{
    self, SIGNATURES_MAX, SigningKey, WEBHOOK_ID, WEBHOOK_SIGNATURE, WEBHOOK_TIMESTAMP, signable_id,
};
use crate::secrets::Secret;

const PARTS_MAX: usize = 2 * SIGNATURES_MAX;

/// Any sender that keeps to Standard Webhooks.
#[derive(Debug, Clone, Copy, Default)]
pub struct StandardWebhooks;

fn read(value: &str) -> Result<Vec<Vec<u8>>, SignatureError> {
    let mut signatures = Vec::new();
    for (index, part) in value.split(' ').enumerate() {
        if index == PARTS_MAX {
            return Err(SignatureError::TooMany);
        }
        match part.split_once(',').ok_or(SignatureError::Malformed)? {
            ("v1", _) if signatures.len() == SIGNATURES_MAX => return Err(SignatureError::TooMany),
            ("v1", text) => signatures.push(BASE64.decode(text.as_bytes()).map_err(|_| SignatureError::Malformed)?),
            ("", _) => return Err(SignatureError::Malformed),
            (other, _) if other.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {}
            _ => return Err(SignatureError::Malformed),
        }
    }
    if signatures.is_empty() { Err(SignatureError::Missing) } else { Ok(signatures) }
}

impl WebhookProvider for StandardWebhooks {
    fn name(&self) -> &'static str {
        "standard-webhooks"
    }

    fn account(&self, _: &InboundWebhook<'_>, _: Option<&Value>) -> Result<Option<String>, EventError> {
        Ok(None)
    }

    fn verify(
        &self,
        request: &InboundWebhook<'_>,
        secrets: &[Secret],
        _: Option<&Value>,
        now: Timestamp,
    ) -> Result<(), SignatureError> {
        let id = header::one(request.headers(), &WEBHOOK_ID)?;
        let time = header::one(request.headers(), &WEBHOOK_TIMESTAMP)?;
        let signatures = read(header::one(request.headers(), &WEBHOOK_SIGNATURE)?)?;
        if !signable_id(id) {
            return Err(SignatureError::Malformed);
        }
        fresh::check(time, now)?;
        let keys = secrets.iter().filter_map(|secret| SigningKey::parse(secret).ok());
        mac::any_matches(keys.map(|key| key.tag(id, time, request.body())), &signatures)
    }

    fn event(&self, request: &InboundWebhook<'_>, _: Option<&Value>) -> Result<EventFacts, EventError> {
        // The id is in a header; a body that is no JSON is an event without a type.
        let event_type = if request.json().is_ok() { request.fact("/type")? } else { None };
        let event_id = header::fact(request.headers(), &WEBHOOK_ID)?.ok_or(EventError::NoId)?;
        Ok(EventFacts { event_id, event_type, account: None })
    }

    fn redacted_headers(&self, _: Option<&Value>) -> Vec<HeaderName> {
        vec![WEBHOOK_SIGNATURE]
    }

    fn address(&self, sample: &mut Value, to: &Address<'_>) {
        to.replace(sample, "type", to.event_type);
    }

    fn sign(&self, fixture: &Fixture<'_>, secret: &Secret, now: Timestamp) -> Result<HeaderMap, FixtureError> {
        Ok(signing::sign(std::slice::from_ref(secret), fixture.event_id, now, fixture.body)?)
    }
}
