//! The credentials of a call, from the secret slots, at the last moment.

use data_encoding::BASE64;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue};
use orchestrator_core::connector::{CallError, CallErrorKind, SecretSlots, Sent};
use orchestrator_core::secrets::Secret;
use orchestrator_types::FieldError;

/// Every slot of the kind.
pub(super) const SLOTS: &[&str] = &["bearer", "basic", "username", "password", "header"];

/// Which slots are filled decides how a connector authenticates: `bearer`; or `basic` (`user:password`); or `username`
/// and `password`; and, beside any of them, `header`.
pub(super) struct Credentials {
    slots: SecretSlots,
    header_name: Option<HeaderName>,
}

impl Credentials {
    /// The credentials of these slots.
    ///
    /// # Errors
    /// Slots are filled that do not go together.
    pub(super) fn new(slots: SecretSlots, header_name: Option<HeaderName>) -> Result<Self, Vec<FieldError>> {
        let mut problems = Vec::new();
        let pair = slots.has("username") || slots.has("password");
        let ways = [slots.has("bearer"), slots.has("basic"), pair].into_iter().filter(|way| *way).count();
        if ways > 1 {
            problems.push(FieldError::new("", "fill one of the slots `bearer`, `basic`, or `username` and `password`"));
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
        if problems.is_empty() { Ok(Self { slots, header_name }) } else { Err(problems) }
    }

    /// Adds them to the headers of a call.
    ///
    /// # Errors
    /// A secret cannot be had now, or cannot be sent in a header.
    pub(super) async fn add_to(&self, headers: &mut HeaderMap) -> Result<(), CallError> {
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
            // A call that lacks a credential that its settings name would go out unauthenticated.
            let secret = self.secret("header").await?.ok_or_else(|| unavailable("header", "is not filled"))?;
            headers.insert(name, sensitive("header", secret.expose())?);
        }
        Ok(())
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
