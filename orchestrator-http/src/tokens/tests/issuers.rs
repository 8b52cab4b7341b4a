//! Issuers other than this install.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::Uri;
use serde_json::{Value, json};

use super::super::*;
use super::{Forge, NOW, b64, clock, jwk};

/// Serves a key set, and counts how often it was asked.
struct Fetcher {
    set: Mutex<Value>,
    fetches: AtomicUsize,
}

#[async_trait]
impl JwksFetcher for Fetcher {
    async fn fetch(&self, _url: &Uri) -> Result<Bytes, JwksFetchError> {
        self.fetches.fetch_add(1, Ordering::SeqCst);
        Ok(self.set.lock().unwrap().to_string().into())
    }
}

fn external(key: &SigningKey) -> Forge {
    let mut forge = Forge::of(key);
    forge.claims["iss"] = "https://login.example".into();
    forge
}

fn with_external(set: Value, audiences: Vec<Audience>) -> (TokenAuthority, Arc<Fetcher>) {
    let fetcher = Arc::new(Fetcher { set: Mutex::new(set), fetches: AtomicUsize::new(0) });
    let keys = IssuerKeys::Url(Uri::from_static("https://login.example/jwks.json"));
    let config = IssuerConfig { issuer: "https://login.example".to_owned(), audiences, keys };
    let own = SigningKeys::of(SigningKey::generate().unwrap());
    let authority = TokenAuthority::builder("dev".parse().unwrap(), own, clock())
        .issuers(vec![config])
        .fetcher(fetcher.clone())
        .build()
        .unwrap();
    (authority, fetcher)
}

#[tokio::test(start_paused = true)]
async fn inv_25_unknown_key_ids_cause_one_fetch_in_thirty_seconds() {
    let key = SigningKey::generate().unwrap();
    let (authority, fetcher) = with_external(json!({"keys": [jwk(&key)]}), vec![Audience::Exec]);
    let good = external(&key).sign();
    assert!(authority.verify(&good, Audience::Exec).await.is_ok());
    assert_eq!(fetcher.fetches.load(Ordering::SeqCst), 1);

    for number in 0..10_000 {
        let forged = external(&key).header("kid", json!(format!("kid-{number}")));
        assert_eq!(authority.verify(&forged, Audience::Exec).await, Err(Unauthenticated));
    }
    assert_eq!(fetcher.fetches.load(Ordering::SeqCst), 1);
    tokio::time::advance(Duration::from_secs(31)).await;
    let rotated = SigningKey::generate().unwrap();
    *fetcher.set.lock().unwrap() = json!({"keys": [jwk(&rotated)]});
    assert!(authority.verify(&external(&rotated).sign(), Audience::Exec).await.is_ok());
    assert_eq!(fetcher.fetches.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn an_issuer_speaks_only_for_its_audience_and_only_with_its_own_keys() {
    let key = SigningKey::generate().unwrap();
    let (authority, _) = with_external(json!({"keys": [jwk(&key)]}), vec![Audience::Exec]);
    let forge = external(&key);
    // Theirs may name other services beside us, and live longer than ours.
    let listed = forge.claim("aud", json!(["https://api.example", "orchestrator-exec"]));
    assert!(authority.verify(&listed, Audience::Exec).await.is_ok());
    assert!(authority.verify(&forge.claim("exp", json!(NOW + 86_400)), Audience::Exec).await.is_ok());
    assert!(authority.verify(&forge.header("typ", json!("JWT")), Audience::Exec).await.is_ok());
    for forged in [
        forge.claim("aud", json!("orchestrator-control")),
        forge.claim("aud", json!(["orchestrator-exec", "orchestrator-control"])),
        forge.claim("iss", json!("orchestrator-dev")),
        forge.claim("iss", json!("https://login.example/")),
        forge.claim("tid", json!("buildos-prod")),
    ] {
        for audience in [Audience::Exec, Audience::Control] {
            assert_eq!(authority.verify(&forged, audience).await, Err(Unauthenticated));
        }
    }
}

#[tokio::test]
async fn inv_25_a_key_that_its_issuer_withdraws_stops_at_the_next_refresh() {
    let key = SigningKey::generate().unwrap();
    let (authority, fetcher) = with_external(json!({"keys": [jwk(&key)]}), vec![Audience::Exec]);
    let token = external(&key).sign();
    assert!(authority.verify(&token, Audience::Exec).await.is_ok());
    *fetcher.set.lock().unwrap() = json!({"keys": [jwk(&SigningKey::generate().unwrap())]});
    authority.refresh().await;
    assert_eq!(authority.verify(&token, Audience::Exec).await, Err(Unauthenticated));
}

#[test]
fn weak_private_and_unknown_keys_of_a_set_are_left_out() {
    let good = jwk(&SigningKey::generate().unwrap());
    let with = |name: &str, value: Value| {
        let mut key = good.clone();
        key[name] = value;
        key
    };
    let rsa =
        |modulus: &[u8], exponent: &[u8]| json!({"kty": "RSA", "kid": "r", "n": b64(modulus), "e": b64(exponent)});
    let strong = [&[0xc1u8][..], &[7u8; 255]].concat();
    for bad in [
        with("kty", json!("oct")),
        with("k", json!("c2VjcmV0")),
        with("d", json!("AAAA")),
        with("use", json!("enc")),
        with("key_ops", json!(["sign"])),
        with("alg", json!("HS256")),
        with("alg", json!("ES256")),
        with("alg", json!("none")),
        with("crv", json!("Ed448")),
        with("x", json!("AAAA")),
        with("kid", json!("")),
        with("kid", json!("k".repeat(129))),
        json!({"kty": "EC", "crv": "P-256", "kid": "e", "x": b64([1u8; 32]), "y": b64([1u8; 32])}),
        json!({"kty": "EC", "crv": "P-521", "kid": "e", "x": b64([1u8; 66]), "y": b64([1u8; 66])}),
        rsa(&strong[..128], &[1, 0, 1]),
        rsa(&strong, &[1]),
        rsa(&strong, &[3]),
        json!(1),
        Value::Null,
    ] {
        let set = json!({"keys": [bad]}).to_string();
        assert_eq!(super::super::jwks::read_set(set.as_bytes()).unwrap().len(), 0, "{set}");
    }
    let set = json!({"keys": [good, rsa(&strong, &[1, 0, 1])]}).to_string();
    assert_eq!(super::super::jwks::read_set(set.as_bytes()).unwrap().len(), 2);
    assert!(super::super::jwks::read_set(b"[]").is_none());
}

#[test]
fn an_issuer_named_like_an_install_is_refused() {
    let keys = || IssuerKeys::Url(Uri::from_static("https://x.example/"));
    for (issuer, audiences) in [
        ("orchestrator-dev", vec![Audience::Exec]),
        ("orchestrator-prod", vec![Audience::Exec]),
        ("https://x.example", vec![]),
        ("https://x.example", vec![Audience::Exec]),
    ] {
        let own = SigningKeys::of(SigningKey::generate().unwrap());
        let config = IssuerConfig { issuer: issuer.to_owned(), audiences, keys: keys() };
        let built = TokenAuthority::builder("dev".parse().unwrap(), own, clock()).issuers(vec![config]).build();
        assert!(built.is_err(), "{issuer}");
    }
}
