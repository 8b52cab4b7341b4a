//! The way to a vault, against a real OpenBao.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod bao;

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use orchestrator_connectors::vault::VaultError;
use orchestrator_connectors::{Vault, VaultAuth};
use orchestrator_core::Actor;
use orchestrator_core::Orchestrator;
use orchestrator_core::clock::SystemClock;
use orchestrator_core::memory::MemoryStore;
use orchestrator_core::secrets::{SecretError, VaultPrefix, VaultReader, VaultValue};
use orchestrator_core::types::{Bundle, SecretHealth};
use orchestrator_types::WorkspaceId;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use bao::{Bao, PATIENCE};

fn workspace() -> WorkspaceId {
    "buildos-dev".parse().unwrap()
}

async fn read(vault: &Vault, path: &str, field: &str, version: Option<u64>) -> Result<VaultValue, SecretError> {
    let path = VaultPrefix::parse("kv/data/{product}").unwrap().path(&workspace(), path).unwrap();
    vault.read(&workspace(), &path, field, version).await
}

async fn text(vault: &Vault, path: &str) -> Result<String, SecretError> {
    read(vault, path, "key", None).await.map(|value| value.secret.expose().to_owned())
}

fn by_role(bao: &Bao, name: &str, (role_id, secret): &(String, String)) -> VaultAuth {
    let secret_id_file = Some(bao.file(name, secret));
    VaultAuth::AppRole { mount: "approle".to_owned(), role_id: role_id.clone(), secret_id_file }
}

#[tokio::test]
async fn a_field_is_read_with_its_version_and_what_is_not_there_is_missing() {
    let bao = Bao::shared().await;
    let vault = bao.vault(VaultAuth::TokenFile(bao.root_token_file()), None);
    vault.check().await.unwrap();
    bao.put("kv/data/buildos/fields", json!({"key": "one", "ключ": "wörd", "number": 5, "empty": ""})).await;
    let first = read(&vault, "kv/data/buildos/fields", "key", None).await.unwrap();
    assert_eq!((first.secret.expose(), first.version), ("one", 1));
    let age = SystemClock::shared().now().since(first.created_at.unwrap());
    assert!(age < PATIENCE, "{age:?}");
    assert_eq!(read(&vault, "kv/data/buildos/fields", "ключ", None).await.unwrap().secret.expose(), "wörd");
    let failed = async |path, field, version| read(&vault, path, field, version).await.unwrap_err();
    assert_eq!(failed("kv/data/buildos/fields", "none", None).await, SecretError::Missing);
    assert_eq!(failed("kv/data/buildos/fields", "empty", None).await, SecretError::Missing);
    assert_eq!(failed("kv/data/buildos/fields", "number", None).await, SecretError::Unreachable);
    assert_eq!(failed("kv/data/buildos/none", "key", None).await, SecretError::Missing);
    assert_eq!(failed("kv/data/buildos/fields", "key", Some(9)).await, SecretError::Missing);
    bao.put("kv/data/buildos/fields", json!({"key": "two"})).await;
    assert_eq!(text(&vault, "kv/data/buildos/fields").await.unwrap(), "two");
    assert_eq!(read(&vault, "kv/data/buildos/fields", "key", Some(1)).await.unwrap().secret.expose(), "one");
    bao.root(Method::DELETE, "kv/data/buildos/fields", Value::Null).await;
    assert_eq!(failed("kv/data/buildos/fields", "key", None).await, SecretError::Missing, "deleted");
}

/// An engine that reads from the vault, with one workspace.
async fn engine(vault: &Vault, prefix: &str, refs: Value) -> Orchestrator {
    let engine = Orchestrator::builder()
        .environment("dev")
        .store(Arc::new(MemoryStore::new(SystemClock::shared())))
        .vault(Arc::new(vault.clone()), VaultPrefix::parse(prefix).unwrap())
        .build()
        .await
        .unwrap();
    let config = serde_json::from_value(json!({"secret_refs": refs})).unwrap();
    let bundle = Bundle { format: 1, workspace: workspace(), config, operators: None };
    engine.configs().import(&Actor::program("admin"), &workspace(), &bundle, false).await.unwrap();
    engine
}

