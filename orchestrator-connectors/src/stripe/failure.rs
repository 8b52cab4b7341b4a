//! What an answer that is no success means: by its type and code, and by what the API says itself.

use http::HeaderMap;
use orchestrator_core::connector::{CallError, CallErrorKind};
use orchestrator_types::UpstreamView;
use serde::Deserialize;

use crate::egress::{EgressAnswer, retry_after};
use crate::http::answer::excerpt;

/// The API's own word on whether to ask again.
const SHOULD_RETRY: &str = "stripe-should-retry";

#[derive(Debug, Default, Deserialize)]
struct Body {
    #[serde(default)]
    error: Details,
}

#[derive(Debug, Default, Deserialize)]
struct Details {
    #[serde(default, rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    code: Option<String>,
    #[serde(default)]
    decline_code: Option<String>,
}

/// How the attempt failed.
pub(super) fn failure(answer: &EgressAnswer) -> CallError {
    let details = serde_json::from_slice::<Body>(&answer.body).unwrap_or_default().error;
    let status = answer.status.as_u16();
    let passes = told(&answer.headers).unwrap_or_else(|| may_pass(status, &details));
    let words = [details.kind.as_deref(), details.code.as_deref(), details.decline_code.as_deref()];
    let words: Vec<&str> = words.into_iter().flatten().filter(|word| is_word(word)).collect();
    let words = if words.is_empty() { String::new() } else { format!(": {}", words.join(", ")) };
    let view = UpstreamView { status, body: excerpt(answer) };
    if passes {
        let detail = format!("the API failed with status {status}{words}");
        CallError::answered(CallErrorKind::Failed, view, detail).retry_after(retry_after(&answer.headers))
    } else {
        CallError::answered(CallErrorKind::Rejected, view, format!("the API refused it with status {status}{words}"))
    }
}

fn told(headers: &HeaderMap) -> Option<bool> {
    match headers.get(SHOULD_RETRY)?.to_str().ok()? {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

fn may_pass(status: u16, details: &Details) -> bool {
    match (details.kind.as_deref(), details.code.as_deref()) {
        // The same key came with other parameters: it will again.
        (Some("idempotency_error"), code) if code != Some("idempotency_key_in_use") => false,
        (Some("card_error"), _) => false,
        (Some("api_error" | "rate_limit_error"), _) => true,
        (_, Some("lock_timeout" | "rate_limit" | "idempotency_key_in_use")) => true,
        // Another request holds the object or the key.
        _ => matches!(status, 408 | 409 | 425 | 429) || !(300..500).contains(&status),
    }
}

/// Types and codes are words; anything else may hold what we sent.
fn is_word(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 64
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_' || byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::time::Duration;

    use http::StatusCode;
    use serde_json::{Value, json};

    use super::*;

    fn of(status: u16, headers: &[(&'static str, &str)], error: Value) -> CallError {
        let mut map = HeaderMap::new();
        map.insert("content-type", "application/json".parse().unwrap());
        for (name, value) in headers {
            map.insert(*name, value.parse().unwrap());
        }
        let body = json!({"error": error}).to_string().into();
        failure(&EgressAnswer { status: StatusCode::from_u16(status).unwrap(), headers: map, body, cut: false })
    }

    #[test]
    fn type_and_code_say_whether_it_may_pass() {
        for (status, kind, code, passes) in [
            (402, "card_error", Some("card_declined"), false),
            (400, "invalid_request_error", Some("parameter_missing"), false),
            (404, "invalid_request_error", Some("resource_missing"), false),
            (401, "invalid_request_error", None, false),
            (400, "idempotency_error", None, false),
            (409, "idempotency_error", Some("idempotency_key_in_use"), true),
            (409, "invalid_request_error", None, true),
            (429, "invalid_request_error", Some("lock_timeout"), true),
            (429, "invalid_request_error", Some("rate_limit"), true),
            (500, "api_error", None, true),
            (502, "", None, true),
            (402, "api_error", None, true),
        ] {
            let failed = of(status, &[], json!({"type": kind, "code": code, "message": "m"}));
            let expected = if passes { CallErrorKind::Failed } else { CallErrorKind::Rejected };
            assert_eq!(failed.kind, expected, "{status} {kind} {code:?}");
            assert_eq!(failed.upstream.unwrap().body["error"]["message"], "m");
        }
    }

    #[test]
    fn what_the_api_says_itself_goes_before() {
        let card = json!({"type": "card_error"});
        assert_eq!(of(402, &[("stripe-should-retry", "true")], card.clone()).kind, CallErrorKind::Failed);
        assert_eq!(of(500, &[("stripe-should-retry", "false")], json!({})).kind, CallErrorKind::Rejected);
        assert_eq!(of(402, &[("stripe-should-retry", "maybe")], card).kind, CallErrorKind::Rejected);
        let limited = of(429, &[("retry-after", "3")], json!({"code": "rate_limit"}));
        assert_eq!(limited.retry_after, Some(Duration::from_secs(3)));
    }

    #[test]
    fn inv_23_the_detail_has_words_of_the_api_and_nothing_else() {
        let declined = json!({"type": "card_error", "code": "card_declined", "decline_code": "insufficient_funds"});
        let told = of(402, &[], declined).detail;
        assert_eq!(told, "the API refused it with status 402: card_error, card_declined, insufficient_funds");
        let odd = of(400, &[], json!({"type": "You sent sk_live_X", "code": "A".repeat(99)}));
        assert_eq!(odd.detail, "the API refused it with status 400");
    }

    #[test]
    fn inv_29_an_answer_that_is_no_error_of_the_api_is_told_by_its_status() {
        for body in [&b"<html>"[..], b"", b"[1]", b"{\"error\":\"x\"}", b"{\"error\":{\"type\":1}}"] {
            let answer = |status| EgressAnswer {
                status: StatusCode::from_u16(status).unwrap(),
                headers: HeaderMap::new(),
                body: body.to_vec().into(),
                cut: false,
            };
            assert_eq!(failure(&answer(503)).kind, CallErrorKind::Failed);
            assert_eq!(failure(&answer(403)).kind, CallErrorKind::Rejected);
            assert_eq!(failure(&answer(302)).kind, CallErrorKind::Rejected);
        }
    }
}
