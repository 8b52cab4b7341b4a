//! What strangers do to connections.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::routing::{get, post};
use orchestrator_http::edge::{EdgeLimits, Outermost, outermost, serve};
use orchestrator_http::extract::{Body, Raw as RawBody};
use orchestrator_http::metrics::Metrics;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::kit::Raw;

#[derive(Default)]
struct Seen {
    smuggled: AtomicUsize,
    begun: Notify,
    go_on: Notify,
    finished: Notify,
}

struct Server {
    address: SocketAddr,
    seen: Arc<Seen>,
    shutdown: CancellationToken,
    running: JoinHandle<()>,
    metrics: Arc<Metrics>,
}

async fn start(limits: EdgeLimits) -> Server {
    let (seen, metrics) = (Arc::new(Seen::default()), Arc::new(Metrics::default()));
    let (slow, smuggled) = (seen.clone(), seen.clone());
    let router = Router::new()
        .route("/ok", get(async || "ok"))
        .route("/bytes", post(async |RawBody(body): RawBody| body.len().to_string()))
        .route("/json", post(async |Body(body): Body<Value>| body.to_string()))
        .route("/panic", get(async || -> String { panic!("a secret") }))
        .route(
            "/smuggled",
            get(async move || {
                smuggled.smuggled.fetch_add(1, Ordering::SeqCst);
                "smuggled"
            }),
        )
        .route(
            "/slow",
            post(async move || {
                slow.begun.notify_one();
                slow.go_on.notified().await;
                slow.finished.notify_one();
                "done"
            }),
        );
    let router = outermost(router, Outermost { metrics: metrics.clone() });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    let running = tokio::spawn(serve(listener, router, limits, shutdown.clone()));
    Server { address, seen, shutdown, running, metrics }
}

