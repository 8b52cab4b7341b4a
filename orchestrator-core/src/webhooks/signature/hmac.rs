//! A sender with an HMAC of its own: which header, algorithm and encoding, and where the facts stand, is configured.
//!
//! Over the body; with a `timestamp_header` (seconds since the epoch) over `<timestamp>.<body>`, and then not older or
//! newer than 300 seconds. Hex is lower-case. An `id_header` is not signed: prefer an `id_pointer`.

use http::{HeaderMap, HeaderName};
use orchestrator_types::{FieldError, Timestamp};
use serde_json::Value;

use super::settings::{HmacSettings, IdPlace};
use super::{
    Address, EventError, EventFacts, Fixture, FixtureError, InboundWebhook, SignatureError, WebhookProvider, fresh,
    header, mac,
};
use crate::secrets::Secret;

/// Any sender that signs its body with an HMAC.
#[derive(Debug, Clone, Copy, Default)]
pub struct Hmac;

fn read(settings: Option<&Value>) -> Result<HmacSettings<'_>, EventError> {
    HmacSettings::read(settings).map_err(|_| EventError::Settings)
}

fn optional_fact(request: &InboundWebhook<'_>, pointer: Option<&str>) -> Result<Option<String>, EventError> {
    pointer.map_or(Ok(None), |pointer| request.fact(pointer))
}

impl WebhookProvider for Hmac {
    fn name(&self) -> &'static str {
        "hmac"
    }

    fn account(&self, request: &InboundWebhook<'_>, settings: Option<&Value>) -> Result<Option<String>, EventError> {
        optional_fact(request, read(settings)?.account_pointer)
    }

    fn verify(
        &self,
        request: &InboundWebhook<'_>,
        secrets: &[Secret],
        settings: Option<&Value>,
        now: Timestamp,
    ) -> Result<(), SignatureError> {
        let settings = HmacSettings::read(settings).map_err(|_| SignatureError::Settings)?;
        let value = header::one(request.headers(), &settings.header)?;
        let encoded = value.strip_prefix(settings.prefix).ok_or(SignatureError::Malformed)?;
        let signature = settings.encoding.decode(encoded).ok_or(SignatureError::Malformed)?;
        let Some(name) = &settings.timestamp_header else {
            return mac::verify(settings.algorithm, secrets, &[request.body()], &[signature]);
        };
        let time = header::one(request.headers(), name)?;
        fresh::check(time, now)?;
        mac::verify(settings.algorithm, secrets, &[time.as_bytes(), b".", request.body()], &[signature])
    }

    fn event(&self, request: &InboundWebhook<'_>, settings: Option<&Value>) -> Result<EventFacts, EventError> {
        let settings = read(settings)?;
        let event_id = match &settings.id {
            IdPlace::Pointer(pointer) => request.fact(pointer)?,
            IdPlace::Header(name) => header::fact(request.headers(), name)?,
        };
        Ok(EventFacts {
            event_id: event_id.ok_or(EventError::NoId)?,
            event_type: optional_fact(request, settings.type_pointer)?,
            account: optional_fact(request, settings.account_pointer)?,
        })
    }

    fn redacted_headers(&self, settings: Option<&Value>) -> Vec<HeaderName> {
        HmacSettings::read(settings).map_or_else(|_| vec![], |settings| vec![settings.header])
    }

    fn check_settings(&self, settings: Option<&Value>) -> Vec<FieldError> {
        HmacSettings::read(settings).err().unwrap_or_default()
    }

    fn address(&self, sample: &mut Value, to: &Address<'_>) {
        let Ok(settings) = HmacSettings::read(to.settings) else { return };
        if let IdPlace::Pointer(pointer) = settings.id {
            to.put_at(sample, pointer, Some(to.event_id));
        }
        for (pointer, value) in [(settings.type_pointer, to.event_type), (settings.account_pointer, to.account)] {
            if let (Some(pointer), Some(value)) = (pointer, value) {
                to.put_at(sample, pointer, Some(value));
            }
        }
    }

    fn sign(&self, fixture: &Fixture<'_>, secret: &Secret, now: Timestamp) -> Result<HeaderMap, FixtureError> {
        let settings = HmacSettings::read(fixture.settings).map_err(|_| FixtureError::Settings)?;
        let time = now.unix_seconds().to_string();
        let timed = [time.as_bytes(), b".", fixture.body];
        let parts = if settings.timestamp_header.is_some() { &timed[..] } else { &timed[2..] };
        let tag = mac::sign(settings.algorithm, secret, parts)?;
        let signature = format!("{}{}", settings.prefix, settings.encoding.encode(tag.as_ref()));
        let mut headers = header::map([(settings.header, &signature)])?;
        if let Some(name) = settings.timestamp_header {
            headers.extend(header::map([(name, &time)])?);
        }
        if let IdPlace::Header(name) = settings.id {
            headers.extend(header::map([(name, fixture.event_id)])?);
        }
        Ok(headers)
    }
}