#[tokio::test]
async fn a_reference_of_a_config_is_read_and_one_of_another_s_path_is_refused_with_a_pointer() {
    let bao = Bao::shared().await;
    let vault = bao.vault(VaultAuth::TokenFile(bao.root_token_file()), None);
    bao.put("kv/data/buildos", json!({"key": "of buildos"})).await;
    let refs = json!({
        "b": {"source": "vault", "path": "kv/data/buildos", "field": "key"},
        "c": {"source": "vault", "path": "kv/data/buildos/none", "field": "key"},
    });
    let engine = engine(&vault, "kv/data/{product}", refs).await;
    let status = engine.secrets().status(&workspace()).await.unwrap();
    let shown: Vec<_> = status.iter().map(|one| (one.source.as_str(), one.health)).collect();
    assert_eq!(shown, [("vault", SecretHealth::Ok), ("vault", SecretHealth::Missing)]);
    let foreign = json!({"secret_refs": {"x": {"source": "vault", "path": "kv/data/beauty", "field": "key"}}});
    let bundle =
        Bundle { format: 1, workspace: workspace(), config: serde_json::from_value(foreign).unwrap(), operators: None };
    let refused = engine.configs().import(&Actor::program("admin"), &workspace(), &bundle, false).await.unwrap_err();
    assert_eq!(refused.field_errors()[0].pointer, "/config/secret_refs/x");
    engine.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn by_app_role_a_session_is_renewed_ahead_of_its_end_and_reads_never_fail() {
    let bao = Bao::shared().await;
    bao.put("kv/data/buildos/renewed", json!({"key": "value"})).await;
    let role = bao.role("renewed", "4s", "1h").await;
    let vault = bao.vault(by_role(&bao, "renewed", &role), None);
    let ending = CancellationToken::new();
    let keeper = tokio::spawn({
        let (vault, ending) = (vault.clone(), ending.clone());
        async move { vault.keep(ending).await }
    });
    let begun = Instant::now();
    let mut reads = 0;
    while begun.elapsed() < Duration::from_secs(8) {
        assert_eq!(text(&vault, "kv/data/buildos/renewed").await.unwrap(), "value", "after {:?}", begun.elapsed());
        reads += 1;
        sleep(Duration::from_millis(100)).await;
    }
    assert!(reads > 10, "{reads}");
    assert_eq!(bao.logins("renewed").await.len(), 1, "one login lasts by renewal");
    ending.cancel();
    keeper.await.unwrap();
}

#[tokio::test]
async fn a_session_that_reaches_its_last_day_or_is_revoked_is_followed_by_another() {
    let bao = Bao::shared().await;
    bao.put("kv/data/buildos/again", json!({"key": "value"})).await;
    let role = bao.role("again", "4s", "8s").await;
    let vault = bao.vault(by_role(&bao, "again", &role), None);
    let ending = CancellationToken::new();
    let keeper = tokio::spawn({
        let (vault, ending) = (vault.clone(), ending.clone());
        async move { vault.keep(ending).await }
    });
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(11) {
        assert_eq!(text(&vault, "kv/data/buildos/again").await.unwrap(), "value", "after {:?}", begun.elapsed());
        sleep(Duration::from_millis(100)).await;
    }
    ending.cancel();
    keeper.await.unwrap();
    for _ in 0..3 {
        for accessor in bao.logins("again").await {
            bao.root(Method::POST, "auth/token/revoke-accessor", json!({"accessor": accessor})).await;
        }
        assert_eq!(text(&vault, "kv/data/buildos/again").await.unwrap(), "value", "revoked, and back at once");
    }
}

#[tokio::test]
async fn a_path_that_the_token_may_not_read_is_unreachable_and_costs_no_login() {
    let bao = Bao::shared().await;
    let role = bao.role("narrow", "1h", "1h").await;
    let vault = bao.vault(by_role(&bao, "narrow", &role), None);
    vault.check().await.unwrap();
    bao.root(Method::POST, "sys/mounts/other", json!({"type": "kv", "options": {"version": "2"}})).await;
    bao.until_the_engine_is_there("other", None).await;
    let path = VaultPrefix::parse("other/data/{product}").unwrap().path(&workspace(), "other/data/buildos").unwrap();
    for _ in 0..5 {
        assert_eq!(vault.read(&workspace(), &path, "key", None).await.unwrap_err(), SecretError::Unreachable);
    }
    assert_eq!(bao.logins("narrow").await.len(), 1);
}

#[tokio::test]
async fn a_credential_that_is_not_good_is_told_without_it_and_one_that_is_put_right_works() {
    let bao = Bao::shared().await;
    bao.put("kv/data/buildos/right", json!({"key": "value"})).await;
    let role = bao.role("right", "1h", "1h").await;
    let wrong = by_role(&bao, "right", &(role.0.clone(), "c4n4ry".to_owned()));
    let vault = bao.vault(wrong, None);
    let told = vault.check().await.unwrap_err();
    assert_eq!(told, VaultError::Refused);
    assert!(!format!("{told} {told:?} {vault:?}").contains("c4n4ry"));
    assert_eq!(text(&vault, "kv/data/buildos/right").await.unwrap_err(), SecretError::Unreachable);
    bao.file("right", &role.1);
    let until = Instant::now() + PATIENCE;
    while text(&vault, "kv/data/buildos/right").await.is_err() {
        assert!(Instant::now() < until, "the file is read anew at each login");
        sleep(Duration::from_millis(50)).await;
    }
    let gone = bao.vault(VaultAuth::TokenFile(bao.root_token_file().with_file_name("none")), None);
    assert_eq!(gone.check().await.unwrap_err(), VaultError::Credential);
}

#[tokio::test]
async fn in_a_namespace_only_what_is_there_is_read() {
    let bao = Bao::shared().await;
    assert_eq!(bao.root(Method::POST, "sys/namespaces/team", json!({})).await.0, 200);
    let mount = json!({"type": "kv", "options": {"version": "2"}});
    let root = std::fs::read_to_string(bao.root_token_file()).unwrap();
    bao.call(Method::POST, "sys/mounts/kv", mount, root.trim(), Some("team")).await;
    bao.until_the_engine_is_there("kv", Some("team")).await;
    let body = json!({"data": {"key": "of the team"}});
    assert_eq!(bao.call(Method::POST, "kv/data/buildos/here", body, root.trim(), Some("team")).await.0, 200);
    let within = bao.vault(VaultAuth::TokenFile(bao.root_token_file()), Some("team"));
    assert_eq!(text(&within, "kv/data/buildos/here").await.unwrap(), "of the team");
    let outside = bao.vault(VaultAuth::TokenFile(bao.root_token_file()), None);
    assert_eq!(text(&outside, "kv/data/buildos/here").await.unwrap_err(), SecretError::Missing);
}

#[tokio::test]
async fn a_vault_that_is_sealed_is_unreachable() {
    let bao = Bao::start().await;
    bao.put("kv/data/buildos/sealed", json!({"key": "value"})).await;
    let vault = bao.vault(VaultAuth::TokenFile(bao.root_token_file()), None);
    assert_eq!(text(&vault, "kv/data/buildos/sealed").await.unwrap(), "value");
    assert_eq!(bao.root(Method::POST, "sys/seal", Value::Null).await.0, 204);
    assert_eq!(text(&vault, "kv/data/buildos/sealed").await.unwrap_err(), SecretError::Unreachable);
    assert_eq!(vault.check().await.unwrap_err(), VaultError::Sealed);
}
