//! Verification of callbacks, checked against an outside implementation of Standard Webhooks in both directions.

use std::time::Duration;

use aws_lc_rs::hmac;
use data_encoding::BASE64;
use http::HeaderMap;
use orchestrator_client::callback::{CallbackError, CallbackSecret, CallbackVerifier, TOLERANCE, verify};
use orchestrator_types::{CallbackBody, CallbackType, JobCallbackData, Timestamp};
use serde_json::{Value, json};
use standardwebhooks::Webhook;

pub(crate) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OTHER: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const ID: &str = "msg_2KWPBgLlAfxdpx2AI54pPJ85f4W";
const SENT_AT: i64 = 1_700_000_000;

pub(crate) fn body() -> Vec<u8> {
    let body = json!({
        "type": "job.succeeded", "id": "job_x", "workspace": "buildos-dev", "time": "2026-01-01T00:00:00.000Z",
        "data": {"connector": "billing-api", "operation": "request", "attempts": 2, "output": {"ü": 1}, "metadata": {}},
    });
    serde_json::to_vec(&body).unwrap()
}

/// The headers of a delivery, signed by the outside implementation.
pub(crate) fn signed(secrets: &[&str], sent_at: i64, body: &[u8]) -> HeaderMap {
    let signatures: Vec<_> =
        secrets.iter().map(|secret| Webhook::new(secret).unwrap().sign(ID, sent_at, body).unwrap()).collect();
    headers(ID, &sent_at.to_string(), &signatures.join(" "))
}

fn headers(id: &str, timestamp: &str, signature: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("webhook-id", id.parse().unwrap());
    headers.insert("webhook-timestamp", timestamp.parse().unwrap());
    headers.insert("webhook-signature", signature.parse().unwrap());
    headers
}

fn check(secrets: &[&str], headers: &HeaderMap, body: &[u8], now: i64) -> Result<CallbackBody, CallbackError> {
    let secrets: Vec<CallbackSecret> = secrets.iter().map(|secret| secret.parse().unwrap()).collect();
    verify(&secrets, headers, body, Timestamp::from_unix_ms(now * 1_000), TOLERANCE)
}

#[test]
fn what_the_outside_implementation_signs_is_verified_and_read() {
    let headers = signed(&[SECRET], SENT_AT, &body());
    let read = check(&[SECRET], &headers, &body(), SENT_AT).unwrap();
    assert_eq!((read.kind, read.id.as_str()), (CallbackType::JobSucceeded, "job_x"));
    let secrets = [SECRET.parse().unwrap()];
    let now = Timestamp::from_unix_ms(SENT_AT * 1_000);
    let typed: CallbackBody<JobCallbackData> = verify(&secrets, &headers, &body(), now, TOLERANCE).unwrap();
    assert_eq!((typed.data.attempts, typed.data.output), (2, Some(json!({"ü": 1}))));
}

#[test]
fn what_we_hold_for_signed_the_outside_implementation_does_too() {
    // Signed here by the plain definition; both must agree on it, and on its refusal.
    let now = chrono::Utc::now().timestamp();
    let key = BASE64.decode(SECRET.trim_start_matches("whsec_").as_bytes()).unwrap();
    let content = [format!("{ID}.{now}.").as_bytes(), &body()].concat();
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), &content);
    let headers = headers(ID, &now.to_string(), &format!("v1,{}", BASE64.encode(tag.as_ref())));
    let outside = Webhook::new(SECRET).unwrap();
    assert!(check(&[SECRET], &headers, &body(), now).is_ok());
    assert!(outside.verify(&body(), &headers).is_ok());
    assert!(check(&[SECRET], &headers, b"{}", now).is_err());
    assert!(outside.verify(b"{}", &headers).is_err());
}

#[test]
fn a_body_that_was_tampered_with_is_refused_before_it_is_read() {
    let headers = signed(&[SECRET], SENT_AT, &body());
    for at in 0..body().len() {
        let mut tampered = body();
        tampered[at] ^= 1;
        assert!(matches!(check(&[SECRET], &headers, &tampered, SENT_AT), Err(CallbackError::Signature)), "at {at}");
    }
    let mut longer = body();
    longer.push(b' ');
    assert!(matches!(check(&[SECRET], &headers, &longer, SENT_AT), Err(CallbackError::Signature)));
}

#[test]
fn the_id_and_the_time_are_signed_too() {
    for (name, value) in [("webhook-id", "msg_other"), ("webhook-timestamp", "1700000001")] {
        let mut headers = signed(&[SECRET], SENT_AT, &body());
        headers.insert(name, value.parse().unwrap());
        assert!(matches!(check(&[SECRET], &headers, &body(), SENT_AT), Err(CallbackError::Signature)), "{name}");
    }
}

#[test]
fn a_timestamp_is_tolerated_300_seconds_either_way_and_no_more() {
    let headers = signed(&[SECRET], SENT_AT, &body());
    for (offset, good) in [(0, true), (300, true), (-300, true), (301, false), (-301, false)] {
        let outcome = check(&[SECRET], &headers, &body(), SENT_AT + offset);
        assert_eq!(outcome.is_ok(), good, "{offset}");
        assert!(good || matches!(outcome, Err(CallbackError::Timestamp)));
    }
}

