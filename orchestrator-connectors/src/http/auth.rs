//! The credentials of a call, from the secret slots, at the last moment.

use std::sync::Arc;

use data_encoding::BASE64;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use orchestrator_core::connector::{CallError, CallErrorKind, SecretSlots, Sent};
use orchestrator_core::secrets::Secret;
use orchestrator_types::FieldError;
use url::Url;

use super::connections::CONNECTION_SLOTS;
use super::oauth2::{Token, Tokens};
use super::settings::HttpSettings;
use super::signing::Signing;
use crate::egress::EgressClient;

/// Every slot of the kind.
pub(super) const SLOTS: &[&str] = &[
    "bearer",
    "basic",
    "username",
    "password",
    "header",
    "client_secret",
    "signing_key",
    CONNECTION_SLOTS[0],
    CONNECTION_SLOTS[1],
    CONNECTION_SLOTS[2],
];

/// Which slots are filled decides how a connector authenticates: `bearer`; or `basic` (`user:password`); or `username`
/// and `password`; or `client_secret`, which gets access tokens; and, beside any of them, `header` and a signature.
pub(super) struct Credentials {
    slots: SecretSlots,
    header_name: Option<HeaderName>,
    tokens: Option<Tokens>,
    signing: Option<Signing>,
}

impl Credentials {
    /// The credentials of these slots.
    ///
    /// # Errors
    /// Slots are filled that do not go together.
    pub(super) fn new(slots: SecretSlots, settings: &HttpSettings) -> Result<Self, Vec<FieldError>> {
        let header_name = settings.header_name.clone();
        let mut problems = Vec::new();
        let pair = slots.has("username") || slots.has("password");
        let tokens = settings.oauth2.is_some();
        let ways = [slots.has("bearer"), slots.has("basic"), pair, tokens].into_iter().filter(|way| *way).count();
        if ways > 1 {
            problems.push(FieldError::new("", "there is one way to authenticate: one of the slots `bearer`, `basic`, `username` and `password`, or `oauth2`"));
        }
        if slots.has("password") && !slots.has("username") {
            problems.push(FieldError::new("", "the slot `password` is filled, but not `username`"));
        }
        if slots.has("header") && header_name.is_none() {
            problems
                .push(FieldError::new("/header_name", "the slot `header` is filled: name the header that carries it"));
        }
        if ways > 0 && header_name.as_ref() == Some(&AUTHORIZATION) {
            problems.push(FieldError::new("/header_name", "another slot is sent as `Authorization`"));
        }
        for (slot, place, needed) in [
            ("client_secret", "/oauth2", tokens),
            ("signing_key", "/signing", settings.signing.is_some()),
            ("proxy", "/proxy", settings.connections.proxy.is_some()),
        ] {
            if slots.has(slot) && !needed {
                problems
                    .push(FieldError::new(place, format!("the slot `{slot}` is filled, but this setting is absent")));
            }
        }
        if slots.has("client_key") && !slots.has("client_certificate") {
            problems.push(FieldError::new("", "the slot `client_key` is filled, but not `client_certificate`"));
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let tokens = settings.oauth2.clone().map(Tokens::new);
        Ok(Self { slots, header_name, tokens, signing: settings.signing.clone() })
    }

    /// Adds them to the headers of a call.
    ///
    /// # Errors
    /// A secret cannot be had now, or cannot be sent in a header.
    pub(super) async fn add_to(&self, headers: &mut HeaderMap, token: Option<&Token>) -> Result<(), CallError> {
        if let Some(token) = token {
            let value = format!("Bearer {}", token.value().expose());
            headers.insert(AUTHORIZATION, sensitive("client_secret", &value)?);
        }
        if let Some(token) = self.secret("bearer").await? {
            headers.insert(AUTHORIZATION, sensitive("bearer", &format!("Bearer {}", token.expose()))?);
        }
        if let Some(pair) = self.secret("basic").await? {
            headers.insert(AUTHORIZATION, basic("basic", pair.expose())?);
        }
        if let Some(user) = self.secret("username").await? {
            let password = self.secret("password").await?;
            let password = password.as_ref().map_or("", Secret::expose);
            headers.insert(AUTHORIZATION, basic("username", &format!("{}:{password}", user.expose()))?);
        }
        if let Some(name) = &self.header_name {
            headers.insert(name, sensitive("header", self.needed("header").await?.expose())?);
        }
        Ok(())
    }

    /// The access token of a call, if it carries one. `refused` is one that the API did not take.
    ///
    /// # Errors
    /// There is none, and none could be got. Nothing was sent to the API.
    pub(super) async fn token(
        &self,
        client: &EgressClient,
        refused: Option<&Arc<Token>>,
    ) -> Result<Option<Arc<Token>>, CallError> {
        let Some(tokens) = &self.tokens else { return Ok(None) };
        let secret = self.needed("client_secret").await?;
        tokens.get(client, &secret, refused).await.map(Some)
    }

    /// Signs a request that is ready but for that.
    ///
    /// # Errors
    /// The key cannot be had, or is none. Nothing was sent.
    pub(super) async fn sign(
        &self,
        method: &Method,
        url: &Url,
        headers: &mut HeaderMap,
        body: &[u8],
    ) -> Result<(), CallError> {
        let Some(signing) = &self.signing else { return Ok(()) };
        let key = self.needed("signing_key").await?;
        signing.sign(&key, method, url, headers, body)
    }

    async fn needed(&self, slot: &str) -> Result<Secret, CallError> {
        // A call that lacks a credential that its settings name would go out unauthenticated.
        self.secret(slot).await?.ok_or_else(|| unavailable(slot, "is not filled"))
    }

    async fn secret(&self, slot: &str) -> Result<Option<Secret>, CallError> {
        self.slots.get(slot).await.map_err(|_| unavailable(slot, "cannot be read now"))
    }
}

fn basic(slot: &str, pair: &str) -> Result<HeaderValue, CallError> {
    sensitive(slot, &format!("Basic {}", BASE64.encode(pair.as_bytes())))
}

fn sensitive(slot: &str, text: &str) -> Result<HeaderValue, CallError> {
    let mut value = HeaderValue::from_str(text).map_err(|_| {
        unavailable(slot, "holds characters that a header cannot carry: has it a line break at its end?")
    })?;
    value.set_sensitive(true);
    Ok(value)
}

fn unavailable(slot: &str, what: &str) -> CallError {
    CallError::new(CallErrorKind::SecretUnavailable, Sent::No, format!("the secret slot `{slot}` {what}"))
}
