//! Shopify: `X-Shopify-Hmac-Sha256: <base64>`, HMAC-SHA256 over the body.
//!
//! Only the body is signed: id, topic and shop stand in headers beside it, and there is no time. One action of a merchant
//! has one `X-Shopify-Event-Id` for all its topics, so an event is told by both; without it, by `X-Shopify-Webhook-Id`.

use aws_lc_rs::hmac;
use data_encoding::BASE64;
use http::{HeaderMap, HeaderName};
use orchestrator_types::Timestamp;
use serde_json::Value;

use super::{
    EventError, EventFacts, Fixture, FixtureError, InboundWebhook, SignatureError, WebhookProvider, header, mac,
};
use crate::secrets::Secret;

const SIGNATURE: HeaderName = HeaderName::from_static("x-shopify-hmac-sha256");
const EVENT: HeaderName = HeaderName::from_static("x-shopify-event-id");
const WEBHOOK: HeaderName = HeaderName::from_static("x-shopify-webhook-id");
const TOPIC: HeaderName = HeaderName::from_static("x-shopify-topic");
const SHOP: HeaderName = HeaderName::from_static("x-shopify-shop-domain");

/// Shopify.
#[derive(Debug, Clone, Copy, Default)]
pub struct Shopify;

impl WebhookProvider for Shopify {
    fn name(&self) -> &'static str {
        "shopify"
    }

    fn account(&self, request: &InboundWebhook<'_>, _: Option<&Value>) -> Result<Option<String>, EventError> {
        header::fact(request.headers(), &SHOP)
    }

    fn verify(
        &self,
        request: &InboundWebhook<'_>,
        secrets: &[Secret],
        _: Option<&Value>,
        _: Timestamp,
    ) -> Result<(), SignatureError> {
        let value = header::one(request.headers(), &SIGNATURE)?;
        let signature = BASE64.decode(value.as_bytes()).map_err(|_| SignatureError::Malformed)?;
        mac::verify(hmac::HMAC_SHA256, secrets, &[request.body()], &[signature])
    }

    fn event(&self, request: &InboundWebhook<'_>, _: Option<&Value>) -> Result<EventFacts, EventError> {
        let headers = request.headers();
        let topic = header::fact(headers, &TOPIC)?;
        let id = match (header::fact(headers, &EVENT)?, &topic) {
            (Some(id), Some(topic)) => header::checked(&format!("{id}:{topic}"))?,
            (Some(id), None) => id,
            (None, _) => header::fact(headers, &WEBHOOK)?.ok_or(EventError::NoId)?,
        };
        Ok(EventFacts { event_id: id, event_type: topic, account: header::fact(headers, &SHOP)? })
    }

    fn redacted_headers(&self, _: Option<&Value>) -> Vec<HeaderName> {
        vec![SIGNATURE]
    }

    fn sign(&self, fixture: &Fixture<'_>, secret: &Secret, _: Timestamp) -> Result<HeaderMap, FixtureError> {
        let tag = mac::sign(hmac::HMAC_SHA256, secret, &[fixture.body])?;
        let signature = BASE64.encode(tag.as_ref());
        let mut headers = header::map([(SIGNATURE, &signature), (WEBHOOK, fixture.event_id)])?;
        for (name, value) in [(TOPIC, fixture.event_type), (SHOP, fixture.account)] {
            if let Some(value) = value {
                headers.extend(header::map([(name, value)])?);
            }
        }
        Ok(headers)
    }
}
