//! `/execute`, `/jobs`, `/config`.

use serde_json::{Value, json};

use crate::install::{self, WORKSPACE};

fn call(operation: &str) -> Value {
    json!({"connector": "fake", "operation": operation, "input": {"a": 1}})
}

#[tokio::test]
async fn a_call_answers_and_can_be_explained() {
    let install = install::start_onboarded().await;
    let token = install.service(WORKSPACE);
    let done = install.send("POST", "/execute", &token, Some(call("echo"))).await;
    assert_eq!(done.status, 200);
    let body = done.json();
    assert_eq!(
        (&body["status"], &body["output"], &body["attempts"]),
        (&json!("succeeded"), &json!({"a": 1}), &json!(1))
    );
    assert_eq!(body["trace_id"].as_str(), done.header("trace-id"));
    assert!(done.header("ratelimit").unwrap().starts_with("\"connector\";r="));
    assert_eq!(done.header("ratelimit-policy"), Some("\"connector\";q=40;w=2"));

    let id = body["id"].as_str().unwrap();
    let record = install.get(&format!("/executions/{id}"), &token).await;
    assert_eq!((record.status, &record.json()["attempts_log"][0]["outcome"]), (200, &json!("succeeded")));
}

#[tokio::test]
async fn a_call_that_fails_says_how_in_the_contracts_codes() {
    let install = install::start_onboarded().await;
    let token = install.service(WORKSPACE);
    let wrong = |name: &str, value: Value| {
        let mut call = call("echo");
        call[name] = value;
        call
    };
    for (body, status, code, pointer) in [
        (call("reject"), 502, "upstream_rejected", None),
        (call("fail"), 502, "upstream_unreachable", None),
        (wrong("connector", json!("none")), 404, "connector_not_found", None),
        (wrong("operation", json!("none")), 404, "operation_not_found", None),
        (wrong("input", json!(1)), 400, "invalid_input", Some("/input")),
        (wrong("timeout_ms", json!(0)), 400, "invalid_request", Some("/timeout_ms")),
        (wrong("tiemout_ms", json!(1)), 400, "invalid_request", Some("/tiemout_ms")),
        (wrong("connector", json!("NO")), 400, "invalid_request", Some("/connector")),
        (json!([]), 400, "invalid_request", None),
    ] {
        let answer = install.send("POST", "/execute", &token, Some(body)).await;
        let problem = answer.json();
        assert_eq!((answer.status, problem["code"].as_str()), (status, Some(code)), "{problem}");
        assert_eq!(problem["errors"][0]["pointer"].as_str().filter(|_| pointer.is_some()), pointer, "{problem}");
        if code == "upstream_rejected" {
            assert_eq!((&problem["upstream"]["status"], &problem["attempts"]), (&json!(422), &json!(1)));
            assert!(problem["id"].as_str().unwrap().starts_with("exe_"));
        }
    }
}

