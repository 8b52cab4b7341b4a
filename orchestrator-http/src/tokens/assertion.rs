//! `private_key_jwt` (RFC 7523): a client proves itself by a short token signed with its own key, good for one use.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use jsonwebtoken::{Validation, decode};
use orchestrator_types::Timestamp;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::claims::Unauthenticated;
use super::{jwks, reading, strict};

const SKEW: Duration = Duration::from_secs(30);
const MAX_LIFETIME: Duration = Duration::from_secs(300);
const MAX_BYTES: usize = 8 * 1024;
/// How many used assertions are remembered. At the bound a newcomer is refused: forgetting one would let it be used
/// again.
const REMEMBERED: usize = 100_000;

/// An assertion that was read and not yet believed: it names the client whose key must verify it.
#[derive(Debug)]
pub struct Assertion<'a> {
    text: &'a str,
    client_id: String,
}

impl<'a> Assertion<'a> {
    /// Reads who it claims to be.
    ///
    /// # Errors
    /// It is no assertion.
    pub fn read(text: &'a str) -> Result<Self, Unauthenticated> {
        let client_id = (|| {
            if text.len() > MAX_BYTES {
                return None;
            }
            let payload = text.split('.').nth(1)?;
            let payload = strict::object(&BASE64URL_NOPAD.decode(payload.as_bytes()).ok()?)?;
            let (iss, sub) = (payload.get("iss")?.as_str()?, payload.get("sub")?.as_str()?);
            (iss == sub && reading::is_text(sub)).then(|| sub.to_owned())
        })();
        client_id.map(|client_id| Self { text, client_id }).ok_or(Unauthenticated)
    }

    /// The client that it claims to come from.
    #[must_use]
    pub fn client_id(&self) -> &str {
        &self.client_id
    }
}

/// Verifies assertions, each once. Remembers the used ones of this process until they have expired.
#[derive(Debug, Default)]
pub struct AssertionVerifier {
    used: Mutex<BTreeMap<(String, String), Timestamp>>,
}

impl AssertionVerifier {
    /// Verifies an assertion with its client's public key (JWK), for one of our `audiences`, and uses it up.
    ///
    /// # Errors
    /// It does not hold, or was used before.
    pub fn verify(
        &self,
        assertion: &Assertion<'_>,
        public_key: &Value,
        audiences: &[&str],
        now: Timestamp,
    ) -> Result<(), Unauthenticated> {
        let (id, expires_at) = check(assertion, public_key, audiences, now).ok_or(Unauthenticated)?;
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if used.len() >= REMEMBERED {
            used.retain(|_, until| now < *until);
        }
        let key = (assertion.client_id.clone(), id);
        if used.len() >= REMEMBERED || used.get(&key).is_some_and(|until| now < *until) {
            return Err(Unauthenticated);
        }
        used.insert(key, expires_at.after(SKEW));
        Ok(())
    }
}

/// The assertion's id and end, if it holds.
fn check(
    assertion: &Assertion<'_>,
    public_key: &Value,
    audiences: &[&str],
    now: Timestamp,
) -> Option<(String, Timestamp)> {
    let mut parts = assertion.text.split('.');
    let header = strict::object(&BASE64URL_NOPAD.decode(parts.next()?.as_bytes()).ok()?)?;
    let payload = strict::object(&BASE64URL_NOPAD.decode(parts.next()?.as_bytes()).ok()?)?;
    let key = jwks::read_key(public_key.as_object()?)?;
    if reading::assertion_algorithm(&header)? != key.algorithm {
        return None;
    }
    let mut validation = Validation::new(key.algorithm);
    validation.set_required_spec_claims(&["exp", "iss", "sub", "aud"]);
    validation.set_issuer(&[&assertion.client_id]);
    validation.sub = Some(assertion.client_id.clone());
    validation.set_audience(audiences);
    validation.validate_exp = false;
    decode::<IgnoredAny>(assertion.text, &key.decoding, &validation).ok()?;
    let audience = payload.get("aud")?.as_str()?;
    let (id, expires_at) = (reading::text(payload.get("jti")?)?, reading::date(payload.get("exp")?)?);
    let begun = |moment: Option<Timestamp>| moment.is_none_or(|moment| moment <= now.after(SKEW));
    let holds = audiences.contains(&audience)
        && now < expires_at.after(SKEW)
        && expires_at <= now.after(MAX_LIFETIME).after(SKEW)
        && begun(reading::optional(&payload, "iat", reading::date)?)
        && begun(reading::optional(&payload, "nbf", reading::date)?);
    holds.then_some((id, expires_at))
}
