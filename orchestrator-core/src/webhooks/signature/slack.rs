//! Slack: `X-Slack-Signature: v0=<hex>`, HMAC-SHA256 over `v0:<X-Slack-Request-Timestamp>:<body>`.

use aws_lc_rs::hmac;
use data_encoding::HEXLOWER;
use http::{HeaderMap, HeaderName};
use orchestrator_types::Timestamp;
use serde_json::Value;

use super::{
    Address, EventError, EventFacts, Fixture, FixtureError, InboundWebhook, SignatureError, WebhookProvider, fresh,
    header, mac,
};
use crate::secrets::Secret;

const SIGNATURE: HeaderName = HeaderName::from_static("x-slack-signature");
const TIME: HeaderName = HeaderName::from_static("x-slack-request-timestamp");
const PREFIX: &str = "v0=";
const URL_VERIFICATION: &str = "url_verification";

/// Slack.
#[derive(Debug, Clone, Copy, Default)]
pub struct Slack;

impl WebhookProvider for Slack {
    fn name(&self) -> &'static str {
        "slack"
    }

    fn account(&self, request: &InboundWebhook<'_>, _: Option<&Value>) -> Result<Option<String>, EventError> {
        request.fact("/team_id")
    }

    fn verify(
        &self,
        request: &InboundWebhook<'_>,
        secrets: &[Secret],
        _: Option<&Value>,
        now: Timestamp,
    ) -> Result<(), SignatureError> {
        let time = header::one(request.headers(), &TIME)?;
        let value = header::one(request.headers(), &SIGNATURE)?;
        let hex = value.strip_prefix(PREFIX).ok_or(SignatureError::Malformed)?;
        let signature = HEXLOWER.decode(hex.as_bytes()).map_err(|_| SignatureError::Malformed)?;
        fresh::check(time, now)?;
        let parts = [b"v0:", time.as_bytes(), b":", request.body()];
        mac::verify(hmac::HMAC_SHA256, secrets, &parts, &[signature])
    }

    fn event(&self, request: &InboundWebhook<'_>, _: Option<&Value>) -> Result<EventFacts, EventError> {
        Ok(EventFacts {
            event_id: request.fact("/event_id")?.ok_or(EventError::NoId)?,
            event_type: request.fact("/event/type")?.map_or_else(|| request.fact("/type"), |inner| Ok(Some(inner)))?,
            account: request.fact("/team_id")?,
        })
    }

    fn redacted_headers(&self, _: Option<&Value>) -> Vec<HeaderName> {
        vec![SIGNATURE]
    }

    /// Slack takes an endpoint only if it echoes the challenge of a `url_verification`.
    fn challenge(&self, request: &InboundWebhook<'_>) -> Option<String> {
        let asked = request.fact("/type").ok().flatten()? == URL_VERIFICATION;
        asked.then(|| request.fact("/challenge").ok().flatten()).flatten()
    }

    fn address(&self, sample: &mut Value, to: &Address<'_>) {
        if sample.get("type").and_then(Value::as_str) == Some(URL_VERIFICATION) {
            return;
        }
        to.put(sample, "event_id", Some(to.event_id));
        to.put(sample, "team_id", to.account.or(Some("T0EXAMPLE")));
        to.put(sample, "event_time", Some(to.now.unix_seconds()));
        if let Some(event) = sample.get_mut("event") {
            to.replace(event, "type", to.event_type);
        }
    }

    fn sign(&self, fixture: &Fixture<'_>, secret: &Secret, now: Timestamp) -> Result<HeaderMap, FixtureError> {
        let time = now.unix_seconds().to_string();
        let tag = mac::sign(hmac::HMAC_SHA256, secret, &[b"v0:", time.as_bytes(), b":", fixture.body])?;
        header::map([(SIGNATURE, &format!("{PREFIX}{}", HEXLOWER.encode(tag.as_ref()))), (TIME, &time)])
    }
}
