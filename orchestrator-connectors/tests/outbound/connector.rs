//! The `http` connector kind, through the registry that the engine uses.

use std::sync::Arc;
use std::time::Duration;

use orchestrator_connectors::{EgressClient, HttpKind};
use orchestrator_core::connector::{CallErrorKind, Connector, PlanError, SecretSlots, Sent};
use orchestrator_core::secrets::SecretError;
use orchestrator_types::TraceId;
use serde_json::{Value, json};

use crate::kit::{build, connector, context, invalid, pointers, registry, slots};
use crate::upstream::{Upstream, allowing, answer, client};

#[test]
fn the_kind_describes_itself_by_schemas() {
    let views = registry(client()).views();
    let view = views.iter().find(|view| view.kind.as_str() == "http").unwrap();
    assert_eq!(view.kind.as_str(), "http");
    let slots: Vec<_> = view.secret_slots.iter().map(orchestrator_types::Name::as_str).collect();
    assert_eq!(slots[..5], ["bearer", "basic", "username", "password", "header"]);
    assert_eq!(slots[5..], ["client_secret", "signing_key", "client_certificate", "client_key", "proxy"]);
    assert_eq!(view.settings_schema["required"], json!(["base_url"]));
    assert_eq!(view.settings_schema["additionalProperties"], json!(false));
    assert_eq!(view.settings_schema["properties"]["base_url"]["type"], json!("string"));
    let request = view.operations.iter().find(|operation| operation.name == "request").unwrap();
    assert_eq!(request.input_schema["required"], json!(["method", "path"]));
    assert_eq!(request.input_schema["additionalProperties"], json!(false));
    assert!(request.output_schema["properties"]["body_base64"].is_object());
    assert!(view.operations.iter().any(|operation| operation.name == "webhook"));
}

#[test]
fn settings_are_checked_with_all_problems_at_once() {
    let settings = json!({
        "base_url": "ftp://user:pass@api.example/?a=b",
        "headers": {"Authorization": "Bearer x", "X-Fine": "1", "a b": "2"},
        "header_name": "Host",
        "webhook_path": "/../x",
        "operations": {
            "request": {"method": "GET", "path": "/"},
            "Refund!": {"method": "GET", "path": "/"},
            "a": {"method": "POST", "path": "/{x"},
        },
    });
    let problems = build(&settings, SecretSlots::default()).err().unwrap();
    let mut found = pointers(&problems);
    found.sort_unstable();
    found.dedup();
    assert_eq!(
        found,
        [
            "/base_url",
            "/header_name",
            "/headers/Authorization",
            "/headers/a b",
            "/operations/Refund!",
            "/operations/a/path",
            "/operations/request",
            "/webhook_path",
        ]
    );
    assert_eq!(problems.iter().filter(|problem| problem.pointer == "/base_url").count(), 3);
}

#[test]
fn settings_of_the_wrong_shape_are_refused_without_a_panic() {
    let kind = HttpKind::new(client());
    for settings in [
        json!(null),
        json!([]),
        json!("x"),
        json!({}),
        json!({"base_url": 1}),
        json!({"base_url": null}),
        json!({"base_url": "https://a.example", "bas_url": 1}),
        json!({"base_url": "https://a.example", "max_response_bytes": 0}),
        json!({"base_url": "https://a.example", "headers": {"a": 1}}),
        json!({"base_url": "https://a.example", "max_response_bytes": 1e99}),
        json!({"base_url": "https://a.example", "operations": {"a": {"method": "GET"}}}),
        json!({"base_url": "https://a.example", "operations": {"a": null}}),
    ] {
        use orchestrator_core::connector::ConnectorKind as _;
        assert!(!kind.build(&settings, SecretSlots::default()).err().unwrap().is_empty(), "{settings}");
        assert!(build(&settings, SecretSlots::default()).is_err(), "{settings}");
    }
}

