//! The way to a vault, where it is counted who asks how often: a vault that answers as it is told. A real one is asked in
//! `tests/vault`.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures_util::future::join_all;
use orchestrator_connectors::vault::VaultError;
use orchestrator_connectors::{EgressClient, Vault, VaultAuth, VaultOptions};
use orchestrator_core::secrets::{SecretError, VaultPrefix, VaultReader};
use orchestrator_types::WorkspaceId;
use tokio::io::AsyncWriteExt;

use crate::upstream::{Upstream, allowing, answer, client, soon};

const VALUE: &str = r#"{"data": {"data": {"key": "value"}, "metadata": {"version": 1, "created_time": "odd"}}}"#;

/// Takes logins by AppRole, and gives tokens `t1`, `t2`, …, of which only the newest is good.
struct Double {
    upstream: Upstream,
    logins: Arc<AtomicUsize>,
    away: Arc<AtomicBool>,
    revoked: Arc<AtomicBool>,
}

impl Double {
    async fn start() -> Self {
        let (logins, away, revoked) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)), Arc::default());
        let (counted, gone, ended): (_, _, Arc<AtomicBool>) = (logins.clone(), away.clone(), Arc::clone(&revoked));
        let upstream = Upstream::serving(move |seen, mut socket| {
            let (counted, gone, ended) = (counted.clone(), gone.clone(), ended.clone());
            async move {
                if gone.load(Ordering::SeqCst) {
                    return None;
                }
                let good = format!("t{}", counted.load(Ordering::SeqCst));
                let known = seen.header("x-vault-token") == Some(&good) && !ended.load(Ordering::SeqCst);
                let told = match seen.target.as_str() {
                    "/v1/auth/approle/login" => {
                        ended.store(false, Ordering::SeqCst);
                        let token = counted.fetch_add(1, Ordering::SeqCst) + 1;
                        let auth =
                            format!(r#"{{"client_token": "t{token}", "lease_duration": 3600, "renewable": true}}"#);
                        answer(200, "", &format!(r#"{{"auth": {auth}}}"#))
                    }
                    _ if !known => answer(403, "", r#"{"errors": ["permission denied"]}"#),
                    "/v1/auth/token/lookup-self" => answer(200, "", r#"{"data": {"ttl": 3600, "renewable": true}}"#),
                    _ => answer(200, "", VALUE),
                };
                socket.write_all(told.as_bytes()).await.is_ok().then_some(socket)
            }
        })
        .await;
        Self { upstream, logins, away, revoked }
    }

    fn vault(&self, client: EgressClient, folder: &tempfile::TempDir) -> Vault {
        let url = self.upstream.url("/").parse().unwrap();
        Vault::new(client, VaultOptions { url, namespace: None, auth: role(folder) })
    }
}

fn role(folder: &tempfile::TempDir) -> VaultAuth {
    let path: PathBuf = folder.path().join("secret-id");
    std::fs::write(&path, "c4n4ry-secret-id").unwrap();
    VaultAuth::AppRole { mount: "approle".to_owned(), role_id: "role".to_owned(), secret_id_file: Some(path) }
}

async fn read(vault: &Vault) -> Result<String, SecretError> {
    let workspace: WorkspaceId = "buildos-dev".parse().unwrap();
    let path = VaultPrefix::parse("kv/data/{product}").unwrap().path(&workspace, "kv/data/buildos").unwrap();
    vault.read(&workspace, &path, "key", None).await.map(|value| value.secret.expose().to_owned())
}

#[tokio::test]
async fn of_a_hundred_readers_one_logs_in_also_when_the_session_was_revoked() {
    let (double, folder) = (Double::start().await, tempfile::tempdir().unwrap());
    let vault = double.vault(client(), &folder);
    for round in 1..=3 {
        double.revoked.store(round > 1, Ordering::SeqCst);
        for value in soon(join_all((0..100).map(|_| read(&vault)))).await {
            assert_eq!(value.unwrap(), "value");
        }
        assert_eq!(double.logins.load(Ordering::SeqCst), round);
    }
    let sent = double.upstream.requests();
    assert!(sent.iter().all(|seen| seen.header("x-vault-request") == Some("true")));
    assert!(sent.iter().any(|seen| String::from_utf8_lossy(&seen.body).contains("c4n4ry-secret-id")));
    assert!(
        !sent.iter().any(|seen| seen.target.contains("c4n4ry") || format!("{:?}", seen.headers).contains("c4n4ry"))
    );
}

#[tokio::test]
async fn inv_34_a_vault_that_is_away_is_asked_seldom_and_everybody_is_told_at_once() {
    let (double, folder) = (Double::start().await, tempfile::tempdir().unwrap());
    let vault = double.vault(client(), &folder);
    assert_eq!(read(&vault).await.unwrap(), "value");
    double.away.store(true, Ordering::SeqCst);
    let before = double.upstream.connections();
    assert_eq!(read(&vault).await.unwrap_err(), SecretError::Unreachable);
    for _ in 0..1_000 {
        assert_eq!(read(&vault).await.unwrap_err(), SecretError::Unreachable);
    }
    assert!(double.upstream.connections() - before < 10, "a thousand reads are no storm");
    double.away.store(false, Ordering::SeqCst);
    soon(async {
        while read(&vault).await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn inv_26_a_vault_where_calls_may_not_lead_is_not_connected_to() {
    let (double, folder) = (Double::start().await, tempfile::tempdir().unwrap());
    let vault = double.vault(EgressClient::new(allowing(&[])).unwrap(), &folder);
    assert_eq!(vault.check().await.unwrap_err(), VaultError::Forbidden);
    assert_eq!(read(&vault).await.unwrap_err(), SecretError::Unreachable);
    assert_eq!(double.upstream.connections(), 0);
}

#[tokio::test]
async fn inv_29_what_a_vault_must_not_answer_is_unreachable() {
    for odd in [
        answer(200, "", ""),
        answer(200, "", "[]"),
        answer(200, "", r#"{"data": {"key": "value"}}"#),
        answer(200, "", r#"{"data": {"data": {"key": {"a": 1}}, "metadata": {"version": 1}}}"#),
        answer(200, "", r#"{"data": {"data": {"key": "v"}, "metadata": {"version": -1}}}"#),
        answer(302, "Location: http://127.0.0.1:1/\r\n", ""),
        answer(500, "", "{}"),
        answer(200, "", &"[".repeat(2_000_000)),
    ] {
        let upstream = Upstream::answering(odd).await;
        let folder = tempfile::tempdir().unwrap();
        let token = folder.path().join("token");
        std::fs::write(&token, "token").unwrap();
        let (url, auth) = (upstream.url("/").parse().unwrap(), VaultAuth::TokenFile(token));
        let vault = Vault::new(client(), VaultOptions { url, namespace: None, auth });
        assert_eq!(soon(read(&vault)).await.unwrap_err(), SecretError::Unreachable);
    }
}
