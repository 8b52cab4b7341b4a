//! The mock server, as the tests of a product use it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::routing::post;
use futures_util::StreamExt;
use http::{HeaderMap, StatusCode};
use orchestrator_client::callback::CallbackVerifier;
use orchestrator_client::mock::{MockServer, Outcome, Webhook};
use orchestrator_client::{Error, ErrorCode, EventFilter, Retry};
use orchestrator_types::{EventType, ExecuteRequest, JobCallbackData, JobRequest, JobStatus, WebhookCallbackData};
use serde_json::{Value, json};

use crate::callbacks::SECRET;
use crate::retries::{call, job};
use crate::server::{quick, serve};

/// A product: answers each callback with the next of `statuses`, 204 after the last, and keeps what it could verify.
async fn product(statuses: &[u16]) -> (String, Arc<Mutex<Vec<(String, Value)>>>) {
    let taken = Arc::new(Mutex::new(Vec::new()));
    let (journal, statuses) = (Arc::clone(&taken), Arc::new(Mutex::new(statuses.to_vec())));
    let handler = move |headers: HeaderMap, body: Bytes| {
        let (journal, statuses) = (Arc::clone(&journal), Arc::clone(&statuses));
        async move {
            let verified = CallbackVerifier::of(SECRET).unwrap().verify::<Value>(&headers, &body).unwrap();
            journal.lock().unwrap().push((verified.delivery.to_string(), json!(verified.body)));
            let mut statuses = statuses.lock().unwrap();
            let status = if statuses.is_empty() { 204 } else { statuses.remove(0) };
            StatusCode::from_u16(status).unwrap()
        }
    };
    (serve(Router::new().route("/callback", post(handler))).await + "/callback", taken)
}

#[tokio::test]
async fn a_script_is_said_line_by_line_and_its_last_line_again() {
    let server = MockServer::start().await.unwrap();
    server.when("billing-api", "request").then(Outcome::rejected(402, json!("no money"))).then(json!({"n": 2}));
    let client = server.client().unwrap();
    let refused = client.execute(&call()).await.unwrap_err();
    assert_eq!(refused.code(), Some(ErrorCode::UpstreamRejected));
    assert_eq!(refused.problem().unwrap().upstream.as_ref().unwrap().status, 402);
    for _ in 0..2 {
        let done = client.execute(&call()).await.unwrap();
        assert_eq!(done.output, json!({"n": 2}));
        assert_eq!(client.execution(done.id).await.unwrap().status, "succeeded");
    }
    let calls = server.calls("billing-api", "request");
    assert_eq!(calls.len(), 3);
    assert_eq!(calls[0].input, call().input);
    assert!(server.requests().iter().all(|request| request.header("authorization").is_none()));
}

#[tokio::test]
async fn an_answer_may_depend_on_the_call() {
    let server = MockServer::start().await.unwrap();
    server.when("billing-api", "request").then_with(|call| match call.input["path"].as_str() {
        Some("/none") => Outcome::rejected(404, Value::Null),
        _ => Outcome::success(json!({"seen": call.input["path"]})),
    });
    let client = server.client().unwrap();
    let ask = |path: &str| ExecuteRequest { input: json!({"path": path}), ..call() };
    assert_eq!(client.execute(&ask("/a")).await.unwrap().output, json!({"seen": "/a"}));
    client.execute(&ask("/none")).await.unwrap_err();
}

#[tokio::test]
async fn a_job_retries_what_may_pass_and_tells_the_product() {
    let server = MockServer::start().await.unwrap();
    let (url, taken) = product(&[500]).await;
    server.callback("billing", &url, SECRET).unwrap();
    server.when("billing-api", "request").then(ErrorCode::UpstreamFailed).then(json!({"n": 2}));
    let client = server.client().unwrap();
    let request = JobRequest { callback: Some("billing".parse().unwrap()), ..job() };

    let id = client.submit(&request).await.unwrap().id;
    let done = client.wait_for_job(id, Duration::from_secs(30)).await.unwrap();
    server.settled().await;

    assert_eq!((done.status, done.attempt), (JobStatus::Succeeded, 2));
    let told = server.job(id).unwrap().callback.unwrap();
    assert_eq!((told.status.as_str(), told.attempts), ("delivered", 2));
    let taken = taken.lock().unwrap().clone();
    assert_eq!(taken.len(), 2);
    assert_eq!(taken[0], taken[1], "the same id and the same bytes on each try");
    let data: JobCallbackData = serde_json::from_value(taken[0].1["data"].clone()).unwrap();
    assert_eq!((data.attempts, data.output), (2, Some(json!({"n": 2}))));
    let kinds: Vec<_> =
        client.events(&Default::default()).await.unwrap().items.iter().map(|event| event.kind).collect();
    assert_eq!(
        kinds,
        [
            EventType::JobQueued,
            EventType::JobStarted,
            EventType::JobRetrying,
            EventType::JobStarted,
            EventType::JobSucceeded,
            EventType::CallbackDelivered,
        ]
    );
}

