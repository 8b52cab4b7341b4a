//! Callbacks over HTTP.

use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use orchestrator_connectors::HttpCallbacks;
use orchestrator_core::callback::{CallbackRequest, CallbackTransport};
use orchestrator_core::connector::{CallErrorKind, Sent};

use crate::upstream::{Canary, Upstream, allowing, answer, client, soon};

fn request(url: String) -> CallbackRequest {
    let mut headers = HeaderMap::new();
    headers.insert("webhook-id", "job_1".parse().unwrap());
    headers.insert("content-type", "application/json".parse().unwrap());
    CallbackRequest { url, headers, body: Bytes::from_static(b"{\"type\":\"job.succeeded\"}") }
}

#[tokio::test]
async fn a_delivery_posts_just_these_bytes_and_headers() {
    let upstream = Upstream::answering(answer(202, "", "taken")).await;
    let told = HttpCallbacks::new(client()).deliver(request(upstream.url("/hook?a=b"))).await.unwrap();
    assert_eq!((told.status, told.retry_after, &told.body[..]), (202, None, &b"taken"[..]));
    let seen = upstream.last();
    assert_eq!((seen.method.as_str(), seen.target.as_str()), ("POST", "/hook?a=b"));
    assert_eq!(seen.body, b"{\"type\":\"job.succeeded\"}");
    assert_eq!((seen.header("webhook-id"), seen.header("content-type")), (Some("job_1"), Some("application/json")));
    assert!(seen.header("user-agent").is_some_and(|agent| agent.starts_with("Orchestrator/")));
}

#[tokio::test]
async fn any_status_is_an_answer_and_its_body_is_cut() {
    for status in [200, 302, 400, 410, 429, 503] {
        let upstream = Upstream::answering(answer(status, "Retry-After: 9\r\n", &"x".repeat(100_000))).await;
        let told = HttpCallbacks::new(client()).deliver(request(upstream.url("/"))).await.unwrap();
        assert_eq!((told.status, told.retry_after, told.body.len()), (status, Some(Duration::from_secs(9)), 16 << 10));
    }
}

#[tokio::test]
async fn inv_26_a_callback_reaches_no_inner_address_and_no_own_listener() {
    let canary = Canary::at("127.0.0.1:0").await;
    let url = format!("http://{}/", canary.address());
    let own = allowing(&["127.0.0.0/8"]).refusing_own(vec![canary.address()]);
    for policy in [allowing(&[]), own] {
        let callbacks = HttpCallbacks::new(orchestrator_connectors::EgressClient::new(policy).unwrap());
        let refused = soon(callbacks.deliver(request(url.clone()))).await.unwrap_err();
        assert_eq!((refused.kind, refused.sent), (CallErrorKind::DestinationForbidden, Sent::No));
    }
    canary.saw_nobody().await;
}

#[tokio::test]
async fn a_url_that_cannot_be_called_is_refused() {
    for url in ["", "not a url", "/hook", "ftp://product.example/", "https://user:pass@product.example/", "https://"] {
        let refused = HttpCallbacks::new(client()).deliver(request(url.to_owned())).await.unwrap_err();
        assert_eq!((refused.kind, refused.sent), (CallErrorKind::Rejected, Sent::No), "{url}");
        assert!(!refused.detail.contains("pass@"), "{refused}");
    }
}
