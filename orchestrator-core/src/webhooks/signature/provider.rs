//! What a provider of webhooks is to the ingress.

use http::{HeaderMap, HeaderName};
use orchestrator_types::{FieldError, Timestamp};
use serde_json::Value;

use super::{Address, EventError, FixtureError, InboundWebhook, SignatureError, settings};
use crate::secrets::Secret;

/// What an event says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventFacts {
    /// The provider's id of it: the same on each delivery.
    pub event_id: String,
    /// The provider's type of it.
    pub event_type: Option<String>,
    /// The account that it names.
    pub account: Option<String>,
}

/// A webhook to be signed as the provider would: for trying a route out.
#[derive(Debug, Clone, Copy)]
pub struct Fixture<'a> {
    /// The body, as it will be sent.
    pub body: &'a [u8],
    /// The event's id, for providers that put it into a header.
    pub event_id: &'a str,
    /// The event's type, for providers that put it into a header.
    pub event_type: Option<&'a str>,
    /// The account, for providers that put it into a header.
    pub account: Option<&'a str>,
    /// The route's settings.
    pub settings: Option<&'a Value>,
}

impl<'a> Fixture<'a> {
    /// A fixture of this body and id.
    #[must_use]
    pub fn new(body: &'a [u8], event_id: &'a str) -> Self {
        Self { body, event_id, event_type: None, account: None, settings: None }
    }
}

/// A provider of webhooks: how its signatures are verified, and where its events say what they are.
///
/// Everything here is pure: no waiting, no clock, no store. The order of use: [`account`](Self::account) finds the route,
/// [`verify`](Self::verify) proves that the event is that route's, and only then [`event`](Self::event) is believed.
pub trait WebhookProvider: Send + Sync + 'static {
    /// Its name in paths and routes.
    fn name(&self) -> &'static str;

    /// The account that the webhook names, not yet proven: it only says whose secret must verify it.
    ///
    /// # Errors
    /// There is something where the account stands, but no account: such a webhook belongs to nobody, not even to a default.
    fn account(&self, request: &InboundWebhook<'_>, settings: Option<&Value>) -> Result<Option<String>, EventError>;

    /// Proves that one of the secrets signed these bytes, and lately, where the scheme has a time.
    ///
    /// # Errors
    /// It is not so.
    fn verify(
        &self,
        request: &InboundWebhook<'_>,
        secrets: &[Secret],
        settings: Option<&Value>,
        now: Timestamp,
    ) -> Result<(), SignatureError>;

    /// What the event says of itself. To be believed once it is verified.
    ///
    /// # Errors
    /// It has no id, or says something that cannot be.
    fn event(&self, request: &InboundWebhook<'_>, settings: Option<&Value>) -> Result<EventFacts, EventError>;

    /// The headers whose values are not kept.
    fn redacted_headers(&self, settings: Option<&Value>) -> Vec<HeaderName>;

    /// What is wrong with a route's settings, with pointers into them. A provider without settings takes none.
    fn check_settings(&self, settings: Option<&Value>) -> Vec<FieldError> {
        settings::none(settings)
    }

    /// What must be echoed at once, without an event, when the provider only asks whether the endpoint is ours.
    fn challenge(&self, _request: &InboundWebhook<'_>) -> Option<String> {
        None
    }

    /// What the provider wants to read, as plain text, once the event is durable; without it, it gets our own JSON.
    fn acknowledgement(&self) -> Option<&'static str> {
        None
    }

    /// Makes a sample event another one of this id, type and account, where the body tells them.
    fn address(&self, _sample: &mut Value, _to: &Address<'_>) {}

    /// The body that the provider would send: the fixture's own, unless the signature stands in it.
    ///
    /// # Errors
    /// The secret or the body is of another form than the scheme's.
    fn signed_body(&self, fixture: &Fixture<'_>, _secret: &Secret) -> Result<Vec<u8>, FixtureError> {
        Ok(fixture.body.to_vec())
    }

    /// The headers with which the provider would send the fixture.
    ///
    /// # Errors
    /// The secret, the id or the settings are of another form than the scheme's.
    fn sign(&self, fixture: &Fixture<'_>, secret: &Secret, now: Timestamp) -> Result<HeaderMap, FixtureError>;
}
