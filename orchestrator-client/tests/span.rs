//! The span of a call.
//!
//! A program of its own with one test: whether a span is wanted is asked once in a process, of the subscriber of the thread that
//! first comes by. Beside tests that call without a subscriber, one that has its own may see nothing.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use orchestrator_client::{Body, BoxError, Client, Retry};
use orchestrator_types::TraceId;
use serde_json::json;
use tower::layer::layer_fn;
use tower::service_fn;
use tracing_subscriber::fmt::format::FmtSpan;

const TOKEN: &str = "t0ken-c4n4ry";

/// What a subscriber writes.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A client whose server is away at first, and then does not find what is asked for.
fn client() -> Client {
    let tries = Arc::new(Mutex::new(0));
    let layer = layer_fn(move |_| {
        let tries = Arc::clone(&tries);
        service_fn(move |_: http::Request<Body>| {
            let (status, code) = match *tries.lock().unwrap() {
                0 => (503, "unavailable"),
                _ => (404, "not_found"),
            };
            *tries.lock().unwrap() += 1;
            let body = json!({
                "type": "about:blank", "title": "A title", "status": status, "detail": "what to change", "code": code,
            });
            let answer = http::Response::builder().status(status).header("content-type", "application/problem+json");
            let answer = answer.body(Body::from(Bytes::from(body.to_string()))).unwrap();
            async { Ok::<_, BoxError>(answer) }
        })
    });
    let retry = Retry { max_tries: 3, initial: Duration::ZERO, cap: Duration::from_millis(1) };
    Client::builder("http://nowhere.invalid").token(TOKEN).retry(retry).layer(layer).build().unwrap()
}

#[tokio::test]
async fn each_call_has_a_span_that_names_its_trace_and_how_it_ended() {
    let written = Written::default();
    let writer = written.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_span_events(FmtSpan::CLOSE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let _here = tracing::subscriber::set_default(subscriber);
    let trace = TraceId::from_bits(0xabc);
    let problem = client().with_trace(trace).product_config().await.unwrap_err();
    assert_eq!(problem.problem().unwrap().code, "not_found");

    let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
    let line = text.lines().find(|line| line.contains("orchestrator_call")).unwrap();
    for told in
        ["operation=\"get_product_config\"", &format!("trace_id={trace}"), "status=404", "code=not_found", "tries=2"]
    {
        assert!(line.contains(told), "{told} in {line}");
    }
    assert!(!text.contains(TOKEN), "{text}");
}
