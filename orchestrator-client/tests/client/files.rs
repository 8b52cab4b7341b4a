//! A token in a file that somebody else renews.

use std::fs;
use std::time::Duration;

use orchestrator_client::{Error, FileToken, TokenError, TokenSource};
use serde_json::json;

use crate::server::{Server, answer, problem};

/// Moves the client's clock past the time for which it trusts its last look.
async fn later() {
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(2)).await;
    tokio::time::resume();
}

#[tokio::test]
async fn a_file_is_read_again_when_it_was_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    let server = Server::answering(|_, _| answer(200, &json!({"version": 1, "settings": {}}))).await;
    let client = server.builder().token_file(&path).build().unwrap();
    assert!(matches!(client.product_config().await, Err(Error::Token(TokenError::Source(_)))));

    fs::write(&path, "one\n").unwrap();
    client.product_config().await.unwrap();
    // As Kubernetes does it: a new file takes the place of the old one.
    fs::write(folder.path().join("next"), "another\n").unwrap();
    fs::rename(folder.path().join("next"), &path).unwrap();
    client.product_config().await.unwrap();
    later().await;
    client.product_config().await.unwrap();
    fs::remove_file(&path).unwrap();
    later().await;
    client.product_config().await.unwrap();

    let tokens: Vec<_> = server.seen().iter().map(|seen| seen.header("authorization").unwrap().to_owned()).collect();
    assert_eq!(tokens, ["Bearer one", "Bearer one", "Bearer another", "Bearer another"]);
}

#[tokio::test]
async fn a_rejected_token_is_read_again_at_once_and_nonsense_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    fs::write(&path, "one").unwrap();
    let server = Server::answering(|seen, _| match seen.header("authorization") {
        Some("Bearer one") => problem(401, "unauthenticated"),
        _ => answer(200, &json!({"version": 1, "settings": {}})),
    })
    .await;
    let client = server.builder().token_file(&path).build().unwrap();
    client.product_config().await.unwrap_err();
    fs::write(&path, "two").unwrap();
    client.product_config().await.unwrap();

    fs::write(&path, "two words").unwrap();
    let source = FileToken::new(&path);
    assert!(matches!(source.token().await, Err(TokenError::Malformed)));
    assert!(!format!("{source:?}").contains("two"));
}
