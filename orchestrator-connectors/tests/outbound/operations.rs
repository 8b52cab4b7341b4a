//! Operations that the settings name, bodies of several parts, signatures, and methods of all sorts.

use orchestrator_core::connector::{CallErrorKind, Idempotency, SecretSlots, Sent};
use serde_json::{Value, json};

use crate::kit::{build, connector, context, filled, invalid, pointers};
use crate::upstream::{Upstream, answer};

fn refund() -> Value {
    json!({
        "method": "POST", "path": "/charges/{charge}/refunds", "description": "Gives a charge back.",
        "input_schema": {
            "type": "object", "required": ["charge", "amount"], "additionalProperties": false,
            "properties": {"charge": {"type": "string", "pattern": "^ch_"}, "amount": {"type": "integer", "minimum": 1}, "tags": {}},
        },
    })
}

fn with(operations: Value, base: &str) -> Value {
    json!({"base_url": base, "operations": operations})
}

#[tokio::test]
async fn the_fields_of_a_typed_input_fill_path_and_body() {
    let upstream = Upstream::answering(answer(200, "", "")).await;
    let of = |body: Option<&str>, method: &str| {
        let mut operation = refund();
        operation["method"] = json!(method);
        if let Some(body) = body {
            operation["body"] = json!(body);
        }
        operation
    };
    let operations = json!({
        "by_json": of(None, "POST"), "by_form": of(Some("form"), "POST"), "by_query": of(None, "GET"),
        "posts_a_query": of(Some("query"), "POST"),
    });
    let connector = connector(&with(operations, &upstream.url("/v1")));
    let input = json!({"charge": "ch_1", "amount": 5, "tags": ["a", "b"]});
    for (name, target, body, content_type) in [
        ("by_json", "/v1/charges/ch_1/refunds", r#"{"amount":5,"tags":["a","b"]}"#, Some("application/json")),
        ("by_form", "/v1/charges/ch_1/refunds", "amount=5&tags=a&tags=b", Some("application/x-www-form-urlencoded")),
        ("by_query", "/v1/charges/ch_1/refunds?amount=5&tags=a&tags=b", "", None),
        ("posts_a_query", "/v1/charges/ch_1/refunds?amount=5&tags=a&tags=b", "", None),
    ] {
        connector.call(&context(), name, &input).await.unwrap();
        let seen = upstream.last();
        assert_eq!((seen.target.as_str(), String::from_utf8_lossy(&seen.body).as_ref()), (target, body), "{name}");
        assert_eq!(seen.header("content-type"), content_type, "{name}");
    }
}

#[test]
fn a_typed_input_is_refused_by_its_schema_with_all_problems_at_once() {
    let connector = connector(&with(json!({"refund": refund()}), "https://a.example"));
    let problems = |input: &Value| {
        let mut found: Vec<String> =
            invalid(connector.plan("refund", input)).into_iter().map(|one| one.pointer).collect();
        found.sort();
        found
    };
    assert_eq!(problems(&json!({"amount": 0, "other": 1})), ["/amount", "/charge", "/other"]);
    assert_eq!(problems(&json!({"charge": "ch_../x", "amount": 1})), ["/charge"]);
    assert_eq!(problems(&json!({"charge": {"ch_": 1}, "amount": 1})), ["/charge", "/charge"]);
    for odd in [json!(null), json!([]), json!("x")] {
        assert!(!problems(&odd).is_empty(), "{odd}");
    }
    let form = json!({"method": "POST", "path": "/x", "body": "form", "input_schema": {"type": "object"}});
    let connector = self::connector(&with(json!({"refund": form}), "https://a.example"));
    assert_eq!(pointers(&invalid(connector.plan("refund", &json!({"a": {"b": 1}, "c": 1})))), ["/a"]);
}

#[test]
fn a_connector_tells_of_its_named_operations() {
    let operations = json!({
        "refund": refund(),
        "plain": {"method": "POST", "path": "/p"},
        "upsert": {"method": "POST", "path": "/u", "idempotent": true},
        "find": {"method": "GET", "path": "/f/{id}"},
        "poke": {"method": "GET", "path": "/f", "idempotent": false},
    });
    let mut settings = with(operations, "https://a.example");
    let told = |settings: &Value| {
        let operations = connector(settings).operations();
        let told = operations.into_iter().map(|known| (known.name.clone(), known.idempotency, known));
        told.collect::<Vec<_>>()
    };
    let plain = told(&settings);
    let kinds: Vec<_> = plain.iter().map(|(name, idempotency, _)| (name.as_str(), *idempotency)).collect();
    use Idempotency::{Always, ByKey, Depends, Never};
    assert_eq!(kinds, [("find", Always), ("plain", Depends), ("poke", Never), ("refund", Never), ("upsert", Always)]);
    assert_eq!(
        (plain[3].2.description.as_str(), plain[0].2.description.as_str()),
        ("Gives a charge back.", "GET /f/{id}")
    );
    assert_eq!(plain[3].2.input_schema, refund()["input_schema"]);
    assert!(plain[1].2.input_schema["properties"]["params"].is_object());
    settings["idempotency_header"] = json!("Idempotency-Key");
    let keyed: Vec<_> = told(&settings).into_iter().map(|(_, idempotency, _)| idempotency).collect();
    assert_eq!(keyed, [Always, ByKey, Never, ByKey, Always]);
}

#[test]
fn an_operation_takes_the_one_kind_of_body_that_it_names() {
    let operations = json!({
        "upload": {"method": "PUT", "path": "/u", "body": "bytes"}, "ping": {"method": "POST", "path": "/p", "body": "none"},
    });
    let connector = connector(&with(operations, "https://a.example"));
    assert!(connector.plan("upload", &json!({"body_base64": "AA=="})).is_ok());
    assert!(connector.plan("ping", &json!({})).is_ok());
    for (operation, input) in [("upload", json!({"text": "x"})), ("ping", json!({"json": 1}))] {
        let place = format!("/{}", input.as_object().unwrap().keys().next().unwrap());
        assert_eq!(pointers(&invalid(connector.plan(operation, &input))), [place.as_str()]);
    }
}

#[test]
fn operations_that_cannot_work_are_refused() {
    for (operation, pointer) in [
        (json!({"method": "GET", "path": "/", "input_schema": {"type": "nothing"}}), "/operations/a/input_schema"),
        (
            json!({"method": "GET", "path": "/", "input_schema": {"$ref": "https://evil.example/s"}}),
            "/operations/a/input_schema",
        ),
        (
            json!({"method": "GET", "path": "/", "input_schema": {"$ref": "file:///etc/passwd"}}),
            "/operations/a/input_schema",
        ),
        (json!({"method": "POST", "path": "/", "body": "multipart", "input_schema": {}}), "/operations/a/body"),
        (json!({"method": "POST", "path": "/", "body": "xml"}), "/operations/a/body"),
        (json!({"method": "TRACE", "path": "/"}), "/operations/a/method"),
        (json!({"method": "GET", "path": "/", "retries": 3}), "/operations/a"),
    ] {
        let problems =
            build(&with(json!({"a": operation}), "https://a.example"), SecretSlots::default()).err().unwrap();
        assert!(pointers(&problems).contains(&pointer), "{operation}: {problems:?}");
    }
}

#[tokio::test]
async fn any_method_goes_out_but_those_that_ask_for_more_than_an_answer() {
    let upstream = Upstream::answering(answer(200, "", "")).await;
    let connector = connector(&json!({"base_url": upstream.url("")}));
    for (method, idempotent) in [("PROPFIND", false), ("M-SEARCH", false), ("OPTIONS", true), ("PATCH", false)] {
        let input = json!({"method": method, "path": "/"});
        assert_eq!(connector.plan("request", &input).unwrap().idempotent, idempotent, "{method}");
        connector.call(&context(), "request", &input).await.unwrap();
        assert_eq!(upstream.last().method, method);
    }
    for method in ["TRACE", "CONNECT", "get", "GET /x HTTP/1.1\r\nX: y"] {
        assert_eq!(pointers(&invalid(connector.plan("request", &json!({"method": method, "path": "/"})))), ["/method"]);
    }
}

#[tokio::test]
async fn a_request_is_signed_as_it_is_sent() {
    let upstream = Upstream::answering(answer(200, "", "")).await;
    let settings = json!({
        "base_url": upstream.url("/api"),
        "signing": {
            "header": "X-Signature", "signed": "{method}|{target}|{timestamp}|{body}", "value": "t={timestamp},v1={signature}",
            "timestamp_header": "X-Timestamp",
        },
    });
    let connector = build(&settings, filled(&[("signing_key", "canary-key")])).unwrap();
    let input = json!({"method": "POST", "path": "/orders", "query": {"a": 1}, "json": {"n": 1}});
    connector.call(&context(), "request", &input).await.unwrap();
    let seen = upstream.last();
    let time = seen.header("x-timestamp").unwrap();
    let signed = format!("POST|/api/orders?a=1|{time}|{{\"n\":1}}");
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, b"canary-key");
    let expected = data_encoding::HEXLOWER.encode(aws_lc_rs::hmac::sign(&key, signed.as_bytes()).as_ref());
    assert_eq!(seen.header("x-signature"), Some(format!("t={time},v1={expected}").as_str()));

    let forged = json!({"method": "GET", "path": "/", "headers": {"x-timestamp": "1"}});
    assert_eq!(pointers(&invalid(connector.plan("request", &forged))), ["/headers"]);
    let unfilled = self::connector(&settings).call(&context(), "request", &input).await.unwrap_err();
    assert_eq!((unfilled.kind, unfilled.sent), (CallErrorKind::SecretUnavailable, Sent::No));
}

#[test]
fn signatures_that_cannot_work_are_refused() {
    for (signing, pointer) in [
        (json!({}), "/signing"),
        (json!({"header": "Host"}), "/signing/header"),
        (json!({"header": "X-A", "signed": "{secret}"}), "/signing/signed"),
        (json!({"header": "X-A", "value": "{timestamp}"}), "/signing/value"),
        (json!({"header": "X-A", "timestamp_header": "x-a"}), "/signing/timestamp_header"),
        (json!({"header": "X-Fixed"}), "/signing/header"),
        (json!({"header": "X-A", "algorithm": "md5"}), "/signing/algorithm"),
    ] {
        let settings = json!({"base_url": "https://a.example", "headers": {"x-fixed": "1"}, "signing": signing});
        let problems = build(&settings, SecretSlots::default()).err().unwrap();
        assert!(pointers(&problems).contains(&pointer), "{settings}: {problems:?}");
    }
    let bare = json!({"base_url": "https://a.example"});
    assert_eq!(pointers(&build(&bare, filled(&[("signing_key", "k")])).err().unwrap()), ["/signing"]);
}
