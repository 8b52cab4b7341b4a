//! What is sent again, and what is not.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use http::HeaderMap;
use orchestrator_client::{Client, Error, ErrorCode, Retry};
use orchestrator_types::{ExecuteRequest, ExecutionId, JobId, JobRequest, TraceId};
use serde_json::{Value, json};

use crate::server::{Server, answer, cut, nobody, problem, quick, with};

pub(crate) fn call() -> ExecuteRequest {
    ExecuteRequest {
        connector: "billing-api".parse().unwrap(),
        operation: "request".to_owned(),
        input: json!({"method": "GET"}),
        timeout_ms: None,
    }
}

pub(crate) fn job() -> JobRequest {
    JobRequest {
        connector: "billing-api".parse().unwrap(),
        operation: "request".to_owned(),
        input: Value::Null,
        timeout_ms: None,
        run_at: None,
        delay_ms: None,
        priority: None,
        callback: None,
        ordering_key: None,
        max_attempts: None,
        metadata: BTreeMap::new(),
    }
}

fn executed() -> Response {
    let body = json!({
        "id": ExecutionId::new(), "status": "succeeded", "output": {"ok": true}, "attempts": 1, "duration_ms": 12,
        "trace_id": TraceId::new(),
    });
    answer(200, &body)
}

fn busy(status: u16) -> Response {
    with(problem(status, "unavailable"), "retry-after", "1")
}

#[tokio::test]
async fn a_busy_answer_is_asked_again_under_the_same_idempotency_key() {
    let server = Server::answering(|_, number| match number {
        0 => busy(503),
        1 => busy(429),
        _ => executed(),
    })
    .await;
    let client = server.client();

    assert_eq!(client.execute(&call()).await.unwrap().output, json!({"ok": true}));
    client.execute(&call()).await.unwrap();

    let seen = server.seen();
    let keys: Vec<_> = seen.iter().map(|seen| seen.header("idempotency-key").unwrap()).collect();
    assert_eq!(keys.len(), 4);
    assert!(keys[0] == keys[1] && keys[1] == keys[2], "one logical call, one key: {keys:?}");
    assert_ne!(keys[2], keys[3], "another call, another key");
    assert!(seen.windows(2).all(|pair| pair[0].body == pair[1].body));
}

#[tokio::test]
async fn a_cut_connection_is_tried_again_under_the_callers_key() {
    let server = Server::answering(|_, number| match number {
        0 => cut("application/json", vec!["{\"id\":".to_owned()]),
        _ => with(executed(), "idempotency-replayed", "true"),
    })
    .await;

    let done = server.client().execute(&call()).idempotency_key("order-7".parse().unwrap()).answer().await.unwrap();

    assert!(done.replayed);
    let keys: Vec<_> = server.seen().iter().map(|seen| seen.header("idempotency-key").unwrap().to_owned()).collect();
    assert_eq!(keys, ["order-7", "order-7"]);
}

#[tokio::test]
async fn a_write_without_a_key_is_sent_once() {
    let server = Server::answering(|_, _| busy(503)).await;
    let client = server.client();
    let ws = client.workspace(&"buildos-dev".parse().unwrap());

    let refused = ws.suspend("because").await.unwrap_err();
    assert_eq!(refused.retry_after(), Some(Duration::from_secs(1)));
    ws.put_operator("ada", orchestrator_types::Role::Admin).await.unwrap_err();
    ws.delete("because").await.unwrap_err();
    let sent = client.send_webhook(&"stripe".parse().unwrap(), None, HeaderMap::new(), "{}".into()).await.unwrap();
    assert_eq!(sent.status, 503);

    assert_eq!(server.seen().len(), 4);
}

#[tokio::test]
async fn a_cut_write_without_a_key_is_sent_once() {
    let server = Server::answering(|_, _| cut("application/json", Vec::new())).await;
    let client = server.client();
    let problem = client.workspace(&"buildos-dev".parse().unwrap()).suspend("because").await.unwrap_err();
    assert!(matches!(problem, Error::Transport(_)) && problem.may_have_happened(), "{problem:?}");
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn a_read_is_tried_as_often_as_said_and_no_more() {
    let server = Server::answering(|_, _| busy(503)).await;
    let client = server.builder().token("x").retry(quick(5)).build().unwrap();
    let problem = client.job(JobId::new()).await.unwrap_err();
    assert_eq!(problem.code(), Some(ErrorCode::Unavailable));
    assert!(problem.is_transient() && problem.is_retryable());
    assert_eq!(server.seen().len(), 5);

    let client = server.builder().token("x").retry(Retry::never()).build().unwrap();
    client.job(JobId::new()).await.unwrap_err();
    assert_eq!(server.seen().len(), 6);
}

#[tokio::test]
async fn other_failures_are_the_callers_to_judge() {
    let server = Server::answering(|_, number| problem([500, 502, 504, 409, 400][number], "timeout")).await;
    let client = server.client();
    for _ in 0..5 {
        client.execute(&call()).await.unwrap_err();
    }
    assert_eq!(server.seen().len(), 5);
}

#[tokio::test]
async fn nobody_listening_is_a_transport_error_without_anything_sent() {
    let client = Client::builder(&nobody().await).token("x").retry(quick(3)).build().unwrap();
    let problem = client.execute(&call()).await.unwrap_err();
    let Error::Transport(source) = &problem else { panic!("{problem:?}") };
    assert!(source.is_connect() && !source.is_timeout() && !problem.may_have_happened());
    assert_eq!(problem.code(), None);
}

#[tokio::test]
async fn a_try_that_takes_too_long_is_given_up_and_made_again() {
    let server = Server::answering(|_, number| match number {
        0 | 1 => Response::new(Body::from_stream(futures_util::stream::pending::<Result<String, std::io::Error>>())),
        _ => executed(),
    })
    .await;
    let impatient = server.builder().token("x").timeout(Duration::from_millis(50));
    let client = impatient.retry(Retry::never()).build().unwrap();
    let problem = client.execute(&call()).await.unwrap_err();
    assert!(matches!(&problem, Error::Transport(source) if source.is_timeout()), "{problem:?}");

    // Patient enough for a loaded machine: what is told here is that there is a second try.
    let client = server.builder().token("x").timeout(Duration::from_secs(1)).build().unwrap();
    client.execute(&call()).await.unwrap();
    assert_eq!(server.seen().len(), 3);
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let server = Server::answering(|_, _| with(answer(307, &json!({})), "location", "/elsewhere")).await;
    let problem = server.client().product_config().await.unwrap_err();
    assert_eq!(problem.status().unwrap(), 307);
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn a_call_carries_its_token_its_trace_and_who_it_is() {
    let server = Server::answering(|_, _| executed()).await;
    let trace = TraceId::new();
    let client = server.client();
    client.with_trace(trace).execute(&call()).await.unwrap();
    client.execute(&call()).await.unwrap();

    let seen = server.seen();
    assert_eq!(TraceId::from_traceparent(seen[0].header("traceparent").unwrap()), Some(trace));
    let own = TraceId::from_traceparent(seen[1].header("traceparent").unwrap()).unwrap();
    assert_ne!(own, trace, "a call that continues nothing begins a trace");
    assert_eq!(seen[0].header("authorization"), Some("Bearer t0ken-c4n4ry"));
    assert!(seen[0].header("user-agent").unwrap().starts_with("orchestrator-client/"));
    assert_eq!(seen[0].json(), serde_json::to_value(call()).unwrap());
}