#[test]
fn headers_that_the_connector_sets_do_not_collide() {
    for own in [
        json!({"header_name": "X-A", "idempotency_header": "x-a"}),
        json!({"header_name": "X-A", "headers": {"x-a": "1"}}),
        json!({"idempotency_header": "X-A", "headers": {"x-a": "1"}}),
        json!({"idempotency_header": "Authorization"}),
        json!({"idempotency_header": "Content-Type"}),
        json!({"idempotency_header": "traceparent"}),
        json!({"header_name": "User-Agent"}),
    ] {
        let mut settings = own;
        settings["base_url"] = json!("https://a.example");
        assert!(build(&settings, SecretSlots::default()).is_err(), "{settings}");
    }
    let connector = connector(&json!({"base_url": "https://a.example", "header_name": "X-Mine"}));
    let input = json!({"method": "GET", "path": "/", "headers": {"x-mine": "forged"}});
    assert_eq!(pointers(&invalid(connector.plan("request", &input))), ["/headers"]);
}

#[test]
fn secret_slots_that_do_not_go_together_are_refused() {
    let (plain, named) = (
        json!({"base_url": "https://a.example"}),
        json!({"base_url": "https://a.example", "header_name": "Authorization"}),
    );
    let secret = Ok("s");
    for (settings, filled) in [
        (&plain, &[("bearer", secret), ("basic", secret)][..]),
        (&plain, &[("bearer", secret), ("username", secret)]),
        (&plain, &[("password", secret)]),
        (&plain, &[("header", secret)]),
        (&named, &[("header", secret), ("bearer", secret)]),
    ] {
        assert!(build(settings, slots(filled)).is_err());
    }
    assert!(build(&named, slots(&[("header", secret)])).is_ok());
}

