//! Good tokens to derive others from, and the tests of what is decided about them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod assertions;
mod forgeries;
mod issuers;
mod keys;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use aws_lc_rs::hmac;
use aws_lc_rs::signature::Ed25519KeyPair;
use data_encoding::BASE64URL_NOPAD;
use orchestrator_core::clock::Clock;
use orchestrator_types::{Timestamp, scope};
use serde_json::{Value, json};

use super::*;

const NOW: i64 = 1_800_000_000;

struct FakeClock(AtomicI64);

impl Clock for FakeClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_ms(self.0.load(Ordering::SeqCst))
    }
}

fn clock() -> Arc<FakeClock> {
    Arc::new(FakeClock(AtomicI64::new(NOW * 1000)))
}

/// A token to be, and the key that signs it.
#[derive(Clone)]
struct Forge {
    pkcs8: Vec<u8>,
    header: Value,
    claims: Value,
}

fn b64(bytes: impl AsRef<[u8]>) -> String {
    BASE64URL_NOPAD.encode(bytes.as_ref())
}

impl Forge {
    fn of(key: &SigningKey) -> Self {
        Self {
            pkcs8: key.pkcs8().to_vec(),
            header: json!({"typ": "at+jwt", "alg": "EdDSA", "kid": key.kid()}),
            claims: json!({
                "iss": "orchestrator-dev", "sub": "svc:billing", "aud": "orchestrator-exec", "tid": "buildos-dev",
                "scope": "orchestrator.execute", "jti": "t-1", "iat": NOW, "exp": NOW + 600,
            }),
        }
    }

    fn sign(&self) -> String {
        self.sign_texts(&self.header.to_string(), self.claims.to_string().as_bytes())
    }

    fn sign_texts(&self, header: &str, claims: &[u8]) -> String {
        let message = format!("{}.{}", b64(header), b64(claims));
        let key = Ed25519KeyPair::from_pkcs8(&self.pkcs8).unwrap();
        format!("{message}.{}", b64(key.sign(message.as_bytes())))
    }

    fn header(&self, name: &str, value: Value) -> String {
        let mut forge = self.clone();
        forge.header[name] = value;
        forge.sign()
    }

    fn without_header(&self, name: &str) -> String {
        let mut forge = self.clone();
        forge.header.as_object_mut().unwrap().remove(name);
        forge.sign()
    }

    fn claim(&self, name: &str, value: Value) -> String {
        let mut forge = self.clone();
        forge.claims[name] = value;
        forge.sign()
    }

    fn without_claim(&self, name: &str) -> String {
        let mut forge = self.clone();
        forge.claims.as_object_mut().unwrap().remove(name);
        forge.sign()
    }

    /// Signed as it is, with one more text in front of the claims: `"tid":"x",`.
    fn with_claims_text(&self, more: &str) -> String {
        let claims = self.claims.to_string().replacen('{', &format!("{{{more}"), 1);
        self.sign_texts(&self.header.to_string(), claims.as_bytes())
    }

    fn hmac(&self, algorithm: &str, with: hmac::Algorithm, secret: &[u8]) -> String {
        let mut header = self.header.clone();
        header["alg"] = algorithm.into();
        let message = format!("{}.{}", b64(header.to_string()), b64(self.claims.to_string()));
        let tag = hmac::sign(&hmac::Key::new(with, secret), message.as_bytes());
        format!("{message}.{}", b64(tag))
    }
}

fn authority(keys: SigningKeys, clock: Arc<FakeClock>) -> TokenAuthority {
    TokenAuthority::builder("dev".parse().unwrap(), keys, clock).build().unwrap()
}

fn copy(key: &SigningKey) -> SigningKey {
    SigningKey::from_pkcs8(key.pkcs8()).unwrap()
}

fn new_token() -> NewToken {
    NewToken {
        audience: Audience::Exec,
        subject: "svc:billing".to_owned(),
        workspace: Some("buildos-dev".parse().unwrap()),
        scopes: Scopes::new([scope::EXECUTE]),
        actor: None,
        generation: None,
        ttl: Duration::from_secs(600),
    }
}

fn jwk(key: &SigningKey) -> Value {
    serde_json::to_value(Jwks::of(std::iter::once(key))).unwrap()["keys"][0].clone()
}
