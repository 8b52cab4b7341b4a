//! The ingress.

use aws_lc_rs::hmac;
use data_encoding::HEXLOWER;
use serde_json::json;

use crate::install::{self, Install, WORKSPACE};
use crate::kit::{Answer, Raw};

const SECRET: &str = "whsec_0123456789";

async fn with_route() -> Install {
    let install = install::start_onboarded().await;
    let (admin, base) = (install.admin(), format!("/workspaces/{WORKSPACE}"));
    for (path, body) in [
        ("secrets/stripe", json!({"value": SECRET})),
        ("secret-refs/whsec", json!({"source": "stored", "name": "stripe"})),
        ("webhook-routes/main", json!({"provider": "stripe", "account": "acct_1", "signing_secret": "whsec"})),
    ] {
        let put = install.send("PUT", &format!("{base}/{path}"), &admin, Some(body)).await;
        assert_eq!(put.status, 200, "{path}: {}", put.json());
    }
    install
}

fn signed(install: &Install, body: &str) -> String {
    let time = install.tokens.now().unix_seconds();
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    let tag = hmac::sign(&key, format!("{time}.{body}").as_bytes());
    format!("Stripe-Signature: t={time},v1={}\r\n", HEXLOWER.encode(tag.as_ref()))
}

async fn post(install: &Install, path: &str, headers: &str, body: &str) -> Answer {
    let mut raw = Raw::connect(install.api).await;
    let length = body.len();
    raw.send(format!("POST {path} HTTP/1.1\r\nHost: a\r\n{headers}Content-Length: {length}\r\n\r\n{body}")).await;
    raw.answer().await.unwrap()
}

#[tokio::test]
async fn inv_07_a_webhook_is_taken_in_once() {
    let install = with_route().await;
    let body = r#"{"id":"evt_1","type":"charge.succeeded","account":"acct_1"}"#;
    let headers = signed(&install, body);
    let first = post(&install, "/webhooks/stripe", &headers, body).await;
    assert_eq!((first.status, &first.json()["duplicate"]), (200, &json!(false)), "{}", first.json());
    let again = post(&install, "/webhooks/stripe", &headers, body).await;
    assert_eq!(
        (again.status, &again.json()["duplicate"], &again.json()["id"]),
        (200, &json!(true), &first.json()["id"])
    );

    let (admin, inbox) = (install.admin(), format!("/workspaces/{WORKSPACE}/inbox"));
    let entry = install.get(&inbox, &admin).await.json()["items"][0].clone();
    assert_eq!((&entry["id"], &entry["event_id"]), (&first.json()["id"], &json!("evt_1")));
    let whole = install.get(&format!("{inbox}/{}", entry["id"].as_str().unwrap()), &admin).await;
    assert_eq!(whole.json()["payload"]["type"], "charge.succeeded");
    assert!(!String::from_utf8_lossy(&whole.body).contains("v1="), "the signature is shown");

    let (_, metrics) = (install.ops("/healthz").await, install.ops("/metrics").await);
    let metrics = String::from_utf8(metrics.body).unwrap();
    for outcome in ["accepted", "duplicate"] {
        let line = format!("orchestrator_webhooks_total{{provider=\"stripe\",outcome=\"{outcome}\"}} 1");
        assert!(metrics.contains(&line), "{line} is not in {metrics}");
    }
}

#[tokio::test]
async fn inv_42_what_does_not_verify_is_refused_in_one_wording() {
    let install = with_route().await;
    let body = r#"{"id":"evt_1","type":"x","account":"acct_1"}"#;
    let good = signed(&install, body);
    let mut wordings = std::collections::BTreeSet::new();
    for headers in [String::new(), good.replace("v1=", "v0="), good.replace("v1=", "v1=0"), format!("{good}{good}")] {
        let answer = post(&install, "/webhooks/stripe", &headers, body).await;
        assert_eq!((answer.status, answer.json()["code"].as_str()), (401, Some("signature_invalid")), "{headers}");
        wordings.insert(answer.json()["detail"].to_string());
    }
    assert_eq!(wordings.len(), 1);
    for (path, body) in [
        ("/webhooks/none", body.to_owned()),
        ("/webhooks/stripe/none", body.to_owned()),
        ("/webhooks/stripe", body.replace("acct_1", "acct_2")),
    ] {
        let answer = post(&install, path, &good, &body).await;
        assert_eq!((answer.status, answer.json()["code"].as_str()), (404, Some("route_not_found")), "{path}");
    }
    let large = format!("Content-Type: application/json\r\n{good}");
    assert_eq!(post(&install, "/webhooks/stripe", &large, &"x".repeat(512 * 1024 + 1)).await.status, 413);
    let encoded = format!("Content-Encoding: gzip\r\n{good}");
    assert_eq!(post(&install, "/webhooks/stripe", &encoded, body).await.status, 415);
    assert_eq!(post(&install, "/webhooks/stripe", &good, body).await.status, 200);
}

/// Adyen wants to read `[accepted]`, and its signature stands in the body.
#[tokio::test]
async fn adyen_is_answered_in_its_own_words() {
    let install = install::start_onboarded().await;
    let (admin, base) = (install.admin(), format!("/workspaces/{WORKSPACE}"));
    let key = "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056";
    for (path, body) in [
        ("secrets/adyen", json!({"value": key})),
        ("secret-refs/adyen", json!({"source": "stored", "name": "adyen"})),
        ("webhook-routes/adyen", json!({"provider": "adyen", "account": "TestMerchant", "signing_secret": "adyen"})),
    ] {
        let put = install.send("PUT", &format!("{base}/{path}"), &admin, Some(body)).await;
        assert_eq!(put.status, 200, "{path}: {}", put.json());
    }
    let body = r#"{"live":"false","notificationItems":[{"NotificationRequestItem":{"additionalData":{"hmacSignature":"coqCmt/IZ4E3CzPvMY8zTjQVL5hYJUiBRg8UU+iCWo0="},"amount":{"value":1130,"currency":"EUR"},"pspReference":"7914073381342284","eventCode":"AUTHORISATION","merchantAccountCode":"TestMerchant","merchantReference":"TestPayment-1407325143704","success":"true"}}]}"#;
    for duplicates in [0, 1] {
        let answer = post(&install, "/webhooks/adyen", "", body).await;
        assert_eq!((answer.status, answer.body.as_slice()), (200, &b"[accepted]"[..]));
        let id = answer.header("inbox-id").unwrap().to_owned();
        let entry = install.get(&format!("{base}/inbox/{id}"), &admin).await.json();
        assert_eq!((&entry["duplicates"], &entry["event_type"]), (&json!(duplicates), &json!("AUTHORISATION")));
    }
    let forged = post(&install, "/webhooks/adyen", "", &body.replace("1130", "1131")).await;
    assert_eq!((forged.status, &forged.json()["code"]), (401, &json!("signature_invalid")));
    let several = body.replace("[{", "[{},{");
    let refused = post(&install, "/webhooks/adyen", "", &several).await;
    assert_eq!((refused.status, &refused.json()["code"]), (400, &json!("invalid_request")));
    assert!(refused.json()["detail"].as_str().unwrap().contains("one a request"), "{}", refused.json());
}
