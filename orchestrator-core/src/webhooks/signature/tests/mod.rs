#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod adyen;
mod forms;
mod mutations;
mod paddle;
mod thin;
mod vectors;

use http::{HeaderMap, HeaderName, HeaderValue};
use orchestrator_types::Timestamp;
use serde_json::{Value, json};

use super::*;
use crate::secrets::Secret;

const NOW: Timestamp = Timestamp::from_unix_ms(1_700_000_000_000);
const BODY: &[u8] = br#"{"id":"evt_1","type":"charge.succeeded","account":"acct_123"}"#;

fn secret(text: &str) -> Secret {
    Secret::new(text.to_owned())
}

fn headers(values: &[(&str, &str)]) -> HeaderMap {
    let pair = |(name, value): &(&str, &str)| {
        (HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_bytes(value.as_bytes()).unwrap())
    };
    let mut headers = HeaderMap::new();
    for (name, value) in values.iter().map(pair) {
        headers.append(name, value);
    }
    headers
}

fn verify(
    provider: &dyn WebhookProvider,
    headers: &HeaderMap,
    body: &[u8],
    secrets: &[Secret],
) -> Result<(), SignatureError> {
    provider.verify(&InboundWebhook::new(headers, body), secrets, None, NOW)
}

/// A route of a provider, and a webhook that it takes.
struct Case {
    provider: &'static dyn WebhookProvider,
    settings: Option<Value>,
    secret: Secret,
    body: &'static [u8],
}

impl Case {
    fn all() -> Vec<Self> {
        let case = |name: &str, text: &str, settings: Option<Value>, body: &'static [u8]| Self {
            provider: provider(name).unwrap(),
            settings,
            secret: secret(text),
            body,
        };
        let slack = br#"{"type":"event_callback","team_id":"T1","event_id":"Ev1","event":{"type":"message"}}"#;
        let plain = json!({"header": "X-Signature", "prefix": "sha256=", "id_pointer": "/id", "type_pointer": "/type", "account_pointer": "/account"});
        let timed = json!({"header": "X-Sign", "algorithm": "sha512", "encoding": "base64", "id_header": "X-Id", "timestamp_header": "X-Time"});
        let legacy = json!({"header": "X-Sign", "algorithm": "sha1", "id_pointer": "/id"});
        vec![
            case("stripe", "whsec_test_secret", None, BODY),
            case("github", "It's a Secret to Everybody", None, BODY),
            case("shopify", "hush", None, BODY),
            case("slack", "8f742231b10e8888abcd99yyyzzz85a5", None, slack),
            case("standard-webhooks", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD", None, BODY),
            case("hmac", "hush", Some(plain), BODY),
            case("hmac", "hush", Some(timed), BODY),
            case("hmac", "hush", Some(legacy), BODY),
            case("paddle", paddle::SECRET, None, paddle::BODY),
            case("adyen", adyen::KEY, None, adyen::AUTHORISATION),
        ]
    }

    fn sign(&self) -> HeaderMap {
        let fixture = Fixture {
            event_type: Some("orders/create"),
            account: Some("shop.example"),
            settings: self.settings.as_ref(),
            ..Fixture::new(self.body, "id_1")
        };
        self.provider.sign(&fixture, &self.secret, NOW).unwrap()
    }

    fn verify(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        secrets: &[Secret],
        now: Timestamp,
    ) -> Result<(), SignatureError> {
        self.provider.verify(&InboundWebhook::new(headers, body), secrets, self.settings.as_ref(), now)
    }

    fn takes(&self, headers: &HeaderMap, body: &[u8]) -> Result<(), SignatureError> {
        self.verify(headers, body, std::slice::from_ref(&self.secret), NOW)
    }

    /// The headers that the signature covers or that carry it.
    fn covered(&self) -> Vec<HeaderName> {
        let covered: &[&str] = match (self.provider.name(), &self.settings) {
            ("stripe", _) => &["stripe-signature"],
            ("github", _) => &["x-hub-signature-256"],
            ("shopify", _) => &["x-shopify-hmac-sha256"],
            ("paddle", _) => &["paddle-signature"],
            // Its signature stands in the body.
            ("adyen", _) => &[],
            ("slack", _) => &["x-slack-signature", "x-slack-request-timestamp"],
            ("standard-webhooks", _) => &["webhook-id", "webhook-timestamp", "webhook-signature"],
            ("hmac", Some(settings)) if settings.get("timestamp_header").is_some() => &["x-sign", "x-time"],
            ("hmac", Some(settings)) if settings.get("prefix").is_some() => &["x-signature"],
            _ => &["x-sign"],
        };
        covered.iter().map(|name| name.parse().unwrap()).collect()
    }
}