#[tokio::test]
async fn a_limit_says_when_to_come_back() {
    let install = install::start_onboarded().await;
    let token = install.service(WORKSPACE);
    let limited = loop {
        let answer = install.send("POST", "/execute", &token, Some(call("echo"))).await;
        if answer.status != 200 {
            break answer;
        }
    };
    assert_eq!((limited.status, limited.json()["code"].as_str()), (429, Some("rate_limited")));
    assert!(limited.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
    assert!(limited.header("ratelimit").unwrap().starts_with("\"connector\";r=0;"));
    assert!(limited.header("ratelimit-policy").is_some());
}

#[tokio::test]
async fn inv_08_an_idempotency_key_makes_one_execution() {
    let install = install::start_onboarded().await;
    let token = install.service(WORKSPACE);
    let send =
        async |headers: &str, body: Value| install.send_with("POST", "/execute", &token, headers, Some(body)).await;
    let first = send("Idempotency-Key: k-1\r\n", call("echo")).await;
    let again = send("Idempotency-Key: k-1\r\n", call("echo")).await;
    assert_eq!(first.header("idempotency-replayed"), None);
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!((again.status, again.json()), (200, first.json()));
    let other = send("Idempotency-Key: k-1\r\n", call("reject")).await;
    assert_eq!((other.status, other.json()["code"].as_str()), (422, Some("idempotency_mismatch")));

    let rejected = send("Idempotency-Key: k-2\r\n", call("reject")).await;
    let again = send("Idempotency-Key: k-2\r\n", call("reject")).await;
    assert_eq!((again.status, &again.json()["id"]), (502, &rejected.json()["id"]));
    assert_eq!(again.header("idempotency-replayed"), Some("true"));

    // A key of one route is none of another's.
    let job = install.send_with("POST", "/jobs", &token, "Idempotency-Key: k-1\r\n", Some(call("echo"))).await;
    assert_eq!((job.status, job.header("idempotency-replayed")), (202, None), "{}", job.json());

    for wrong in ["Idempotency-Key: \r\n", "Idempotency-Key: a b\r\n", "Idempotency-Key: a\r\nIdempotency-Key: b\r\n"] {
        assert_eq!(send(wrong, call("echo")).await.status, 400, "{wrong:?}");
    }
}

#[tokio::test]
async fn inv_22_a_call_whose_caller_goes_away_is_finished_and_recorded() {
    let install = install::start_onboarded().await;
    let token = install.service(WORKSPACE);
    let mut raw = crate::kit::Raw::connect(install.api).await;
    let body = call("hang").to_string();
    let head =
        format!("Authorization: Bearer {token}\r\nContent-Type: application/json\r\nContent-Length: {}", body.len());
    raw.send(format!("POST /execute HTTP/1.1\r\nHost: a\r\n{head}\r\n\r\n{body}")).await;
    install.hanging.begun.notified().await;
    drop(raw);
    install.hanging.go_on.notify_one();
    let events = install.get("/events?type=execution.succeeded&wait_ms=30000", &token).await.json();
    assert_eq!(events["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_job_is_accepted_watched_and_listed() {
    let install = install::start_onboarded().await;
    let token = install.service(WORKSPACE);
    let accepted = install.send_with("POST", "/jobs", &token, "Idempotency-Key: j\r\n", Some(call("echo"))).await;
    assert_eq!((accepted.status, accepted.json()["status"].as_str()), (202, Some("queued")));
    let again = install.send_with("POST", "/jobs", &token, "Idempotency-Key: j\r\n", Some(call("echo"))).await;
    assert_eq!((again.status, again.header("idempotency-replayed")), (202, Some("true")));
    assert_eq!(again.json(), accepted.json());

    let id = accepted.json()["id"].as_str().unwrap().to_owned();
    let job = install.get(&format!("/jobs/{id}?wait_ms=30000"), &token).await.json();
    assert_eq!((&job["status"], &job["output"]), (&json!("succeeded"), &json!({"a": 1})));
    let listed = install.get("/jobs?status=succeeded&connector=fake", &token).await.json();
    assert_eq!(listed["items"][0]["id"], id);
    let ended = install.send("POST", &format!("/jobs/{id}/cancel"), &token, None).await;
    assert_eq!(ended.status, 409);
}

#[tokio::test]
async fn a_batch_is_all_or_none_and_points_at_what_is_wrong() {
    let install = install::start_onboarded().await;
    let token = install.service(WORKSPACE);
    let batch = json!({"jobs": [call("echo"), {"connector": "fake", "operation": "none"}]});
    let refused = install.send("POST", "/jobs/batch", &token, Some(batch)).await;
    assert!(matches!(refused.status, 400 | 404), "{}", refused.json());
    assert!(install.get("/jobs", &token).await.json()["items"].as_array().unwrap().is_empty());

    // Batches may be larger than other bodies.
    let mut large = call("echo");
    large["input"] = json!({"text": "x".repeat(20_000)});
    let batch = json!({"jobs": vec![large; 100]});
    assert_eq!(install.send("POST", "/execute", &token, Some(batch.clone())).await.status, 413);
    let accepted = install.send("POST", "/jobs/batch", &token, Some(batch)).await;
    assert_eq!((accepted.status, accepted.json()["jobs"].as_array().unwrap().len()), (202, 100));
    let too_long = install.get("/jobs/nothing?wait_ms=30001", &token).await;
    assert!(matches!(too_long.status, 400 | 404));
    let id = accepted.json()["jobs"][0]["id"].as_str().unwrap().to_owned();
    for query in ["wait_ms=30001", "wait_ms=-1", "wait=1"] {
        assert_eq!(install.get(&format!("/jobs/{id}?{query}"), &token).await.status, 400, "{query}");
    }
    for query in ["limit=0", "limit=501", "status=none", "cursor=x", "offset=1"] {
        assert_eq!(install.get(&format!("/jobs?{query}"), &token).await.status, 400, "{query}");
    }
}

#[tokio::test]
async fn the_products_documents_have_a_tag() {
    let install = install::start_onboarded().await;
    let token = install.service(WORKSPACE);
    let first = install.get("/config", &token).await;
    let tag = first.header("etag").unwrap().to_owned();
    assert_eq!((first.status, first.json()["settings"].clone()), (200, json!({})));
    let known = install.send_with("GET", "/config", &token, &format!("If-None-Match: {tag}\r\n"), None).await;
    assert_eq!((known.status, known.header("etag"), known.body.len()), (304, Some(tag.as_str()), 0));
}

#[tokio::test]
async fn a_suspended_workspace_is_refused_and_a_deleted_one_is_not_there() {
    let install = install::start_onboarded().await;
    let (token, admin) = (install.service(WORKSPACE), install.admin());
    let path = format!("/workspaces/{WORKSPACE}");
    let reason = || Some(json!({"reason": "a test"}));
    assert_eq!(install.send("POST", &format!("{path}/suspend"), &admin, None).await.status, 400);
    assert_eq!(install.send("POST", &format!("{path}/suspend"), &admin, reason()).await.status, 200);
    for (method, route) in
        [("POST", "/execute"), ("POST", "/jobs"), ("GET", "/jobs"), ("GET", "/events"), ("GET", "/config")]
    {
        let answer = install.send(method, route, &token, Some(call("echo"))).await;
        assert_eq!((answer.status, answer.json()["code"].as_str()), (403, Some("workspace_suspended")), "{route}");
    }
    assert_eq!(install.send("POST", &format!("{path}/resume"), &admin, reason()).await.status, 200);
    assert_eq!(install.send("POST", "/execute", &token, Some(call("echo"))).await.status, 200);
    assert_eq!(install.send("DELETE", &path, &admin, reason()).await.status, 204);
    assert_eq!(install.send("POST", "/execute", &token, Some(call("echo"))).await.status, 404);
    assert_eq!(install.get(&path, &admin).await.status, 404);
}
