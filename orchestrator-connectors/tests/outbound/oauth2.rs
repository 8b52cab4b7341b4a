//! Access tokens by client credentials: kept, refreshed, asked for one at a time, and never shown.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use orchestrator_connectors::EgressClient;
use orchestrator_core::connector::{CallErrorKind, Connector, SecretSlots, Sent};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use crate::kit::{build, build_as, context, filled};
use crate::upstream::{Canary, Scripted, Seen, Upstream, allowing, answer};

const JSON: &str = "Content-Type: application/json\r\n";

fn get() -> Value {
    json!({"method": "GET", "path": "/things"})
}

/// Gives out `token-1`, `token-2`, … each good for so long.
async fn issuer(expires_in: Value) -> Upstream {
    let given = Arc::new(AtomicUsize::new(0));
    Upstream::serving(move |_, mut socket| {
        let number = given.fetch_add(1, Ordering::SeqCst) + 1;
        let body = json!({"access_token": format!("token-{number}"), "token_type": "Bearer", "expires_in": expires_in});
        let told = answer(200, JSON, &body.to_string());
        async move { socket.write_all(told.as_bytes()).await.is_ok().then_some(socket) }
    })
    .await
}

/// Takes the tokens that it is told to, refuses all others, and echoes what it was sent.
async fn api(good: impl Fn(&str) -> bool + Send + Sync + 'static) -> Upstream {
    Upstream::serving(move |seen: Seen, mut socket| {
        let token = seen.header("authorization").unwrap_or_default().to_owned();
        let status = if good(token.trim_start_matches("Bearer ")) { 200 } else { 401 };
        let told = answer(status, JSON, &json!({"you_sent": token}).to_string());
        async move { socket.write_all(told.as_bytes()).await.is_ok().then_some(socket) }
    })
    .await
}

fn settings(issuer: &Upstream, api: &Upstream) -> Value {
    json!({
        "base_url": api.url(""),
        "oauth2": {"token_url": issuer.url("/oauth/token"), "client_id": "shop:1", "scope": "read write"},
    })
}

fn connector(settings: &Value) -> Arc<dyn Connector> {
    build(settings, filled(&[("client_secret", "s3cr3t/canary+1")])).unwrap()
}

#[tokio::test]
async fn a_token_is_got_by_the_standard_and_used_again() {
    let (issuer, api) = (issuer(json!(3600)).await, api(|_| true).await);
    let connector = connector(&settings(&issuer, &api));
    for _ in 0..3 {
        connector.call(&context(), "request", &get()).await.unwrap();
        assert_eq!(api.last().header("authorization"), Some("Bearer token-1"));
    }
    assert_eq!(issuer.requests().len(), 1);
    let asked = issuer.last();
    assert_eq!((asked.method.as_str(), asked.target.as_str()), ("POST", "/oauth/token"));
    assert_eq!(String::from_utf8_lossy(&asked.body), "grant_type=client_credentials&scope=read+write");
    // `shop%3A1:s3cr3t%2Fcanary%2B1`, as RFC 6749 has it.
    assert_eq!(asked.header("authorization"), Some("Basic c2hvcCUzQTE6czNjcjN0JTJGY2FuYXJ5JTJCMQ=="));
}

#[tokio::test]
async fn the_client_may_be_named_in_the_form() {
    let (issuer, api) = (issuer(json!("60")).await, api(|_| true).await);
    let mut settings = settings(&issuer, &api);
    settings["oauth2"] = json!({
        "token_url": issuer.url("/t"), "client_id": "shop", "client_auth": "post", "audience": "https://api.example",
    });
    connector(&settings).call(&context(), "request", &get()).await.unwrap();
    let asked = issuer.last();
    let body = String::from_utf8_lossy(&asked.body).into_owned();
    let expected = "grant_type=client_credentials&audience=https%3A%2F%2Fapi.example&client_id=shop&client_secret=s3cr3t%2Fcanary%2B1";
    assert_eq!((body.as_str(), asked.header("authorization")), (expected, None));
}

#[tokio::test]
async fn many_calls_at_once_ask_for_one_token() {
    let (issuer, api) = (issuer(json!(3600)).await, api(|_| true).await);
    let connector = connector(&settings(&issuer, &api));
    let calls = (0..40).map(|_| {
        let connector = Arc::clone(&connector);
        async move { connector.call(&context(), "request", &get()).await }
    });
    assert!(join_all(calls).await.iter().all(Result::is_ok));
    assert_eq!(issuer.requests().len(), 1);
    assert!(api.requests().iter().all(|seen| seen.header("authorization") == Some("Bearer token-1")));
}

