//! Stripe: `Stripe-Signature: t=<seconds>,v1=<hex>,…`, HMAC-SHA256 over `<t>.<body>`.
//!
//! The secret is used as the text that Stripe shows, `whsec_` included. Schemes other than `v1` are not looked at.
//!
//! A snapshot event of a connected account names it as `account`. A thin event (`"object": "v2.core.event"`) names it as
//! `context`, which may be a path from the organization down: its last part is the account. Thin and snapshot events
//! are signed alike.

use aws_lc_rs::hmac;
use data_encoding::HEXLOWER;
use http::{HeaderMap, HeaderName};
use orchestrator_types::Timestamp;
use serde_json::Value;

use super::{
    Address, EventError, EventFacts, Fixture, FixtureError, InboundWebhook, SignatureError, WebhookProvider, fresh,
    header, mac,
};
use crate::callback::signing::SIGNATURES_MAX;
use crate::secrets::Secret;

const SIGNATURE: HeaderName = HeaderName::from_static("stripe-signature");
const PARTS_MAX: usize = 2 * SIGNATURES_MAX;

/// Stripe.
#[derive(Debug, Clone, Copy, Default)]
pub struct Stripe;

const THIN: &str = "v2.core.event";

/// The account that an event is of.
fn account_of(request: &InboundWebhook<'_>) -> Result<Option<String>, EventError> {
    if request.json()?.get("object").and_then(Value::as_str) != Some(THIN) {
        return request.fact("/account");
    }
    let context = request.fact("/context")?;
    let last = |context: String| header::checked(context.rsplit('/').next().unwrap_or_default());
    context.map(last).transpose()
}

struct Signed<'h> {
    time: &'h str,
    signatures: Vec<Vec<u8>>,
}

fn read(value: &str) -> Result<Signed<'_>, SignatureError> {
    let (mut time, mut signatures) = (None, Vec::new());
    for (index, part) in value.split(',').enumerate() {
        if index == PARTS_MAX {
            return Err(SignatureError::TooMany);
        }
        match part.split_once('=').ok_or(SignatureError::Malformed)? {
            ("t", seconds) if time.replace(seconds).is_none() => {}
            ("t", _) => return Err(SignatureError::Repeated),
            ("v1", _) if signatures.len() == SIGNATURES_MAX => return Err(SignatureError::TooMany),
            ("v1", hex) if hex.len() == 64 => {
                signatures.push(HEXLOWER.decode(hex.as_bytes()).map_err(|_| SignatureError::Malformed)?);
            }
            ("v1" | "", _) => return Err(SignatureError::Malformed),
            (other, _) if other.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {}
            _ => return Err(SignatureError::Malformed),
        }
    }
    let time = time.ok_or(SignatureError::Missing)?;
    if signatures.is_empty() {
        return Err(SignatureError::Missing);
    }
    Ok(Signed { time, signatures })
}

impl WebhookProvider for Stripe {
    fn name(&self) -> &'static str {
        "stripe"
    }

    fn account(&self, request: &InboundWebhook<'_>, _: Option<&Value>) -> Result<Option<String>, EventError> {
        account_of(request)
    }

    fn verify(
        &self,
        request: &InboundWebhook<'_>,
        secrets: &[Secret],
        _: Option<&Value>,
        now: Timestamp,
    ) -> Result<(), SignatureError> {
        let signed = read(header::one(request.headers(), &SIGNATURE)?)?;
        fresh::check(signed.time, now)?;
        let parts = [signed.time.as_bytes(), b".", request.body()];
        mac::verify(hmac::HMAC_SHA256, secrets, &parts, &signed.signatures)
    }

    fn event(&self, request: &InboundWebhook<'_>, _: Option<&Value>) -> Result<EventFacts, EventError> {
        Ok(EventFacts {
            event_id: request.fact("/id")?.ok_or(EventError::NoId)?,
            event_type: request.fact("/type")?,
            account: account_of(request)?,
        })
    }

    fn redacted_headers(&self, _: Option<&Value>) -> Vec<HeaderName> {
        vec![SIGNATURE]
    }

    fn address(&self, sample: &mut Value, to: &Address<'_>) {
        let thin = sample.get("object").and_then(Value::as_str) == Some(THIN);
        to.put(sample, "id", Some(to.event_id));
        to.put(sample, if thin { "context" } else { "account" }, to.account);
        to.replace(sample, "type", to.event_type);
        if !thin {
            to.put(sample, "created", Some(to.now.unix_seconds()));
        }
    }

    fn sign(&self, fixture: &Fixture<'_>, secret: &Secret, now: Timestamp) -> Result<HeaderMap, FixtureError> {
        let time = now.unix_seconds().to_string();
        let tag = mac::sign(hmac::HMAC_SHA256, secret, &[time.as_bytes(), b".", fixture.body])?;
        header::map([(SIGNATURE, &format!("t={time},v1={}", HEXLOWER.encode(tag.as_ref())))])
    }
}
