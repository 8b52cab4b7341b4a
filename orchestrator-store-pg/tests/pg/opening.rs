//! Opening, and the days on which it does not go.

use orchestrator_conformance::servers::{PostgresOptions, PostgresServer, Stop};
use orchestrator_core::store::{EventLog, Store};
use orchestrator_store_pg::{OpenError, PgOptions, PgStore};
use tokio::task::JoinSet;

use crate::fixture::{aside, event, open, workspace};

async fn refused(url: &str) -> OpenError {
    let options = match PgOptions::parse(url) {
        Ok(options) => options,
        Err(error) => return error,
    };
    PgStore::open(options).await.expect_err("it opened")
}

/// Says what to do, in one line, and nothing of what the URL holds.
fn tells(error: &OpenError, what: &str) {
    let line = error.to_string();
    assert!(line.contains(what), "{line}");
    assert!(!line.contains('\n') && !line.contains("c4n4ry"), "{line}");
    assert!(!format!("{error:?}").contains("c4n4ry"));
}

#[tokio::test]
async fn a_url_that_is_none_is_told() {
    tells(&refused("mysql://u:c4n4ry@h/d").await, "postgres://user:password@host:5432/database");
    tells(&refused("postgres://u:c4n4ry@127.0.0.1:1").await, "names no database");
    tells(&refused("postgres://u:c4n4ry@127.0.0.1:1/d").await, "nothing answers at 127.0.0.1:1/d");
    assert!(!format!("{:?}", PgOptions::parse("postgres://u:c4n4ry@h/d").unwrap()).contains("c4n4ry"));
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_database_are_told() {
    let server = aside(PostgresServer::shared).await;
    let url = server.url_of("nowhere");
    tells(&refused(&url).await, "there is no such database");
    let wrong = format!("postgres://postgres:c4n4ry@127.0.0.1:{}/postgres", server.port());
    tells(&refused(&wrong).await, "refuses the user or the password");
}

/// Several nodes may start at once on an empty database.
#[tokio::test(flavor = "multi_thread")]
async fn inv_40_nodes_that_start_together_migrate_once() {
    let server = aside(PostgresServer::shared).await;
    let url = aside(|| server.fresh_database()).await;
    let mut nodes = JoinSet::new();
    for _ in 0..6 {
        let url = url.clone();
        nodes.spawn(async move { open(&url).await });
    }
    let nodes = nodes.join_all().await;
    assert_eq!(nodes.len(), 6);
    assert!(PgStore::migrate(PgOptions::parse(&url).unwrap()).await.unwrap().is_empty(), "nothing is left to run");
    for node in &nodes {
        node.append(&workspace(), vec![event()]).await.unwrap();
    }
    assert_eq!(nodes[0].last_event(&workspace()).await.unwrap(), 6);
}

#[tokio::test]
async fn a_schema_of_another_version_is_refused() {
    let server = aside(PostgresServer::shared).await;
    let url = aside(|| server.fresh_database()).await;
    open(&url).await.close().await;
    let change = |statement: &'static str| {
        let url = url.clone();
        aside(move || server.sql(&url, statement))
    };
    change("update orchestrator._sqlx_migrations set checksum = '\\x00' where version = 2").await;
    tells(&refused(&url).await, "migration 2 of the database is not the one of this version");
    change(
        "update orchestrator._sqlx_migrations set version = 9000 where version = \
         (select max(version) from orchestrator._sqlx_migrations)",
    )
    .await;
    tells(&refused(&url).await, "newer schema");
    let inspected = PgStore::inspect(PgOptions::parse(&url).unwrap()).await;
    assert!(matches!(inspected, Err(OpenError::NewerSchema)), "{inspected:?}");
}

/// A user who is not the owner may serve, and not migrate.
#[tokio::test]
async fn a_plain_user_serves_what_an_administrator_migrated() {
    let server = aside(PostgresServer::shared).await;
    let url = aside(|| server.fresh_database()).await;
    let database = url.rsplit('/').next().unwrap().to_owned();
    let role = format!("plain_{database}");
    let plain = format!("postgres://{role}:secret@127.0.0.1:{}/{database}", server.port());
    let sql = |statement: String| {
        let url = url.clone();
        aside(move || server.sql(&url, &statement))
    };
    sql(format!("create role {role} login password 'secret'")).await;
    tells(&refused(&plain).await, "run `orchestrator migrate` once");
    PgStore::migrate(PgOptions::parse(&url).unwrap()).await.unwrap();
    tells(&refused(&plain).await, "GRANT orchestrator_app");
    sql(format!("grant orchestrator_app to {role}")).await;
    let store = open(&plain).await;
    store.append(&workspace(), vec![event()]).await.unwrap();
    assert_eq!(store.last_event(&workspace()).await.unwrap(), 1);
}

#[tokio::test]
async fn a_replica_and_a_server_without_connections_are_told() {
    let server =
        aside(|| PostgresServer::start_with(&PostgresOptions::default().setting("max_connections", "12"))).await;
    let url = server.fresh_database();
    let store = open(&url).await;
    store.append(&workspace(), vec![event()]).await.unwrap();
    let inspected = PgStore::inspect(PgOptions::parse(&url).unwrap()).await.unwrap();
    assert_eq!((inspected.max_connections, inspected.read_only, inspected.disk_full), (12, false, false));
    assert!(inspected.missing.is_empty() && inspected.fsync && inspected.synchronous_commit == "on");
    let mut others = Vec::new();
    let full = loop {
        match PgStore::open(PgOptions::parse(&url).unwrap()).await {
            Ok(other) => others.push(other),
            Err(error) => break error,
        }
        assert!(others.len() < 20, "it never fills up");
    };
    tells(&full, "max_connections");
    for store in others.into_iter().chain([store]) {
        store.close().await;
    }
    let server = aside(move || {
        server.stop(Stop::Fast);
        server.start_again();
        server.become_replica();
        server
    })
    .await;
    tells(&refused(&url).await, "read-only");
    drop(server);
}