#[tokio::test]
async fn many_calls_at_once_fail_by_one_question() {
    let issuer = Upstream::answering(answer(503, "Retry-After: 9\r\n", "")).await;
    let api = api(|_| true).await;
    let connector = connector(&settings(&issuer, &api));
    let calls = (0..20).map(|_| {
        let connector = Arc::clone(&connector);
        async move { connector.call(&context(), "request", &get()).await.unwrap_err() }
    });
    for failed in join_all(calls).await {
        assert_eq!((failed.kind, failed.sent), (CallErrorKind::Failed, Sent::No));
        assert_eq!(failed.retry_after, Some(Duration::from_secs(9)));
    }
    assert_eq!(issuer.requests().len(), 1);
    assert_eq!(api.connections(), 0);
}

#[tokio::test]
async fn a_token_is_refreshed_ahead_of_its_end() {
    let (issuer, api) = (issuer(json!(100)).await, api(|_| true).await);
    let connector = connector(&settings(&issuer, &api));
    for (wait, token) in [(0, "Bearer token-1"), (79, "Bearer token-1"), (2, "Bearer token-2"), (200, "Bearer token-3")]
    {
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(wait)).await;
        tokio::time::resume();
        connector.call(&context(), "request", &get()).await.unwrap();
        assert_eq!(api.last().header("authorization"), Some(token), "{wait} s later");
    }
}

#[tokio::test]
async fn while_a_refresh_fails_the_old_token_serves_to_its_end() {
    let asked = Arc::new(AtomicUsize::new(0));
    let issuer = Upstream::serving({
        let asked = Arc::clone(&asked);
        move |_, mut socket| {
            let first = asked.fetch_add(1, Ordering::SeqCst) == 0;
            let body = r#"{"access_token":"token-1","token_type":"bearer","expires_in":100}"#;
            let told = if first { answer(200, JSON, body) } else { answer(500, "", "") };
            async move { socket.write_all(told.as_bytes()).await.is_ok().then_some(socket) }
        }
    })
    .await;
    let api = api(|_| true).await;
    let connector = connector(&settings(&issuer, &api));
    let later = async |seconds| {
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(seconds)).await;
        tokio::time::resume();
        connector.call(&context(), "request", &get()).await
    };
    assert!(later(0).await.is_ok());
    assert!(later(85).await.is_ok() && later(1).await.is_ok());
    assert_eq!(asked.load(Ordering::SeqCst), 2, "after one failure it is left alone for a while");
    let ended = later(15).await.unwrap_err();
    assert_eq!((ended.kind, ended.sent), (CallErrorKind::Failed, Sent::No));
}

#[tokio::test]
async fn a_token_that_is_refused_is_refreshed_once() {
    let (first, all) = (issuer(json!(3600)).await, issuer(json!(3600)).await);
    let (fussy, closed) = (api(|token| token == "token-2").await, api(|_| false).await);
    // Not idempotent: what was refused for its token was not done.
    let post = json!({"method": "POST", "path": "/things", "json": {}});
    let recovered = connector(&settings(&first, &fussy));
    recovered.call(&context(), "request", &post).await.unwrap();
    recovered.call(&context(), "request", &post).await.unwrap();
    assert_eq!((first.requests().len(), fussy.requests().len()), (2, 3));
    let refused = connector(&settings(&all, &closed)).call(&context(), "request", &post).await.unwrap_err();
    assert_eq!((refused.kind, refused.upstream.map(|view| view.status)), (CallErrorKind::Rejected, Some(401)));
    assert_eq!((all.requests().len(), closed.requests().len()), (2, 2));
}

#[tokio::test]
async fn inv_23_no_token_and_no_client_secret_is_shown() {
    let (issuer, api) = (issuer(json!(3600)).await, api(|token| token == "token-2").await);
    let connector = connector(&settings(&issuer, &api));
    let output = connector.call(&context(), "request", &get()).await.unwrap();
    assert_eq!(output["body"]["you_sent"], "Bearer [redacted]");
    let refusing = Upstream::serving(|seen: Seen, mut socket| {
        let told = answer(400, JSON, &json!({"you_sent": seen.header("authorization")}).to_string());
        async move { socket.write_all(told.as_bytes()).await.is_ok().then_some(socket) }
    })
    .await;
    let failing = self::connector(&settings(&issuer, &refusing));
    let failed = failing.call(&context(), "request", &get()).await.unwrap_err();
    assert_eq!(failed.upstream.as_ref().unwrap().body["you_sent"], "Bearer [redacted]");
    assert!(!format!("{failed:?}").contains("s3cr3t"), "{failed:?}");
    assert!(refusing.last().header("authorization").is_some_and(|sent| sent.starts_with("Bearer token-")));
}

