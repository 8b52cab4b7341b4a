//! The token endpoint.

use orchestrator_types::scope;
use serde_json::{Value, json};

use crate::install::{self, Install, WORKSPACE};
use crate::kit::{Answer, Raw};

async fn identity(install: &Install, scopes: &[&str]) -> Value {
    let path = format!("/workspaces/{WORKSPACE}/identities");
    let body = json!({"name": "svc:billing", "scopes": scopes});
    let created = install.send("POST", &path, &install.admin(), Some(body)).await;
    assert_eq!(created.status, 201, "{}", created.json());
    created.json()
}

async fn ask(install: &Install, headers: &str, form: &str) -> Answer {
    let mut raw = Raw::connect(install.api).await;
    let typed = "Content-Type: application/x-www-form-urlencoded\r\n";
    let length = form.len();
    let head = format!("POST /oauth/token HTTP/1.1\r\nHost: a\r\n{typed}{headers}Content-Length: {length}\r\n\r\n");
    raw.send(format!("{head}{form}")).await;
    raw.answer().await.unwrap()
}

#[tokio::test]
async fn an_identity_gets_tokens_until_it_is_deleted() {
    let install = install::start_onboarded().await;
    let made = identity(&install, &[scope::EXECUTE, scope::JOBS_READ]).await;
    let (id, secret) = (made["client_id"].as_str().unwrap(), made["client_secret"].as_str().unwrap());
    let form = format!("grant_type=client_credentials&client_id={id}&client_secret={secret}");
    let answer = ask(&install, "", &form).await;
    let token = answer.json();
    assert_eq!((answer.status, answer.header("cache-control")), (200, Some("no-store")));
    assert_eq!((&token["token_type"], &token["expires_in"]), (&json!("Bearer"), &json!(3600)));
    assert_eq!(token["scope"], "orchestrator.execute orchestrator.jobs.read");
    let basic = data_encoding::BASE64.encode(format!("{id}:{secret}").as_bytes());
    let form = "grant_type=client_credentials&scope=orchestrator.jobs.read";
    let narrow = ask(&install, &format!("Authorization: Basic {basic}\r\n"), form).await;
    assert_eq!((narrow.status, narrow.json()["scope"].as_str()), (200, Some("orchestrator.jobs.read")));

    let (token, narrow) = (token["access_token"].as_str().unwrap(), narrow.json()["access_token"].clone());
    let call = || Some(json!({"connector": "fake", "operation": "echo", "input": {}}));
    assert_eq!(install.send("POST", "/execute", token, call()).await.status, 200);
    assert_eq!(install.send("POST", "/execute", narrow.as_str().unwrap(), call()).await.status, 403);
    let path = format!("/workspaces/{WORKSPACE}/identities/svc:billing");
    assert_eq!(install.send("DELETE", &path, &install.admin(), None).await.status, 204);
    // Within seconds: each answer until then is one of before.
    while install.get("/config", token).await.status == 200 {}
    assert_eq!(install.get("/config", token).await.status, 401);
}

#[tokio::test]
async fn what_is_wrong_with_a_token_request_is_said_as_oauth_says_it() {
    let install = install::start_onboarded().await;
    let made = identity(&install, &[scope::EXECUTE]).await;
    let (id, secret) = (made["client_id"].as_str().unwrap(), made["client_secret"].as_str().unwrap());
    let good = format!("grant_type=client_credentials&client_id={id}&client_secret={secret}");
    for (form, status, error) in [
        (good.replace("client_credentials", "password"), 400, "unsupported_grant_type"),
        (good.replace("grant_type", "grand_type"), 400, "unsupported_grant_type"),
        (good.replace(secret, "wrong"), 401, "invalid_client"),
        (good.replace(id, "nobody-dev.x"), 401, "invalid_client"),
        (good.replace(id, "x"), 401, "invalid_client"),
        ("grant_type=client_credentials".to_owned(), 401, "invalid_client"),
        (format!("{good}&client_id={id}"), 400, "invalid_request"),
        (format!("{good}&scope=orchestrator.jobs.write"), 400, "invalid_scope"),
        (format!("{good}&scope=orchestrator.admin"), 400, "invalid_scope"),
        (format!("{good}&client_assertion=x.y.z"), 400, "invalid_request"),
    ] {
        let answer = ask(&install, "", &form).await;
        let problem = answer.json();
        assert_eq!((answer.status, problem["error"].as_str()), (status, Some(error)), "{form}");
        assert_eq!(problem["code"], error);
        assert!(!problem.to_string().contains(secret));
    }
    assert_eq!(ask(&install, "", &"x".repeat(20_000)).await.status, 413);
    assert_eq!(ask(&install, "", &good).await.status, 200);
}

#[tokio::test]
async fn a_thousand_guesses_meet_the_limit_and_the_right_client_is_not_told_apart() {
    let install = install::start_onboarded().await;
    let made = identity(&install, &[scope::EXECUTE]).await;
    let (id, mut refused, mut limited) = (made["client_id"].as_str().unwrap(), 0, 0);
    for guess in 0..100 {
        let form = format!("grant_type=client_credentials&client_id={id}&client_secret=guess-{guess}");
        match ask(&install, "", &form).await {
            answer if answer.status == 401 => refused += 1,
            answer => {
                assert_eq!(answer.status, 429);
                assert!(answer.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
                limited += 1;
            }
        }
    }
    assert_eq!((refused, limited), (10, 90));
}

#[tokio::test]
async fn a_client_with_a_key_of_its_own_proves_itself_by_a_signed_assertion() {
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
    use data_encoding::BASE64URL_NOPAD;

    let install = install::start_onboarded().await;
    let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
    let pair = Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap();
    let public = json!({"kty": "OKP", "crv": "Ed25519", "x": BASE64URL_NOPAD.encode(pair.public_key().as_ref())});
    let path = format!("/workspaces/{WORKSPACE}/identities");
    let body = json!({"name": "svc:signer", "scopes": [scope::EXECUTE], "public_key": public});
    let made = install.send("POST", &path, &install.admin(), Some(body)).await.json();
    assert_eq!(made.get("client_secret"), None);
    let id = made["client_id"].as_str().unwrap();
    let exp = install.tokens.now().unix_seconds() + 60;
    let claims = json!({"iss": id, "sub": id, "aud": "orchestrator-dev", "jti": "1", "exp": exp}).to_string();
    let message =
        format!("{}.{}", BASE64URL_NOPAD.encode(br#"{"alg":"EdDSA"}"#), BASE64URL_NOPAD.encode(claims.as_bytes()));
    let assertion = format!("{message}.{}", BASE64URL_NOPAD.encode(pair.sign(message.as_bytes()).as_ref()));
    let kind = "urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer";
    let form = format!("grant_type=client_credentials&client_assertion_type={kind}&client_assertion={assertion}");
    let answer = ask(&install, "", &form).await;
    assert_eq!(answer.status, 200, "{}", answer.json());
    let token = answer.json()["access_token"].as_str().unwrap().to_owned();
    assert_eq!(install.get("/config", &token).await.status, 200);
    // It is good once.
    assert_eq!(ask(&install, "", &form).await.status, 401);
}

#[tokio::test]
async fn the_key_set_shows_public_keys_only() {
    let install = install::start().await;
    let set = install.get("/.well-known/jwks.json", "").await.json();
    let key = set["keys"][0].as_object().unwrap();
    assert_eq!((&key["kty"], &key["alg"], &key["use"]), (&json!("OKP"), &json!("EdDSA"), &json!("sig")));
    assert!(!key.contains_key("d") && key["kid"].is_string());
}
