//! Adyen (payments): the signature stands in the body, `additionalData.hmacSignature` of the one item: HMAC-SHA256 in
//! base64 over `pspReference:originalReference:merchantAccountCode:merchantReference:value:currency:eventCode:success`,
//! under a key given in hex.
//!
//! Only those eight fields are signed, so only they are believed here: the account is `merchantAccountCode`, the event's
//! id is `pspReference:eventCode:success`, its type `eventCode`. Everything else in the item is as trustworthy as the
//! line that it came over. Nothing is escaped, as in Adyen's own libraries; so that what was signed can be read in one
//! way only, no field but `merchantReference` may hold a colon. There is no time: a repetition is told by its id.
//!
//! Adyen sends JSON with one item a request. A request of several is refused whole: they would share one body.

use aws_lc_rs::hmac;
use data_encoding::{BASE64, HEXLOWER_PERMISSIVE};
use http::{HeaderMap, HeaderName};
use orchestrator_types::Timestamp;
use serde_json::{Value, json};

use super::{
    Address, EventError, EventFacts, Fixture, FixtureError, InboundWebhook, SignatureError, WebhookProvider, header,
    mac,
};
use crate::callback::signing::SigningError;
use crate::secrets::Secret;

const ITEM: &str = "/notificationItems/0/NotificationRequestItem";
/// In the order in which they are signed.
const FIELDS: [&str; 8] = [
    "/pspReference",
    "/originalReference",
    "/merchantAccountCode",
    "/merchantReference",
    "/amount/value",
    "/amount/currency",
    "/eventCode",
    "/success",
];
const FREE: &str = "/merchantReference";
const FIELD_MAX: usize = 1_024;

/// Adyen.
#[derive(Debug, Clone, Copy, Default)]
pub struct Adyen;

/// The one item of a request.
fn item<'v>(request: &'v InboundWebhook<'_>) -> Result<&'v Value, EventError> {
    let body = request.json()?;
    match body.get("notificationItems").and_then(Value::as_array).map(Vec::as_slice) {
        Some([_]) => body.pointer(ITEM).filter(|item| item.is_object()).ok_or(EventError::Malformed),
        Some([_, _, ..]) => Err(EventError::Several),
        _ => Err(EventError::Malformed),
    }
}

/// What is signed of an item.
fn signed(item: &Value) -> Option<Vec<u8>> {
    let mut text = String::new();
    for (index, pointer) in FIELDS.into_iter().enumerate() {
        let field = match item.pointer(pointer) {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(Value::Bool(truth)) => truth.to_string(),
            Some(Value::Number(number)) if !number.is_f64() => number.to_string(),
            Some(_) => return None,
        };
        if field.len() > FIELD_MAX || (pointer != FREE && field.contains(':')) {
            return None;
        }
        if index > 0 {
            text.push(':');
        }
        text.push_str(&field);
    }
    Some(text.into_bytes())
}

fn key(secret: &Secret) -> Option<hmac::Key> {
    let bytes = zeroize::Zeroizing::new(HEXLOWER_PERMISSIVE.decode(secret.expose().trim().as_bytes()).ok()?);
    (!bytes.is_empty()).then(|| hmac::Key::new(hmac::HMAC_SHA256, &bytes))
}

fn fact(item: &Value, pointer: &str) -> Result<Option<String>, EventError> {
    match item.pointer(pointer) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => header::checked(text).map(Some),
        Some(Value::Bool(truth)) => Ok(Some(truth.to_string())),
        Some(_) => Err(EventError::Malformed),
    }
}

impl WebhookProvider for Adyen {
    fn name(&self) -> &'static str {
        "adyen"
    }

    fn account(&self, request: &InboundWebhook<'_>, _: Option<&Value>) -> Result<Option<String>, EventError> {
        fact(item(request)?, "/merchantAccountCode")
    }

    fn verify(
        &self,
        request: &InboundWebhook<'_>,
        secrets: &[Secret],
        _: Option<&Value>,
        _: Timestamp,
    ) -> Result<(), SignatureError> {
        let item = item(request).map_err(|_| SignatureError::Malformed)?;
        let value = match item.pointer("/additionalData/hmacSignature") {
            None | Some(Value::Null) => return Err(SignatureError::Missing),
            Some(Value::String(value)) if value.len() > header::VALUE_MAX => return Err(SignatureError::TooLong),
            Some(Value::String(value)) => value,
            Some(_) => return Err(SignatureError::Malformed),
        };
        let signature = BASE64.decode(value.as_bytes()).map_err(|_| SignatureError::Malformed)?;
        let signed = signed(item).ok_or(SignatureError::Malformed)?;
        let keys = secrets.iter().filter_map(key);
        mac::any_matches(keys.map(|key| hmac::sign(&key, &signed)), &[signature])
    }

    fn event(&self, request: &InboundWebhook<'_>, _: Option<&Value>) -> Result<EventFacts, EventError> {
        // What holds no item holds no id either.
        let item = match item(request) {
            Err(EventError::Malformed) => return Err(EventError::NoId),
            other => other?,
        };
        let reference = fact(item, "/pspReference")?.ok_or(EventError::NoId)?;
        let code = fact(item, "/eventCode")?.ok_or(EventError::NoId)?;
        let success = fact(item, "/success")?.unwrap_or_default();
        Ok(EventFacts {
            event_id: header::checked(&format!("{reference}:{code}:{success}"))?,
            event_type: Some(code),
            account: fact(item, "/merchantAccountCode")?,
        })
    }

    fn redacted_headers(&self, _: Option<&Value>) -> Vec<HeaderName> {
        vec![]
    }

    fn acknowledgement(&self) -> Option<&'static str> {
        Some("[accepted]")
    }

    fn address(&self, sample: &mut Value, to: &Address<'_>) {
        let Some(item) = sample.pointer_mut(ITEM) else { return };
        to.put(item, "pspReference", Some(to.event_id));
        to.put(item, "merchantAccountCode", to.account.or(Some("ExampleMerchant")));
        to.replace(item, "eventCode", to.event_type);
    }

    fn sign(&self, fixture: &Fixture<'_>, secret: &Secret, _: Timestamp) -> Result<HeaderMap, FixtureError> {
        // The signature is in the body: what could not be signed there is refused here as well.
        self.signed_body(fixture, secret).map(|_| HeaderMap::new())
    }

    fn signed_body(&self, fixture: &Fixture<'_>, secret: &Secret) -> Result<Vec<u8>, FixtureError> {
        let key = key(secret).ok_or(SigningError::Secret)?;
        let mut body: Value = super::parse_json(fixture.body).map_err(|_| FixtureError::Body)?;
        let item = body.pointer_mut(ITEM).ok_or(FixtureError::Body)?;
        let text = signed(item).ok_or(FixtureError::Body)?;
        let signature = BASE64.encode(hmac::sign(&key, &text).as_ref());
        let fields = item.as_object_mut().ok_or(FixtureError::Body)?;
        let additional = fields.entry("additionalData").or_insert_with(|| json!({}));
        let additional = additional.as_object_mut().ok_or(FixtureError::Body)?;
        additional.insert("hmacSignature".to_owned(), json!(signature));
        serde_json::to_vec(&body).map_err(|_| FixtureError::Body)
    }
}
