//! `private_key_jwt`.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use orchestrator_types::Timestamp;
use serde_json::{Value, json};

use super::super::*;
use super::{NOW, b64, jwk};

#[test]
fn a_client_assertion_is_good_once() {
    let random = SystemRandom::new();
    let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref()).unwrap();
    let point = pair.public_key().as_ref();
    let public = json!({"kty": "EC", "crv": "P-256", "x": b64(&point[1..33]), "y": b64(&point[33..])});
    let good = json!({"iss": "client-1", "sub": "client-1", "aud": "orchestrator-dev", "jti": "1", "exp": NOW + 60});
    let sign = |claims: &Value| {
        let message = format!("{}.{}", b64(r#"{"alg":"ES256"}"#), b64(claims.to_string()));
        format!("{message}.{}", b64(pair.sign(&random, message.as_bytes()).unwrap()))
    };
    let now = Timestamp::from_unix_ms(NOW * 1000);
    let verifier = AssertionVerifier::default();
    let verify = |claims: &Value, key: &Value| {
        let token = sign(claims);
        let assertion = Assertion::read(&token)?;
        assert_eq!(assertion.client_id(), "client-1");
        verifier.verify(&assertion, key, &["orchestrator-dev"], now)
    };
    for (name, value) in [
        ("aud", json!("other")),
        ("aud", json!(["orchestrator-dev"])),
        ("exp", json!(NOW - 31)),
        ("exp", json!(NOW + 3600)),
        ("iat", json!(NOW + 60)),
        ("jti", Value::Null),
        ("iss", json!("client-2")),
    ] {
        let mut claims = good.clone();
        claims[name] = value;
        assert_eq!(verify(&claims, &public), Err(Unauthenticated), "{claims}");
    }
    assert_eq!(verify(&good, &jwk(&SigningKey::generate().unwrap())), Err(Unauthenticated));
    assert_eq!(verify(&good, &public), Ok(()));
    assert_eq!(verify(&good, &public), Err(Unauthenticated));
}
