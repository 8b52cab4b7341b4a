//! The mock server against the document: what it answers is what the contract says a server answers.

use std::collections::BTreeSet;
use std::time::Duration;

use http::Method;
use orchestrator_client::ErrorCode;
use orchestrator_client::mock::{MockServer, Outcome, Webhook};
use orchestrator_types::{EventType, JobId};
use serde_json::{Value, json};

use crate::document::{Operation, operations, problems};

/// Routes of the control API: the mock has none of them.
const CONTROL: [&str; 5] = ["/workspaces", "/audit", "/connector-kinds", "/schemas", "/secrets"];

struct Asked {
    status: u16,
    body: Value,
    operation: String,
}

struct Caller {
    server: MockServer,
    http: reqwest::Client,
    operations: Vec<Operation>,
}

impl Caller {
    async fn new() -> Self {
        let server = MockServer::start().await.unwrap();
        server.when("billing-api", "request").then(json!({"status": 200}));
        server.when("billing-api", "broken").then(Outcome::rejected(422, json!({"why": "no"})));
        server
            .when("billing-api", "busy")
            .then(Outcome::from(ErrorCode::RateLimited).with_retry_after(Duration::from_secs(7)));
        server.when("billing-api", "slow").then(Outcome::success(1).after(Duration::from_secs(60)));
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { server, http, operations: operations() }
    }

    /// Asks, and holds the answer against the document.
    async fn ask(&self, method: Method, path: &str, key: Option<&str>, body: Option<&str>) -> Asked {
        let mut request = self.http.request(method.clone(), format!("{}{path}", self.server.url())).bearer_auth("x");
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        if let Some(body) = body {
            let form = if path == "/oauth/token" { "application/x-www-form-urlencoded" } else { "application/json" };
            request = request.header("content-type", form).body(body.to_owned());
        }
        let answer = request.send().await.unwrap();
        let bare = path.split('?').next().unwrap();
        // A path without parameters wins: `/jobs/batch` is no job.
        let mut fitting: Vec<_> =
            self.operations.iter().filter(|each| each.method == method.as_str() && each.is_at(bare)).collect();
        fitting.sort_by_key(|each| each.path.matches('{').count());
        let operation = fitting.first().unwrap_or_else(|| panic!("the contract has no {method} {bare}"));
        let status = answer.status().as_u16();
        assert!(operation.tells_of(status), "{}: {status}", operation.id);
        assert!(answer.headers().contains_key("trace-id"), "{}", operation.id);
        if matches!(status, 429 | 503) {
            assert!(answer.headers()["retry-after"].to_str().unwrap().parse::<u64>().unwrap() >= 1);
        }
        let kind = answer.headers().get("content-type").map(|kind| kind.to_str().unwrap().to_owned());
        let body: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap_or_default();
        if let Some(validator) = kind.and_then(|kind| operation.answer(status, &kind)) {
            assert_eq!(problems(&validator, &body), Vec::<String>::new(), "{} {status}: {body}", operation.id);
        } else {
            assert!(status == 304 || body.is_null(), "{} {status}: the contract says nothing of {body}", operation.id);
        }
        Asked { status, body, operation: operation.id.clone() }
    }
}