#[tokio::test]
async fn a_job_that_is_refused_for_good_is_dead_and_one_that_is_held_waits() {
    let server = MockServer::start().await.unwrap();
    server.when("billing-api", "request").then(ErrorCode::UpstreamRejected);
    server.hold_jobs();
    let client = server.client().unwrap();
    let id = client.submit(&job()).await.unwrap().id;
    assert!(matches!(client.wait_for_job(id, Duration::ZERO).await, Err(Error::NotFinished(_))));
    assert!(server.run_job(id) && !server.run_job(id));
    let dead = client.wait_for_job(id, Duration::from_secs(30)).await.unwrap();
    assert_eq!((dead.status, dead.error.unwrap().code.as_str()), (JobStatus::Dead, "upstream_rejected"));
}

#[tokio::test]
async fn a_webhook_reaches_the_product_once_and_a_redelivery_has_the_same_id() {
    let server = MockServer::start().await.unwrap();
    let (url, taken) = product(&[]).await;
    server.callback_signed("billing", &url, &["whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD", SECRET]).unwrap();
    server.webhook_route("stripe", "billing");
    let event = Webhook::of(json!({"id": "evt_1", "type": "charge.refunded", "account": "acct_1"}));

    let first = server.receive("stripe", event.clone()).await.unwrap();
    assert!(first.is_delivered() && server.receive("stripe", event).await.is_none());
    let again = server.redeliver(&first).await;
    assert_eq!((again.id.as_str(), &again.body), (first.id.as_str(), &first.body));

    let taken = taken.lock().unwrap().clone();
    assert_eq!(taken[0], taken[1]);
    let data: WebhookCallbackData = serde_json::from_value(taken[0].1["data"].clone()).unwrap();
    assert_eq!((data.event_id.as_str(), data.account.as_deref()), ("evt_1", Some("acct_1")));
    assert_eq!(server.deliveries().len(), 2);
}

#[tokio::test]
async fn a_test_may_refuse_requests_and_break_streams() {
    let server = MockServer::start().await.unwrap();
    let client = server.client().unwrap();
    server.refuse_next([ErrorCode::WorkspaceSuspended]);
    assert_eq!(client.product_config().await.unwrap_err().code(), Some(ErrorCode::WorkspaceSuspended));
    server.set_config([("plan".to_owned(), json!("gold"))].into());
    let read = client.product_config_if_changed(None).await.unwrap().unwrap();
    assert_eq!(read.body.settings["plan"], "gold");
    assert_eq!(client.product_config_if_changed(read.etag.as_ref()).await.unwrap(), None);

    let client = orchestrator_client::Client::builder(server.url()).token("x").retry(quick(9)).build().unwrap();
    let mut events = client.event_stream(None, EventFilter::default());
    server.emit(EventType::BreakerOpened, "billing-api", json!({}));
    assert_eq!(events.next().await.unwrap().unwrap().kind, EventType::BreakerOpened);
    server.break_streams();
    server.emit(EventType::BreakerClosed, "billing-api", json!({}));
    assert_eq!(events.next().await.unwrap().unwrap().kind, EventType::BreakerClosed);
    let streams = server.requests().iter().filter(|request| request.path == "/events").count();
    assert_eq!(streams, 2);
}

#[tokio::test]
async fn a_request_without_a_token_is_refused_and_a_payload_is_read() {
    let server = MockServer::start().await.unwrap();
    let large = server.payload("text/plain", "a large one");
    let id = large["payload_ref"]["id"].as_str().unwrap().parse().unwrap();
    assert_eq!(&server.client().unwrap().payload(id).await.unwrap().bytes[..], b"a large one");
    let anonymous = orchestrator_client::Client::builder(server.url()).retry(Retry::never()).build().unwrap();
    assert!(matches!(anonymous.product_config().await, Err(Error::Token(_))));
    anonymous.keys().await.unwrap();
}

#[tokio::test]
async fn a_caller_that_goes_away_finds_the_answer_under_its_key() {
    let server = MockServer::start().await.unwrap();
    let slow = Outcome::success(json!({"n": 1})).after(Duration::from_millis(300));
    server.when("billing-api", "request").then(slow).then(ErrorCode::Internal);
    let impatient = orchestrator_client::Client::builder(server.url()).token("x").retry(Retry::never());
    let impatient = impatient.timeout(Duration::from_millis(50)).build().unwrap();
    let key: orchestrator_types::IdempotencyKey = "order-7".parse().unwrap();
    let problem = impatient.execute(&call()).idempotency_key(key.clone()).await.unwrap_err();
    assert!(matches!(&problem, Error::Transport(source) if source.is_timeout()), "{problem:?}");
    let done = server.client().unwrap().execute(&call()).idempotency_key(key).answer().await.unwrap();
    assert!(done.replayed && done.body.output == json!({"n": 1}));
    assert_eq!(server.calls("billing-api", "request").len(), 1);
}
