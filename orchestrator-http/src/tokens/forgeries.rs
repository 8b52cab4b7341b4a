//! Forgeries, each derived from a good token by one change.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
use bytes::Bytes;
use data_encoding::{BASE64, BASE64URL_NOPAD};
use http::Uri;
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

fn catalogue(key: &SigningKey) -> Vec<(String, String)> {
    let forge = Forge::of(key);
    let good = forge.sign();
    let [header, payload, signature] = good.split('.').collect::<Vec<_>>()[..] else { panic!("three parts") };
    let mut all: Vec<(String, String)> = Vec::new();
    let mut add = |name: &str, token: String| all.push((name.to_owned(), token));

    // The parts.
    add("nothing", String::new());
    add("dots", "..".to_owned());
    add("header alone", header.to_owned());
    add("no signature", format!("{header}.{payload}"));
    add("empty signature", format!("{header}.{payload}."));
    add("four parts", format!("{good}.{signature}"));
    add("five parts", format!("{good}.{signature}.{signature}"));
    add("short signature", good[..good.len() - 2].to_owned());
    add("zero signature", format!("{header}.{payload}.{}", b64([0u8; 64])));
    let mut bytes = BASE64URL_NOPAD.decode(signature.as_bytes()).unwrap();
    bytes[10] ^= 1;
    add("one bit of the signature", format!("{header}.{payload}.{}", b64(&bytes)));
    add("padded signature", format!("{good}=="));
    add("blank after", format!("{good} "));
    add("blank before", format!(" {good}"));
    add("line break after", format!("{good}\n"));
    add("nul after", format!("{good}\0"));
    add("scheme within", format!("Bearer {good}"));
    let last = char::from(if signature.ends_with('A') { b'B' } else { signature.as_bytes()[signature.len() - 1] + 1 });
    add("spare bits of the signature", format!("{}{last}", &good[..good.len() - 1]));
    let other = forge.claim("scope", json!("orchestrator.jobs.write"));
    add("payload of another", format!("{header}.{}.{signature}", other.split('.').nth(1).unwrap()));
    let other = forge.header("x", json!(1));
    add("header of another", format!("{}.{payload}.{signature}", other.split('.').next().unwrap()));
    add("signature of another", format!("{header}.{payload}.{}", other.split('.').next_back().unwrap()));
    add("other alphabet", format!("{header}.{}.{signature}", BASE64.encode(forge.claims.to_string().as_bytes())));
    add("over long", forge.claim("pad", json!("x".repeat(9000))));

    // The key and the algorithm.
    let stranger = SigningKey::generate().unwrap();
    add("a stranger's key under our kid", Forge { pkcs8: stranger.pkcs8().to_vec(), ..forge.clone() }.sign());
    add("a stranger's key and kid", Forge { claims: forge.claims.clone(), ..Forge::of(&stranger) }.sign());
    for none in ["none", "None", "NONE", "nOnE", "", "EDDSA", "eddsa", " EdDSA", "Ed25519", "HS256", "RS256", "PS256"] {
        add(&format!("alg {none:?}"), forge.header("alg", none.into()));
    }
    for none in ["none", "NonE"] {
        let header = b64(json!({"typ": "at+jwt", "alg": none, "kid": key.kid()}).to_string());
        add(&format!("unsigned {none}"), format!("{header}.{payload}."));
    }
    let public = BASE64URL_NOPAD.decode(key.public_x().as_bytes()).unwrap();
    let jwk = serde_json::to_vec(&Jwks::of(std::iter::once(key))).unwrap();
    add("hmac with the public key", forge.hmac("HS256", hmac::HMAC_SHA256, &public));
    add("hmac with the text of the public key", forge.hmac("HS256", hmac::HMAC_SHA256, key.public_x().as_bytes()));
    add("hmac with the key set", forge.hmac("HS256", hmac::HMAC_SHA256, &jwk));
    add("hmac 384", forge.hmac("HS384", hmac::HMAC_SHA384, &public));
    add("hmac 512", forge.hmac("HS512", hmac::HMAC_SHA512, &public));
    add("hmac that says EdDSA", forge.hmac("EdDSA", hmac::HMAC_SHA512, &public));
    add("ES256 of another curve", es256(&forge));
    add("alg absent", forge.without_header("alg"));
    add("alg a number", forge.header("alg", json!(1)));
    add("alg a list", forge.header("alg", json!(["EdDSA"])));
    add("alg null", forge.header("alg", Value::Null));

    // The header.
    let own_jwk = serde_json::from_slice::<Value>(&jwk).unwrap()["keys"][0].clone();
    for (name, value) in [
        ("crit", json!(["exp"])),
        ("crit", json!([])),
        ("jku", json!("https://evil.example/jwks.json")),
        ("x5u", json!("https://evil.example/x")),
        ("jwk", own_jwk),
        ("x5c", json!(["MIIB"])),
        ("b64", json!(false)),
        ("zip", json!("DEF")),
        ("enc", json!("A128GCM")),
        ("cty", json!("JWT")),
        ("typ", json!("JWT")),
        ("typ", json!("id+jwt")),
        ("typ", json!("dpop+jwt")),
        ("typ", json!(1)),
        ("typ", Value::Null),
        ("kid", json!("")),
        ("kid", json!("unknown")),
        ("kid", json!(format!("{}x", key.kid()))),
        ("kid", json!("../../../etc/passwd")),
        ("kid", json!("' OR 1=1 --")),
        ("kid", json!(format!("{}\0", key.kid()))),
        ("kid", json!("k".repeat(4000))),
        ("kid", json!(0)),
        ("kid", json!([key.kid()])),
        ("kid", Value::Null),
    ] {
        add(&format!("header {name} {value}"), forge.header(name, value));
    }
    add("typ absent", forge.without_header("typ"));
    add("kid absent", forge.without_header("kid"));
    let claims = forge.claims.to_string();
    let twice = forge.header.to_string().replacen('{', r#"{"alg":"none","#, 1);
    add("alg twice", forge.sign_texts(&twice, claims.as_bytes()));
    let twice = forge.header.to_string().replacen('{', r#"{"kid":"x","#, 1);
    add("kid twice", forge.sign_texts(&twice, claims.as_bytes()));
    add("header a list", forge.sign_texts("[]", claims.as_bytes()));
    add("header no JSON", forge.sign_texts("x", claims.as_bytes()));

    // The claims.
    for (name, values) in [
        (
            "iss",
            vec![
                json!("orchestrator-prod"),
                json!("orchestrator-dev/"),
                json!("Orchestrator-dev"),
                json!(""),
                json!(1),
                json!(["orchestrator-dev"]),
                Value::Null,
            ],
        ),
        (
            "aud",
            vec![
                json!("orchestrator-control"),
                json!("orchestrator-exec "),
                json!("orchestrator-execX"),
                json!("*"),
                json!(""),
                json!(["orchestrator-exec"]),
                json!(["orchestrator-exec", "orchestrator-control"]),
                json!([]),
                json!({"orchestrator-exec": 1}),
                json!(1),
                Value::Null,
            ],
        ),
        (
            "exp",
            vec![
                json!(NOW - 31),
                json!(0),
                json!(-1),
                json!(NOW + 3601),
                json!((NOW + 600).to_string()),
                json!("never"),
                json!([NOW + 600]),
                json!(true),
                json!(1e300),
                json!(u64::MAX),
                json!(NOW),
                Value::Null,
            ],
        ),
        ("nbf", vec![json!(NOW + 31), json!(NOW.to_string()), json!(-1), json!([NOW]), Value::Null]),
        ("iat", vec![json!(NOW + 31), json!(NOW - 3001), json!(NOW.to_string()), json!(-1), json!(false), Value::Null]),
        (
            "tid",
            vec![
                json!("buildos-prod"),
                json!("BuildOS-dev"),
                json!("buildos-dev "),
                json!("buіldos-dev"),
                json!("*"),
                json!(""),
                json!("buildos-dev beauty-dev"),
                json!("buildos-dev\u{0}"),
                json!(["buildos-dev"]),
                json!(["buildos-dev", "beauty-dev"]),
                json!({"buildos-dev": true}),
                json!(1),
                Value::Null,
            ],
        ),
        ("sub", vec![json!(""), json!(1), json!(["svc:billing"]), json!("a\nb"), json!("x".repeat(256)), Value::Null]),
        (
            "scope",
            vec![
                json!(["orchestrator.execute"]),
                json!("orchestrator.execute  orchestrator.jobs.read"),
                json!(" "),
                json!("a\tb"),
                json!(1),
                json!({"orchestrator.execute": true}),
                Value::Null,
            ],
        ),
        (
            "act",
            vec![
                json!("svc:console"),
                json!({}),
                json!({"sub": 1}),
                json!({"sub": "a", "act": {"sub": "b"}}),
                json!([]),
                Value::Null,
            ],
        ),
        ("jti", vec![json!(1), json!(""), Value::Null]),
        ("gen", vec![json!("1"), json!(1.5), json!([1]), Value::Null]),
    ] {
        for value in values {
            add(&format!("{name} {value}"), forge.claim(name, value));
        }
    }
    for name in ["iss", "aud", "exp", "iat", "tid", "sub", "jti"] {
        add(&format!("{name} absent"), forge.without_claim(name));
    }
    for twice in [
        r#""tid":"beauty-dev","#,
        r#""t\u0069d":"beauty-dev","#,
        r#""aud":"orchestrator-control","#,
        r#""exp":1,"#,
        r#""scope":"orchestrator.admin","#,
        r#""sub":"x","#,
        r#""x":{"a":1,"a":2},"#,
        r#""exp":1e400,"#,
    ] {
        add(&format!("claims with {twice}"), forge.with_claims_text(twice));
    }
    add("claims a list", forge.sign_texts(&forge.header.to_string(), format!("[{claims}]").as_bytes()));
    add("claims twice", forge.sign_texts(&forge.header.to_string(), format!("{claims}{claims}").as_bytes()));
    add("claims after a mark", forge.sign_texts(&forge.header.to_string(), format!("\u{feff}{claims}").as_bytes()));
    let broken = [claims.as_bytes()[..claims.len() - 1].to_vec(), b",\"x\":\"\xff\"}".to_vec()].concat();
    add("claims not UTF-8", forge.sign_texts(&forge.header.to_string(), &broken));
    add("claims empty", forge.sign_texts(&forge.header.to_string(), b""));
    all
}

fn es256(forge: &Forge) -> String {
    let random = SystemRandom::new();
    let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref()).unwrap();
    let mut header = forge.header.clone();
    header["alg"] = "ES256".into();
    let message = format!("{}.{}", b64(header.to_string()), b64(forge.claims.to_string()));
    format!("{message}.{}", b64(pair.sign(&random, message.as_bytes()).unwrap()))
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

#[tokio::test]
async fn inv_25_every_forgery_of_the_catalogue_is_the_same_refusal() {
    let key = SigningKey::generate().unwrap();
    let authority = authority(SigningKeys::of(copy(&key)), clock());
    let forgeries = catalogue(&key);
    assert!(forgeries.len() >= 120, "only {}", forgeries.len());
    for (name, token) in &forgeries {
        assert_eq!(authority.verify(token, Audience::Exec).await, Err(Unauthenticated), "{name}");
    }
    // What they were derived from holds, before and after, and so does the way they were made.
    let forge = Forge::of(&key);
    for token in [forge.sign(), forge.header("x5t", json!("extra")), forge.with_claims_text(r#""nbf":1,"#)] {
        let claims = authority.verify(&token, Audience::Exec).await.unwrap();
        assert_eq!(claims.workspace.as_ref().unwrap().as_str(), "buildos-dev");
        assert!(claims.scopes.contains(scope::EXECUTE) && claims.own);
        assert_eq!(authority.verify(&token, Audience::Control).await, Err(Unauthenticated));
    }
}

#[tokio::test]
async fn what_is_issued_verifies_until_it_expires() {
    let clock = clock();
    let authority = authority(SigningKeys::of(SigningKey::generate().unwrap()), clock.clone());
    let token = authority.issue(&NewToken { actor: Some("svc:console".to_owned()), ..new_token() }).unwrap();
    let claims = authority.verify(&token, Audience::Exec).await.unwrap();
    assert_eq!((claims.subject.as_str(), claims.actor.as_deref()), ("svc:billing", Some("svc:console")));
    clock.0.fetch_add(629_999, Ordering::SeqCst);
    assert!(authority.verify(&token, Audience::Exec).await.is_ok());
    clock.0.fetch_add(1, Ordering::SeqCst);
    assert_eq!(authority.verify(&token, Audience::Exec).await, Err(Unauthenticated));
}

#[test]
fn a_token_that_should_not_be_is_not_issued() {
    let authority = authority(SigningKeys::of(SigningKey::generate().unwrap()), clock());
    for (new, error) in [
        (NewToken { ttl: Duration::from_secs(3601), ..new_token() }, TokenError::Lifetime),
        (NewToken { ttl: Duration::ZERO, ..new_token() }, TokenError::Lifetime),
        (NewToken { workspace: None, ..new_token() }, TokenError::Workspace),
        (NewToken { workspace: Some("buildos-prod".parse().unwrap()), ..new_token() }, TokenError::Workspace),
        (NewToken { subject: String::new(), ..new_token() }, TokenError::Subject),
    ] {
        assert_eq!(authority.issue(&new), Err(error));
    }
}

#[tokio::test]
async fn inv_25_an_older_key_verifies_until_its_last_token_has_expired() {
    let (clock, old) = (clock(), SigningKey::generate().unwrap());
    let authority = authority(SigningKeys::of(copy(&old)), clock.clone());
    let token = authority.issue(&new_token()).unwrap();
    assert!(authority.verify(&token, Audience::Exec).await.is_ok());

    let until = Timestamp::from_unix_ms((NOW + 60) * 1000);
    let current = SigningKey::generate().unwrap();
    let older = vec![OlderKey { key: copy(&old), until }];
    authority.set_keys(SigningKeys { current: copy(&current), older }).unwrap();
    assert!(authority.verify(&token, Audience::Exec).await.is_ok());
    assert_eq!(authority.jwks().kids().collect::<Vec<_>>(), [current.kid(), old.kid()]);

    clock.0.fetch_add(90_000, Ordering::SeqCst);
    assert_eq!(authority.verify(&token, Audience::Exec).await, Err(Unauthenticated));
    assert_eq!(authority.jwks().kids().collect::<Vec<_>>(), [current.kid()]);
}

#[tokio::test]
async fn inv_25_a_key_that_is_gone_refuses_what_it_had_verified() {
    let old = SigningKey::generate().unwrap();
    let authority = authority(SigningKeys::of(copy(&old)), clock());
    let token = authority.issue(&new_token()).unwrap();
    assert!(authority.verify(&token, Audience::Exec).await.is_ok());
    authority.set_keys(SigningKeys::of(SigningKey::generate().unwrap())).unwrap();
    assert_eq!(authority.verify(&token, Audience::Exec).await, Err(Unauthenticated));
}

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

fn jwk(key: &SigningKey) -> Value {
    serde_json::to_value(Jwks::of(std::iter::once(key))).unwrap()["keys"][0].clone()
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
        assert_eq!(super::jwks::read_set(set.as_bytes()).unwrap().len(), 0, "{set}");
    }
    let set = json!({"keys": [good, rsa(&strong, &[1, 0, 1])]}).to_string();
    assert_eq!(super::jwks::read_set(set.as_bytes()).unwrap().len(), 2);
    assert!(super::jwks::read_set(b"[]").is_none());
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