#[tokio::test]
async fn inv_41_what_has_two_readings_is_refused_and_closed() {
    let server = start(EdgeLimits::default()).await;
    let mut healthy = Raw::connect(server.address).await;
    let next = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    let chunk = format!("{:x}\r\n{next}\r\n0\r\n\r\n", next.len());
    for request in [
        format!(
            "POST /bytes HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{next}"
        ),
        format!(
            "POST /bytes HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n{next}"
        ),
        format!("POST /bytes HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}"),
        format!("POST /bytes HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: {}\r\n\r\n{next}", next.len()),
        format!("POST /bytes HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n{next}"),
        format!("POST /bytes HTTP/1.1\r\nHost: a\r\nContent-Length: 0, {}\r\n\r\n{next}", next.len()),
        format!("POST /bytes HTTP/1.1\r\nHost: a\r\nContent-Length: +0\r\n\r\n{next}"),
        format!("POST /bytes HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n{next}"),
        format!("POST /bytes HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n{next}"),
        format!("POST /bytes HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n{chunk}"),
        format!("POST /bytes HTTP/1.1\r\nHost: a\r\nX: y\n Transfer-Encoding: chunked\r\n\r\n{next}"),
        format!("GET /ok HTTP/1.1\r\nHost: a\r\nX: y\r\n folded\r\n\r\n{next}"),
        format!("GET /ok HTTP/1.1\r\nHost: a\r\nX: y\n\r\n{next}"),
        format!("GET /ok HTTP/1.1\nHost: a\n\n{next}"),
        format!("GET /ok HTTP/1.1\r\nHost: a\r\nX: y\rZ: w\r\n\r\n{next}"),
        format!("GET /ok HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n{next}"),
        format!("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n{next}"),
    ] {
        let mut raw = Raw::connect(server.address).await;
        raw.send(&request).await;
        let all = raw.end().await;
        let text = String::from_utf8_lossy(&all);
        assert!(text.starts_with("HTTP/1.1 400"), "{request:?} got {text:?}");
        assert_eq!(text.matches("HTTP/1.1").count(), 1, "{request:?} got {text:?}");
        healthy.send("GET /ok HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(healthy.answer().await.unwrap().body, b"ok");
    }
    // Crooked only after the head: the handler that reads the body is told, and the connection ends.
    for body in ["5\nabcde\r\n0\r\n\r\n", "zz\r\n", "3\r\nabcd\r\n0\r\n\r\n", "0\r\n X: y\r\n\r\n"] {
        let mut raw = Raw::connect(server.address).await;
        let head = "POST /bytes HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        raw.send(format!("{head}{body}{next}")).await;
        let text = String::from_utf8_lossy(&raw.end().await).into_owned();
        assert!(text.is_empty() || text.starts_with("HTTP/1.1 400"), "{body:?} got {text:?}");
    }
    assert_eq!(server.seen.smuggled.load(Ordering::SeqCst), 0);
    // The positive control: sent by itself it does arrive.
    healthy.send(next).await;
    assert_eq!(healthy.answer().await.unwrap().body, b"smuggled");
}

#[tokio::test]
async fn sound_requests_follow_one_another_on_a_connection() {
    let server = start(EdgeLimits::default()).await;
    let mut raw = Raw::connect(server.address).await;
    raw.send("POST /bytes HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\na\nbPOST /bytes HTTP/1.1\r\nHost: a\r\n")
        .await;
    assert_eq!(raw.answer().await.unwrap().body, b"3");
    raw.send("Transfer-Encoding: chunked\r\n\r\n4\r\nab").await;
    raw.send("cd\r\n0\r\n\r\nGET /ok HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(raw.answer().await.unwrap().body, b"4");
    assert_eq!(raw.answer().await.unwrap().body, b"ok");
}

#[tokio::test]
async fn inv_41_who_sends_no_head_is_cut() {
    let limits = EdgeLimits { header_timeout: Duration::from_millis(100), ..EdgeLimits::default() };
    let server = start(limits).await;
    for sent in ["", "G", "GET /ok HTTP/1.1\r\nHost: a\r\n", "GET /ok HTTP/1.1\r\nHost: a\r\n\r\n"] {
        let mut raw = Raw::connect(server.address).await;
        raw.send(sent).await;
        // The last one is answered first, and cut while it idles.
        let answered = raw.end().await;
        assert_eq!(answered.starts_with(b"HTTP/1.1 200"), sent.ends_with("\r\n\r\n"), "{sent:?}");
    }
}

#[tokio::test]
async fn inv_41_a_body_that_does_not_come_is_cut() {
    let limits = EdgeLimits { body_grace: Duration::from_millis(100), ..EdgeLimits::default() };
    let server = start(limits).await;
    let mut raw = Raw::connect(server.address).await;
    raw.send("POST /bytes HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nabc").await;
    let answer = raw.answer().await.unwrap();
    assert_eq!((answer.status, answer.json()["code"].as_str()), (408, Some("request_timeout")));
    raw.end().await;
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_before_it_is_sent() {
    let server = start(EdgeLimits::default()).await;
    let mut raw = Raw::connect(server.address).await;
    raw.send("POST /bytes HTTP/1.1\r\nHost: a\r\nContent-Length: 1048577\r\n\r\n").await;
    let answer = raw.answer().await.unwrap();
    assert_eq!((answer.status, answer.json()["code"].as_str()), (413, Some("body_too_large")));

    let mut raw = Raw::connect(server.address).await;
    raw.send("POST /bytes HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
    for _ in 0..17 {
        raw.send(&chunk).await;
    }
    assert_eq!(raw.answer().await.unwrap().status, 413);
}

#[tokio::test]
async fn heads_are_bounded() {
    let server = start(EdgeLimits::default()).await;
    for head in [
        format!("GET /ok HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(33 * 1024)),
        format!("GET /ok HTTP/1.1\r\nHost: a\r\n{}", "X: y\r\n".repeat(10_000)),
        format!("GET /ok HTTP/1.1\r\nHost: a\r\nX: {}", "x".repeat(1024 * 1024)),
    ] {
        let mut raw = Raw::connect(server.address).await;
        raw.send(&head).await;
        if let Some(answer) = raw.answer().await {
            assert_eq!(answer.status, 431);
        }
        raw.end().await;
    }
    let mut raw = Raw::connect(server.address).await;
    raw.send(format!("GET /ok HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(30 * 1024))).await;
    assert_eq!(raw.answer().await.unwrap().status, 200);
}

#[tokio::test]
async fn at_the_cap_a_newcomer_is_refused_and_the_others_go_on() {
    let server = start(EdgeLimits { connections_per_address: 1, ..EdgeLimits::default() }).await;
    let mut first = Raw::connect(server.address).await;
    first.send("GET /ok HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(first.answer().await.unwrap().status, 200);
    let mut second = Raw::connect(server.address).await;
    let refused = String::from_utf8(second.end().await).unwrap();
    assert!(refused.starts_with("HTTP/1.1 503") && refused.contains("retry-after: 1"), "{refused}");
    first.send("GET /ok HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(first.answer().await.unwrap().status, 200);
}

#[tokio::test]
async fn inv_22_a_change_that_has_begun_is_finished_though_its_caller_goes_away() {
    let server = start(EdgeLimits::default()).await;
    let mut raw = Raw::connect(server.address).await;
    raw.send("POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n").await;
    server.seen.begun.notified().await;
    drop(raw);
    server.seen.go_on.notify_one();
    server.seen.finished.notified().await;
}

#[tokio::test]
async fn inv_12_a_drain_answers_what_is_running_and_takes_nothing_new() {
    let server = start(EdgeLimits::default()).await;
    let mut running = Raw::connect(server.address).await;
    running.send("POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n").await;
    server.seen.begun.notified().await;
    let mut idle = Raw::connect(server.address).await;
    idle.send("GET /ok HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(idle.answer().await.unwrap().status, 200);

    server.shutdown.cancel();
    assert!(idle.end().await.is_empty());
    server.seen.go_on.notify_one();
    assert_eq!(running.answer().await.unwrap().body, b"done");
    server.running.await.unwrap();
    assert!(tokio::net::TcpStream::connect(server.address).await.is_err());
}

#[tokio::test]
async fn what_does_not_end_within_the_drain_is_cut() {
    let server = start(EdgeLimits { drain: Duration::from_millis(50), ..EdgeLimits::default() }).await;
    let mut running = Raw::connect(server.address).await;
    running.send("POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n").await;
    server.seen.begun.notified().await;
    server.shutdown.cancel();
    server.running.await.unwrap();
    assert!(running.end().await.is_empty());
}

#[tokio::test]
async fn inv_45_a_panic_is_an_answer_that_says_nothing() {
    let server = start(EdgeLimits::default()).await;
    let mut raw = Raw::connect(server.address).await;
    raw.send("GET /panic HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let answer = raw.answer().await.unwrap();
    assert_eq!((answer.status, answer.json()["code"].as_str()), (500, Some("internal")));
    assert!(!String::from_utf8_lossy(&answer.body).contains("secret"));
    raw.send("GET /ok HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(raw.answer().await.unwrap().status, 200);
}

#[tokio::test]
async fn every_answer_carries_its_trace_and_is_a_problem_document_if_it_is_none_of_success() {
    let server = start(EdgeLimits::default()).await;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let parent = format!("00-{trace}-00f067aa0ba902b7-01");
    let mut raw = Raw::connect(server.address).await;
    for (request, status, code) in [
        ("GET /nowhere HTTP/1.1\r\n", 404, "not_found"),
        ("DELETE /ok HTTP/1.1\r\n", 405, "method_not_allowed"),
        ("POST /json HTTP/1.1\r\nContent-Length: 2\r\n", 415, "unsupported_media_type"),
        ("POST /json HTTP/1.1\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n", 415, "unsupported_media_type"),
        (
            "POST /json HTTP/1.1\r\nContent-Type: application/json; charset=latin1\r\nContent-Length: 2\r\n",
            415,
            "unsupported_media_type",
        ),
        (
            "POST /json HTTP/1.1\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n",
            415,
            "unsupported_media_type",
        ),
        (
            "POST /json HTTP/1.1\r\nContent-Type: application/json\r\nContent-Type: application/json\r\nContent-Length: 2\r\n",
            400,
            "invalid_request",
        ),
        ("POST /json HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 2\r\n", 400, "invalid_request"),
    ] {
        let body = if request.contains("Content-Length") { "{:" } else { "" };
        raw.send(format!("{request}Host: a\r\ntraceparent: {parent}\r\n\r\n{body}")).await;
        let answer = raw.answer().await.unwrap();
        let problem = answer.json();
        assert_eq!((answer.status, problem["code"].as_str()), (status, Some(code)), "{request}");
        assert_eq!(problem["status"], status);
        assert_eq!((problem["trace_id"].as_str(), answer.header("trace-id")), (Some(trace), Some(trace)));
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
    // A crooked or doubled trace is none: a new one is made.
    for wrong in ["traceparent: x\r\n".to_owned(), format!("traceparent: {parent}\r\n").repeat(2)] {
        raw.send(format!("GET /ok HTTP/1.1\r\nHost: a\r\n{wrong}\r\n")).await;
        let answer = raw.answer().await.unwrap();
        assert_eq!(answer.status, 200);
        assert!(answer.header("trace-id").is_some_and(|id| id.len() == 32 && id != trace));
    }
    // Paths that are no route share one label: nobody can grow the metrics.
    let (_, metrics) = server.metrics.exposition(None, Vec::new());
    assert!(metrics.contains("route=\"unmatched\"") && !metrics.contains("nowhere"), "{metrics}");
}
