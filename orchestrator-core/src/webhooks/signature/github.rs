//! GitHub: `X-Hub-Signature-256: sha256=<hex>`, HMAC-SHA256 over the body.
//!
//! Only the body is signed: the id and the type stand in headers beside it, and there is no time. Events name no account;
//! their routes have a key.

use aws_lc_rs::hmac;
use data_encoding::HEXLOWER;
use http::{HeaderMap, HeaderName};
use orchestrator_types::Timestamp;
use serde_json::Value;

use super::{
    EventError, EventFacts, Fixture, FixtureError, InboundWebhook, SignatureError, WebhookProvider, header, mac,
};
use crate::secrets::Secret;

const SIGNATURE: HeaderName = HeaderName::from_static("x-hub-signature-256");
const LEGACY_SIGNATURE: HeaderName = HeaderName::from_static("x-hub-signature");
const DELIVERY: HeaderName = HeaderName::from_static("x-github-delivery");
const EVENT: HeaderName = HeaderName::from_static("x-github-event");
const PREFIX: &str = "sha256=";

/// GitHub.
#[derive(Debug, Clone, Copy, Default)]
pub struct GitHub;

impl WebhookProvider for GitHub {
    fn name(&self) -> &'static str {
        "github"
    }

    fn account(&self, _: &InboundWebhook<'_>, _: Option<&Value>) -> Result<Option<String>, EventError> {
        Ok(None)
    }

    fn verify(
        &self,
        request: &InboundWebhook<'_>,
        secrets: &[Secret],
        _: Option<&Value>,
        _: Timestamp,
    ) -> Result<(), SignatureError> {
        let value = header::one(request.headers(), &SIGNATURE)?;
        let hex = value.strip_prefix(PREFIX).ok_or(SignatureError::Malformed)?;
        let signature = HEXLOWER.decode(hex.as_bytes()).map_err(|_| SignatureError::Malformed)?;
        mac::verify(hmac::HMAC_SHA256, secrets, &[request.body()], &[signature])
    }

    fn event(&self, request: &InboundWebhook<'_>, _: Option<&Value>) -> Result<EventFacts, EventError> {
        Ok(EventFacts {
            event_id: header::fact(request.headers(), &DELIVERY)?.ok_or(EventError::NoId)?,
            event_type: header::fact(request.headers(), &EVENT)?,
            account: None,
        })
    }

    fn redacted_headers(&self, _: Option<&Value>) -> Vec<HeaderName> {
        vec![SIGNATURE, LEGACY_SIGNATURE]
    }

    fn sign(&self, fixture: &Fixture<'_>, secret: &Secret, _: Timestamp) -> Result<HeaderMap, FixtureError> {
        let tag = mac::sign(hmac::HMAC_SHA256, secret, &[fixture.body])?;
        let signature = format!("{PREFIX}{}", HEXLOWER.encode(tag.as_ref()));
        let event = fixture.event_type.unwrap_or("ping");
        header::map([(SIGNATURE, &signature), (DELIVERY, fixture.event_id), (EVENT, event)])
    }
}