#[tokio::test]
async fn what_the_mock_answers_is_what_the_contract_says() {
    let caller = Caller::new().await;
    caller.server.callback("billing", "http://127.0.0.1:1/", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
    caller.server.webhook_route("stripe", "billing");
    caller.server.emit(EventType::BreakerOpened, "billing-api", json!({}));
    let payload = caller.server.payload("text/plain", "a large one");
    let payload = format!("/payloads/{}", payload["payload_ref"]["id"].as_str().unwrap());
    let call =
        |operation: &str| json!({"connector": "billing-api", "operation": operation, "input": {"a": 1}}).to_string();
    let job =
        json!({"connector": "billing-api", "operation": "request", "callback": "billing", "metadata": {"a": "b"}});
    let batch =
        json!({"jobs": [job, {"connector": "billing-api", "operation": "broken", "delay_ms": 100_000}]}).to_string();
    let (get, post) = (Method::GET, Method::POST);
    let mut asked = Vec::new();

    for (key, body) in [
        (None, call("request")),
        (Some("k"), call("request")),
        (Some("k"), call("request")),
        (Some("k"), call("broken")),
    ] {
        asked.push(caller.ask(post.clone(), "/execute", key, Some(&body)).await);
    }
    assert_eq!(asked.iter().map(|asked| asked.status).collect::<Vec<_>>(), [200, 200, 200, 422]);
    assert_eq!(asked[1].body["id"], asked[2].body["id"], "one key, one execution");
    for (body, status, code) in [
        (call("broken"), 502, "upstream_rejected"),
        (call("busy"), 429, "rate_limited"),
        (call("none"), 404, "operation_not_found"),
        (call("request").replace("billing", "other"), 404, "connector_not_found"),
        (call("slow").replace("\"input\"", "\"timeout_ms\": 10, \"input\""), 504, "timeout"),
        ("{\"a\": 1".to_owned(), 400, "invalid_request"),
    ] {
        let refused = caller.ask(post.clone(), "/execute", None, Some(&body)).await;
        assert_eq!((refused.status, &refused.body["code"]), (status, &json!(code)));
        asked.push(refused);
    }
    let execution = format!("/executions/{}", asked[0].body["id"].as_str().unwrap());
    let accepted = caller.ask(post.clone(), "/jobs", Some("j"), Some(&job.to_string())).await;
    let id = accepted.body["id"].as_str().unwrap().to_owned();
    asked.push(accepted);
    asked.push(caller.ask(post.clone(), "/jobs/batch", None, Some(&batch)).await);
    let waiting = asked.last().unwrap().body["jobs"][1].clone();
    assert_eq!(waiting["status"], "scheduled");
    let cancel = format!("/jobs/{}/cancel", waiting["id"].as_str().unwrap());
    for status in [200, 409] {
        asked.push(caller.ask(post.clone(), &cancel, None, None).await);
        assert_eq!(asked.last().unwrap().status, status);
    }
    for (path, status) in [
        (format!("/jobs/{id}?wait_ms=30000"), 200),
        (format!("/jobs/{}", JobId::new()), 404),
        ("/jobs?limit=1".to_owned(), 200),
        ("/jobs?status=nonsense".to_owned(), 400),
        ("/events?wait_ms=10&type=breaker.opened,job.dead".to_owned(), 200),
        ("/events?limit=0".to_owned(), 400),
        (execution, 200),
        ("/executions/exe_none".to_owned(), 404),
        ("/config".to_owned(), 200),
        ("/.well-known/jwks.json".to_owned(), 200),
    ] {
        asked.push(caller.ask(get.clone(), &path, None, None).await);
        assert_eq!(asked.last().unwrap().status, status, "{path}");
    }
    for (path, body, status) in [
        ("/oauth/token", "grant_type=client_credentials&client_id=svc%3Aa&client_secret=s", 200),
        ("/oauth/token", "grant_type=password", 400),
        ("/webhooks/stripe", "{\"id\": \"evt_1\", \"type\": \"charge.refunded\"}", 200),
        ("/webhooks/stripe/main", "{\"id\": \"evt_1\", \"type\": \"charge.refunded\"}", 200),
        ("/webhooks/github", "{}", 404),
        ("/payloads", "{\"any\": \"bytes\"}", 201),
    ] {
        asked.push(caller.ask(post.clone(), path, None, Some(body)).await);
        assert_eq!(asked.last().unwrap().status, status, "{path}");
    }
    if caller.operations.iter().any(|operation| operation.is_at(&payload)) {
        asked.push(caller.ask(get, &payload, None, None).await);
    }

    let good: BTreeSet<String> =
        asked.iter().filter(|asked| asked.status < 300).map(|asked| asked.operation.clone()).collect();
    let exec = caller.operations.iter().filter(|each| !CONTROL.iter().any(|control| each.path.starts_with(control)));
    let missing: Vec<_> = exec.map(|each| each.id.clone()).filter(|id| !good.contains(id)).collect();
    assert!(missing.is_empty(), "the mock does not answer: {missing:?}");
}

#[tokio::test]
async fn what_the_mock_streams_is_what_the_contract_says_of_an_event() {
    use futures_util::StreamExt;
    let server = MockServer::start().await.unwrap();
    server.receive("stripe", Webhook::of(json!({"id": "evt_1"}))).await;
    let client = server.client().unwrap();
    // What cannot be read as the contract's event is an error of the stream.
    let event = client.event_stream(None, Default::default()).next().await.unwrap().unwrap();
    assert_eq!(event.kind, EventType::WebhookReceived);
}
