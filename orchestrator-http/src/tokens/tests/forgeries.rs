//! Forgeries, each derived from a good token by one change.

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use data_encoding::{BASE64, BASE64URL_NOPAD};
use orchestrator_types::scope;
use serde_json::{Value, json};

use super::super::*;
use super::{Forge, NOW, authority, b64, clock, copy};

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