#[tokio::test]
async fn a_token_endpoint_that_refuses_is_told_by_its_code_alone() {
    let api = api(|_| true).await;
    let cases = [
        (
            answer(401, JSON, r#"{"error":"invalid_client","error_description":"canary"}"#),
            CallErrorKind::Rejected,
            "invalid_client",
        ),
        (answer(400, JSON, r#"{"error":"Canary s3cr3t"}"#), CallErrorKind::Rejected, "400"),
        (answer(200, JSON, r#"{"token_type":"bearer"}"#), CallErrorKind::Failed, "no bearer token"),
        (answer(200, JSON, r#"{"access_token":"t","token_type":"mac"}"#), CallErrorKind::Failed, "no bearer token"),
        (answer(200, "", "<html>canary"), CallErrorKind::Failed, "no bearer token"),
        (answer(302, "Location: /elsewhere\r\n", ""), CallErrorKind::Rejected, "302"),
        (answer(200, "", &"x".repeat(100_000)), CallErrorKind::Rejected, "larger"),
    ];
    for (told, kind, words) in cases {
        let issuer = Upstream::answering(told).await;
        let failed = connector(&settings(&issuer, &api)).call(&context(), "request", &get()).await.unwrap_err();
        assert_eq!((failed.kind, failed.sent), (kind, Sent::No), "{failed:?}");
        assert!(failed.detail.contains(words) && !failed.detail.to_lowercase().contains("canary"), "{failed:?}");
        assert_eq!(issuer.requests().len(), 1, "no redirect is followed");
    }
    assert_eq!(api.connections(), 0);
}

#[tokio::test]
async fn inv_26_a_token_url_inside_is_not_connected_to() {
    let canary = Canary::at("127.0.0.2:0").await;
    let api = api(|_| true).await;
    let lookup = Scripted::new(|_, _| vec!["127.0.0.2"]);
    let client = EgressClient::with_lookup(allowing(&["127.0.0.1/32"]), lookup).unwrap();
    for host in ["127.0.0.2", "issuer.example", "[::ffff:127.0.0.2]", "2130706434"] {
        let token_url = format!("http://{host}:{}/token", canary.address().port());
        let settings = json!({"base_url": api.url(""), "oauth2": {"token_url": token_url, "client_id": "c"}});
        let connector = build_as("http", client.clone(), &settings, filled(&[("client_secret", "x")])).unwrap();
        let refused = connector.call(&context(), "request", &get()).await.unwrap_err();
        assert_eq!((refused.kind, refused.sent), (CallErrorKind::DestinationForbidden, Sent::No), "{host}");
    }
    assert_eq!(api.connections(), 0);
    canary.saw_nobody().await;
}

#[test]
fn what_does_not_go_together_is_refused() {
    let oauth2 = json!({"token_url": "https://a.example/t", "client_id": "c"});
    let with = |oauth2: &Value| json!({"base_url": "https://a.example", "oauth2": oauth2});
    assert!(build(&with(&oauth2), filled(&[("bearer", "b")])).is_err(), "two ways to authenticate");
    let bare = json!({"base_url": "https://a.example"});
    assert!(build(&bare, filled(&[("client_secret", "s")])).is_err(), "a secret for nothing");
    for bad in [
        json!({"token_url": "ftp://a.example", "client_id": "c"}),
        json!({"token_url": "https://u:p@a.example/t", "client_id": "c"}),
        json!({"token_url": "https://a.example/t"}),
        json!({"token_url": "https://a.example/t", "client_id": "c", "client_secret": "in clear"}),
        json!({"token_url": "https://a.example/t", "client_id": "c", "client_auth": "other"}),
    ] {
        let problems = build(&with(&bad), SecretSlots::default()).err().unwrap();
        assert!(problems.iter().all(|problem| problem.pointer.starts_with("/oauth2")), "{problems:?}");
    }
}
