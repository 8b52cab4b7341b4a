//! Tokens: fetched once, shared, renewed in time, never shown.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::response::Response;
use futures_util::FutureExt;
use futures_util::future::join_all;
use orchestrator_client::{Client, ClientCredentials, Error, TokenError};
use orchestrator_types::ProductConfig;
use serde_json::json;

use crate::server::{Server, answer, problem};

const ENDPOINT: &str = "/oauth/token";

fn token(number: usize, expires_in: u64) -> Response {
    let body = json!({"access_token": format!("token-{number}"), "token_type": "Bearer", "expires_in": expires_in, "scope": "orchestrator.execute"});
    answer(200, &body)
}

fn config() -> Response {
    answer(200, &json!({"version": 1, "settings": {}}))
}

fn client(server: &Server) -> Client {
    server.builder().client_credentials("svc:billing", "s3cret c4n4ry&=").build().unwrap()
}

/// Moves the client's clock, while nothing is under way.
async fn pass(seconds: u64) {
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(seconds)).await;
    tokio::time::resume();
}

async fn ask(client: &Client) -> Result<ProductConfig, Error> {
    client.product_config().await
}

#[tokio::test]
async fn many_callers_share_one_fetch() {
    let server =
        Server::answering(|seen, number| if seen.path() == ENDPOINT { token(number, 3_600) } else { config() }).await;
    let client = client(&server);
    for outcome in join_all((0..16).map(|_| ask(&client))).await {
        outcome.unwrap();
    }
    assert_eq!(server.count(ENDPOINT), 1);
    let seen = server.seen();
    assert_eq!(
        &seen[0].body[..],
        b"client_id=svc%3Abilling&client_secret=s3cret+c4n4ry%26%3D&grant_type=client_credentials"
    );
    assert_eq!(seen[0].header("content-type"), Some("application/x-www-form-urlencoded"));
    assert!(seen[1..].iter().all(|seen| seen.header("authorization") == Some("Bearer token-0")));
}

#[tokio::test]
async fn many_callers_share_one_refusal() {
    let server = Server::answering(|_, _| problem(401, "unauthenticated")).await;
    let client = client(&server);
    for outcome in join_all((0..16).map(|_| ask(&client))).await {
        let refused = outcome.unwrap_err();
        assert!(matches!(refused, Error::Token(TokenError::Endpoint(_))), "{refused:?}");
        assert_eq!(refused.status().unwrap(), 401);
    }
    assert_eq!(server.seen().len(), 1);
    ask(&client).await.unwrap_err();
    assert_eq!(server.seen().len(), 2, "a later call asks anew");
}

#[tokio::test]
async fn a_token_is_renewed_ahead_of_its_end_by_one_caller() {
    let server =
        Server::answering(|seen, number| if seen.path() == ENDPOINT { token(number, 3_600) } else { config() }).await;
    let client = client(&server);
    ask(&client).await.unwrap();
    pass(3_500).await;
    ask(&client).await.unwrap();
    assert_eq!(server.count(ENDPOINT), 1);
    pass(60).await;
    for outcome in join_all((0..16).map(|_| ask(&client))).await {
        outcome.unwrap();
    }
    assert_eq!(server.count(ENDPOINT), 2);
}

#[tokio::test]
async fn a_renewal_that_fails_leaves_the_old_token_while_it_lasts() {
    let server = Server::answering(|seen, number| match (seen.path(), number) {
        (ENDPOINT, 0) => token(0, 3_600),
        (ENDPOINT, _) => problem(500, "internal"),
        _ => config(),
    })
    .await;
    let client = client(&server);
    ask(&client).await.unwrap();
    pass(3_560).await;
    for _ in 0..3 {
        ask(&client).await.unwrap();
    }
    assert_eq!(server.count(ENDPOINT), 2, "a failed renewal is not tried again at once");
    pass(10).await;
    ask(&client).await.unwrap();
    assert_eq!(server.count(ENDPOINT), 3);
    pass(60).await;
    assert_eq!(ask(&client).await.unwrap_err().status().unwrap(), 500);
}

#[tokio::test]
async fn a_token_that_the_server_rejects_is_not_handed_out_again() {
    let issued = AtomicUsize::new(0);
    let server = Server::answering(move |seen, _| match seen.header("authorization") {
        None => token(issued.fetch_add(1, Ordering::SeqCst), 3_600),
        Some("Bearer token-0") => problem(401, "unauthenticated"),
        Some(_) => config(),
    })
    .await;
    let client = client(&server);
    assert_eq!(ask(&client).await.unwrap_err().status().unwrap(), 401);
    ask(&client).await.unwrap();
    assert_eq!(server.count(ENDPOINT), 2);
}

#[tokio::test]
async fn a_caller_that_gives_up_does_not_hold_the_others_up() {
    let server =
        Server::answering(|seen, number| if seen.path() == ENDPOINT { token(number, 3_600) } else { config() }).await;
    let client = client(&server);
    {
        // Polled once: it holds the renewal and has begun to connect.
        let mut first = Box::pin(ask(&client));
        assert!((&mut first).now_or_never().is_none());
    }
    ask(&client).await.unwrap();
}

#[tokio::test]
async fn the_token_endpoint_is_asked_again_while_it_is_busy_and_its_oddities_are_told_without_secrets() {
    let server = Server::answering(|_, number| match number {
        0 => problem(503, "unavailable"),
        _ => answer(200, &json!({"access_token": "c4n4ry", "expires_in": "c4n4ry"})),
    })
    .await;
    let problem = ask(&client(&server)).await.unwrap_err();
    assert_eq!(server.seen().len(), 2);
    assert!(!format!("{problem:?}").contains("c4n4ry"), "{problem:?}");
}

#[tokio::test]
async fn a_scope_can_be_asked_for() {
    let server =
        Server::answering(|seen, number| if seen.path() == ENDPOINT { token(number, 60) } else { config() }).await;
    let source = ClientCredentials::new(&server.url, "id", "secret").unwrap().with_scope("orchestrator.jobs.read");
    ask(&server.builder().token_source(source).build().unwrap()).await.unwrap();
    assert!(String::from_utf8_lossy(&server.seen()[0].body).ends_with("&scope=orchestrator.jobs.read"));
}

#[tokio::test]
async fn without_a_source_nothing_is_sent() {
    let server = Server::answering(|_, _| config()).await;
    let problem = ask(&server.builder().build().unwrap()).await.unwrap_err();
    assert!(matches!(problem, Error::Token(TokenError::NoSource)));
    assert!(server.seen().is_empty());
}

#[test]
fn nothing_that_holds_a_secret_prints_it() {
    let builder = Client::builder("http://user:c4n4ry@host").client_credentials("id", "c4n4ry");
    let mut printed = format!("{builder:?}");
    printed += &format!("{:?}", builder.build().unwrap_err());
    printed += &format!("{:?}", Client::new("http://host", "c4n4ry").unwrap());
    printed += &format!("{:?}", ClientCredentials::new("http://host", "id", "c4n4ry").unwrap());
    assert!(!printed.contains("c4n4ry"), "{printed}");
}