#[tokio::test]
async fn a_request_goes_out_as_planned_and_its_answer_comes_back() {
    let told = answer(201, "Content-Type: application/json\r\nX-Id: 7\r\n", r#"{"id":"re_1"}"#);
    let upstream = Upstream::answering(told).await;
    let connector = connector(&json!({"base_url": upstream.url("/api/"), "headers": {"X-Tenant": "shop"}}));
    let input = json!({
        "method": "POST", "path": "/v1/refunds?dry=1", "query": {"limit": 5, "tag": ["a b", "c&d"], "all": true},
        "headers": {"X-Mine": "1"}, "json": {"amount": 5},
    });
    assert!(!connector.plan("request", &input).unwrap().idempotent);
    let output = connector.call(&context().with_fence(42), "request", &input).await.unwrap();
    assert_eq!(
        (&output["status"], &output["body"], &output["headers"]["x-id"]),
        (&json!(201), &json!({"id": "re_1"}), &json!("7"))
    );
    let seen = upstream.last();
    assert_eq!(seen.target, "/api/v1/refunds?dry=1&all=true&limit=5&tag=a+b&tag=c%26d");
    assert_eq!((seen.method.as_str(), &seen.body[..]), ("POST", &br#"{"amount":5}"#[..]));
    assert_eq!(seen.header("content-type"), Some("application/json"));
    assert_eq!((seen.header("x-tenant"), seen.header("x-mine")), (Some("shop"), Some("1")));
    assert_eq!(seen.header("orchestrator-fence"), Some("42"));
    assert_eq!(TraceId::from_traceparent(seen.header("traceparent").unwrap()), Some(context().trace_id));
    assert_eq!(seen.header("user-agent"), Some("Orchestrator/0.1.0"));
    assert_eq!((seen.header("authorization"), seen.header("idempotency-key")), (None, None));
}

#[tokio::test]
async fn each_form_of_body_has_its_type_unless_the_caller_names_one() {
    let upstream = Upstream::answering(answer(204, "", "")).await;
    let connector = connector(&json!({"base_url": upstream.url("")}));
    for (field, value, content_type, body) in [
        ("json", json!([1]), "application/json", &b"[1]"[..]),
        ("form", json!({"a": "b c", "d": [1, 2]}), "application/x-www-form-urlencoded", b"a=b+c&d=1&d=2"),
        ("text", json!("caf\u{e9}"), "text/plain; charset=utf-8", "caf\u{e9}".as_bytes()),
        ("body_base64", json!("AP8="), "application/octet-stream", &[0, 255]),
    ] {
        for (headers, expected) in [(json!({}), content_type), (json!({"Content-Type": "x/y"}), "x/y")] {
            let input = json!({"method": "PUT", "path": "/", "headers": headers, field: value});
            let output = connector.call(&context(), "request", &input).await.unwrap();
            assert_eq!(output["body"], Value::Null);
            let seen = upstream.last();
            assert_eq!((seen.header("content-type"), &seen.body[..]), (Some(expected), body));
        }
    }
    connector.call(&context(), "request", &json!({"method": "GET", "path": "/"})).await.unwrap();
    assert_eq!((upstream.last().header("content-type"), upstream.last().body.len()), (None, 0));
}

#[test]
fn inputs_are_checked_with_all_problems_at_once() {
    let connector = connector(&json!({"base_url": "https://a.example", "headers": {"X-Tenant": "a"}}));
    let input = json!({
        "method": "fetch", "path": "/../x", "query": {"a": {"b": 1}}, "headers": {"Host": "evil", "x-tenant": "b", "X-A": 1},
        "text": "t", "body_base64": "!", "qery": {},
    });
    let problems = invalid(connector.plan("request", &input));
    let mut found = pointers(&problems);
    found.sort_unstable();
    for pointer in ["/body_base64", "/method", "/path", "/qery", "/query/a", "/headers/X-A"] {
        assert!(found.contains(&pointer), "{pointer} in {found:?}");
    }
    let input = json!({"method": "GET", "path": "/", "headers": {"Host": "evil", "x-tenant": "b", "cookie": "c"}, "json": 1, "text": "t"});
    let problems = invalid(connector.plan("request", &input));
    assert_eq!(pointers(&problems), ["/headers/Host", "/headers/cookie", "/headers/x-tenant", "/text"]);
    for input in [json!(null), json!([]), json!("x"), json!(1)] {
        assert!(!invalid(connector.plan("request", &input)).is_empty(), "{input}");
    }
    assert_eq!(pointers(&invalid(connector.plan("request", &json!({})))), ["/method", "/path"]);
    assert_eq!(connector.plan("requests", &json!({})), Err(PlanError::OperationNotFound));
    assert_eq!(connector.plan("webhook", &json!({})), Err(PlanError::OperationNotFound));
}

#[test]
fn no_path_leads_out_of_the_base_url() {
    let connector = connector(&json!({"base_url": "https://a.example/base"}));
    for path in [
        "//evil.example/",
        "@evil.example/",
        "/../x",
        "/%2e%2e/x",
        "/%252e%252e/",
        "\\\\evil",
        "https://evil.example",
        "/a%2f..",
        "/..;/",
    ] {
        let problems = invalid(connector.plan("request", &json!({"method": "GET", "path": path})));
        assert_eq!(pointers(&problems), ["/path"], "{path}");
    }
}

#[test]
fn a_call_is_idempotent_by_method_by_key_or_by_word() {
    let operations = json!({
        "charge": {"method": "POST", "path": "/c"}, "upsert": {"method": "POST", "path": "/u", "idempotent": true},
        "poke": {"method": "GET", "path": "/p", "idempotent": false},
    });
    let plain = connector(&json!({"base_url": "https://a.example", "operations": operations}));
    let keyed =
        connector(&json!({"base_url": "https://a.example", "idempotency_header": "X-Key", "operations": operations}));
    for (method, idempotent) in [
        ("GET", true),
        ("HEAD", true),
        ("PUT", true),
        ("DELETE", true),
        ("OPTIONS", true),
        ("POST", false),
        ("PATCH", false),
    ] {
        let input = json!({"method": method, "path": "/"});
        assert_eq!(plain.plan("request", &input).unwrap().idempotent, idempotent, "{method}");
        assert!(keyed.plan("request", &input).unwrap().idempotent, "{method}");
        let input = json!({"method": method, "path": "/", "headers": {"idempotency-key": "k"}});
        assert!(plain.plan("request", &input).unwrap().idempotent, "{method}");
    }
    // A key that the upstream does not see, or an empty one, is none.
    let empty = json!({"method": "POST", "path": "/", "headers": {"Idempotency-Key": ""}});
    assert!(!plain.plan("request", &empty).unwrap().idempotent);
    let word = |connector: &Arc<dyn Connector>, name| connector.plan(name, &json!({})).unwrap().idempotent;
    assert_eq!([word(&plain, "charge"), word(&plain, "upsert"), word(&plain, "poke")], [false, true, false]);
    assert_eq!([word(&keyed, "charge"), word(&keyed, "upsert"), word(&keyed, "poke")], [true, true, false]);
}

#[tokio::test]
async fn the_upstreams_idempotency_key_is_the_subject_or_the_callers() {
    let upstream = Upstream::answering(answer(200, "", "")).await;
    let connector = connector(&json!({"base_url": upstream.url(""), "idempotency_header": "Idempotency-Key"}));
    for _ in 0..2 {
        connector.call(&context(), "request", &json!({"method": "POST", "path": "/"})).await.unwrap();
        assert_eq!(upstream.last().header("idempotency-key"), Some("exe_1"));
    }
    let input = json!({"method": "POST", "path": "/", "headers": {"Idempotency-Key": "mine"}});
    connector.call(&context(), "request", &input).await.unwrap();
    assert_eq!(upstream.last().header("idempotency-key"), Some("mine"));
}

#[tokio::test]
async fn a_named_operation_fills_its_path() {
    let upstream = Upstream::answering(answer(200, "", "fine")).await;
    let operations = json!({"refund": {"method": "POST", "path": "/v1/{charge}/refunds/{number}"}});
    let connector = connector(&json!({"base_url": upstream.url("/api"), "operations": operations}));
    let input = json!({"params": {"charge": "ch 1@x", "number": 7}, "query": {"a": 1}, "json": {}});
    let output = connector.call(&context(), "refund", &input).await.unwrap();
    assert_eq!(output["body"], json!("fine"));
    assert_eq!(upstream.last().target, "/api/v1/ch%201%40x/refunds/7?a=1");
    let problems = invalid(connector.plan("refund", &json!({"params": {"charge": "../x", "other": 1}, "path": "/"})));
    let mut found = pointers(&problems);
    found.sort_unstable();
    assert_eq!(found, ["/params/charge", "/params/number", "/params/other", "/path"]);
}

#[tokio::test]
async fn a_webhook_posts_the_event_where_the_settings_say() {
    let upstream = Upstream::answering(answer(200, "", "")).await;
    let connector = connector(&json!({"base_url": upstream.url("/in"), "webhook_path": "/hooks?from=us"}));
    let event = json!({"type": "charge.refunded", "data": [1, null]});
    assert!(!connector.plan("webhook", &event).unwrap().idempotent);
    connector.call(&context(), "webhook", &event).await.unwrap();
    let seen = upstream.last();
    assert_eq!((seen.method.as_str(), seen.target.as_str()), ("POST", "/in/hooks?from=us"));
    assert_eq!(serde_json::from_slice::<Value>(&seen.body).unwrap(), event);
}

#[tokio::test]
async fn credentials_come_from_the_newest_secret_of_their_slots() {
    let upstream = Upstream::answering(answer(200, "", "")).await;
    let settings = json!({"base_url": upstream.url(""), "header_name": "X-Api-Key"});
    let key = ("header", Ok("k-1"));
    for (filled, authorization) in [
        (vec![key, ("bearer", Ok("tok"))], Some("Bearer tok")),
        (vec![key, ("basic", Ok("user:pa:ss"))], Some("Basic dXNlcjpwYTpzcw==")),
        (vec![key, ("username", Ok("user")), ("password", Ok("pass"))], Some("Basic dXNlcjpwYXNz")),
        (vec![key, ("username", Ok("sk_1"))], Some("Basic c2tfMTo=")),
        (vec![key], None),
    ] {
        let connector = build(&settings, slots(&filled)).unwrap();
        connector.call(&context(), "request", &json!({"method": "GET", "path": "/"})).await.unwrap();
        let seen = upstream.last();
        assert_eq!((seen.header("authorization"), seen.header("x-api-key")), (authorization, Some("k-1")));
    }
}

#[tokio::test]
async fn inv_23_a_secret_that_cannot_be_had_or_sent_fails_the_call_and_is_not_shown() {
    let upstream = Upstream::answering(answer(200, "", "")).await;
    let settings = json!({"base_url": upstream.url("")});
    for secret in [Err(SecretError::Missing), Err(SecretError::Unreachable), Ok("canary\n"), Ok("can\r\nary: 1")] {
        let connector = build(&settings, slots(&[("bearer", secret)])).unwrap();
        let failed = connector.call(&context(), "request", &json!({"method": "GET", "path": "/"})).await.unwrap_err();
        assert_eq!((failed.kind, failed.sent), (CallErrorKind::SecretUnavailable, Sent::No));
        assert!(!format!("{failed:?}").contains("ary"), "{failed:?}");
    }
    let unfilled = connector(&json!({"base_url": upstream.url(""), "header_name": "X-Api-Key"}));
    let failed = unfilled.call(&context(), "request", &json!({"method": "GET", "path": "/"})).await.unwrap_err();
    assert_eq!(failed.kind, CallErrorKind::SecretUnavailable);
    assert_eq!(upstream.connections(), 0);
}

#[tokio::test]
async fn failures_say_whether_they_may_pass_and_show_the_answer() {
    for (status, kind) in [
        (302, CallErrorKind::Rejected),
        (400, CallErrorKind::Rejected),
        (404, CallErrorKind::Rejected),
        (408, CallErrorKind::Failed),
        (425, CallErrorKind::Failed),
        (429, CallErrorKind::Failed),
        (503, CallErrorKind::Failed),
    ] {
        let told = answer(status, "Retry-After: 3\r\nContent-Type: application/json\r\n", r#"{"why":"so"}"#);
        let upstream = Upstream::answering(told).await;
        let connector = connector(&json!({"base_url": upstream.url("")}));
        let failed = connector.call(&context(), "request", &json!({"method": "GET", "path": "/"})).await.unwrap_err();
        let wait = (kind == CallErrorKind::Failed).then_some(Duration::from_secs(3));
        assert_eq!((failed.kind, failed.sent, failed.retry_after), (kind, Sent::Maybe, wait), "{status}");
        let view = failed.upstream.unwrap();
        assert_eq!((view.status, view.body), (status, json!({"why": "so"})));
    }
}

#[tokio::test]
async fn a_large_failure_is_cut_and_a_large_success_refused() {
    let large = "x".repeat(100_000);
    let upstream = Upstream::answering(answer(500, "", &large)).await;
    let failing = connector(&json!({"base_url": upstream.url("")}));
    let get = json!({"method": "GET", "path": "/"});
    let failed = failing.call(&context(), "request", &get).await.unwrap_err();
    assert_eq!(failed.upstream.unwrap().body.as_str().map(str::len), Some(16 << 10));
    let upstream = Upstream::answering(answer(200, "", &large)).await;
    let bounded = connector(&json!({"base_url": upstream.url(""), "max_response_bytes": 99_999}));
    assert_eq!(bounded.call(&context(), "request", &get).await.unwrap_err().kind, CallErrorKind::Rejected);
    let roomy = connector(&json!({"base_url": upstream.url(""), "max_response_bytes": 100_000}));
    assert_eq!(roomy.call(&context(), "request", &get).await.unwrap()["body"], json!(large));
}

#[tokio::test]
async fn inv_26_a_base_url_inside_is_forbidden_when_it_is_called() {
    let registry = registry(EgressClient::new(allowing(&[])).unwrap());
    let kind = "http".parse().unwrap();
    for base in
        ["http://127.0.0.1:1", "http://169.254.169.254/latest", "http://[::1]", "http://2130706433", "http://localhost"]
    {
        let settings = json!({"base_url": base});
        assert!(registry.check(&kind, &settings, SecretSlots::default()).unwrap().is_empty(), "{base}");
        let connector = registry.build(&kind, &settings, SecretSlots::default()).unwrap().unwrap();
        let refused = connector.call(&context(), "request", &json!({"method": "GET", "path": "/"})).await.unwrap_err();
        assert_eq!((refused.kind, refused.sent), (CallErrorKind::DestinationForbidden, Sent::No), "{base}");
        assert!(!refused.detail.contains("127.") && !refused.detail.contains("::1"), "{refused}");
    }
}

#[tokio::test]
async fn what_was_not_planned_is_not_sent() {
    let upstream = Upstream::answering(answer(200, "", "")).await;
    let connector = connector(&json!({"base_url": upstream.url("")}));
    for (operation, input) in [("nothing", json!({})), ("request", json!({"method": "GET", "path": "/.."}))] {
        let failed = connector.call(&context(), operation, &input).await.unwrap_err();
        assert_eq!((failed.kind, failed.sent), (CallErrorKind::Rejected, Sent::No));
    }
    assert_eq!(upstream.connections(), 0);
}