#[test]
fn another_secret_or_none_verifies_nothing() {
    let headers = signed(&[SECRET], SENT_AT, &body());
    assert!(matches!(check(&[OTHER], &headers, &body(), SENT_AT), Err(CallbackError::Signature)));
    assert!(matches!(check(&[], &headers, &body(), SENT_AT), Err(CallbackError::Signature)));
}

#[test]
fn while_a_secret_is_rotated_either_side_may_be_first() {
    let both = signed(&[OTHER, SECRET], SENT_AT, &body());
    assert!(check(&[SECRET], &both, &body(), SENT_AT).is_ok());
    assert!(check(&[OTHER], &both, &body(), SENT_AT).is_ok());
    let one = signed(&[SECRET], SENT_AT, &body());
    assert!(check(&[OTHER, SECRET], &one, &body(), SENT_AT).is_ok());
}

#[test]
fn of_many_signatures_sixteen_are_looked_at() {
    let genuine = signed(&[SECRET], SENT_AT, &body()).remove("webhook-signature").unwrap();
    let genuine = genuine.to_str().unwrap().to_owned();
    let with = |others: usize| {
        let signatures = [vec!["v2,AAAA"; others].join(" "), genuine.clone()].join(" ");
        check(&[SECRET], &headers(ID, &SENT_AT.to_string(), signatures.trim()), &body(), SENT_AT)
    };
    assert!(with(15).is_ok());
    assert!(matches!(with(16), Err(CallbackError::TooManySignatures)));
}

#[test]
fn only_a_whole_v1_signature_counts() {
    let genuine = signed(&[SECRET], SENT_AT, &body()).remove("webhook-signature").unwrap();
    let digest = genuine.to_str().unwrap().strip_prefix("v1,").unwrap().to_owned();
    for crooked in [
        digest.clone(),
        format!("v2,{digest}"),
        format!("v1,{}", &digest[..40]),
        format!("v1,{}", digest.trim_end_matches('=')),
        format!("v1 {digest}"),
        "v1,".to_owned(),
        "v1,!!!".to_owned(),
    ] {
        let headers = headers(ID, &SENT_AT.to_string(), &crooked);
        assert!(matches!(check(&[SECRET], &headers, &body(), SENT_AT), Err(CallbackError::Signature)), "{crooked}");
    }
}

#[test]
fn headers_that_are_absent_double_or_crooked_are_refused() {
    let good = signed(&[SECRET], SENT_AT, &body());
    for name in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
        let mut absent = good.clone();
        absent.remove(name);
        assert!(matches!(check(&[SECRET], &absent, &body(), SENT_AT), Err(CallbackError::Header(_))), "{name}");
        let mut double = good.clone();
        double.append(name, good[name].clone());
        assert!(matches!(check(&[SECRET], &double, &body(), SENT_AT), Err(CallbackError::Header(_))), "{name}");
    }
    for timestamp in ["", "+1700000000", "-1", "17e8", "99999999999999999999", "1700000000.0"] {
        let headers = headers(ID, timestamp, "v1,AAAA");
        assert!(matches!(check(&[SECRET], &headers, &body(), SENT_AT), Err(CallbackError::Header(_))), "{timestamp}");
    }
    let long = headers(&"x".repeat(256), "1700000000", "v1,AAAA");
    assert!(matches!(check(&[SECRET], &long, &body(), SENT_AT), Err(CallbackError::Header(_))));
}

#[test]
fn a_genuine_body_of_another_shape_is_told_apart_from_a_forged_one() {
    let headers = signed(&[SECRET], SENT_AT, b"{}");
    let problem = check(&[SECRET], &headers, b"{}", SENT_AT).unwrap_err();
    assert!(matches!(problem, CallbackError::Body(_)) && !problem.is_unauthentic());
}

#[test]
fn a_secret_is_whsec_and_base64_and_cannot_be_printed() {
    for text in ["", "whsec_", "whsec_%%%", "whsec_c4n4ry"] {
        let problem = text.parse::<CallbackSecret>().unwrap_err();
        assert!(!format!("{problem} {problem:?}").contains("c4n4ry"));
    }
    let verifier = CallbackVerifier::of(SECRET).unwrap().with_tolerance(Duration::from_secs(1));
    let printed = format!("{verifier:?} {:?}", SECRET.parse::<CallbackSecret>().unwrap());
    assert!(!printed.contains("MfKQ"), "{printed}");
}

#[test]
fn a_verifier_tells_the_delivery_and_the_trace() {
    let now = chrono::Utc::now().timestamp();
    let mut headers = signed(&[SECRET], now, &body());
    headers.insert("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".parse().unwrap());
    let callback = CallbackVerifier::of(SECRET).unwrap().verify::<Value>(&headers, &body()).unwrap();
    assert_eq!(callback.delivery.as_str(), ID);
    assert_eq!(callback.trace_id.unwrap().to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
}
