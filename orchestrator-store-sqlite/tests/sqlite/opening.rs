//! The file, its lock, its schema.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use orchestrator_conformance::ManualClock;
use orchestrator_core::clock::Clock;
use orchestrator_core::store::{
    Begin, Begun, ControlChange, ControlStore, EventLog, Expect, JobStore, Owner, RecordKind, RecordWrite, RequestLog,
    Store, StoreError,
};
use orchestrator_core::types::ExecutionId;
use orchestrator_store_sqlite::{OpenError, SqliteStore};
use tempfile::TempDir;

use crate::fixture::{beside, call, claim_of, enqueue, event, workspace};

#[tokio::test]
async fn a_second_one_refuses_to_open() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("a.db");
    let clock = ManualClock::default();
    let first = SqliteStore::open(&path, clock.shared()).await.unwrap();
    let refused = SqliteStore::open(&path, clock.shared()).await.unwrap_err();
    assert!(matches!(refused, OpenError::InUse { .. }), "{refused}");
    assert!(!refused.to_string().contains('\n'));
    first.close().await;
    SqliteStore::open(&path, clock.shared()).await.unwrap();
}

#[cfg(unix)]
#[tokio::test]
async fn folder_and_file_are_for_their_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("new").join("a.db");
    let _store = SqliteStore::open(&path, ManualClock::default().shared()).await.unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    assert_eq!(mode(&path), 0o600);
    assert_eq!(mode(&path.with_extension("db-wal")), 0o600);
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("a.db");
    let clock = ManualClock::default();
    SqliteStore::open(&path, clock.shared()).await.unwrap().close().await;
    let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
        VALUES (9000, 'future', true, x'00', 0)";
    sqlx::query(newer).execute(&mut beside(&path).await).await.unwrap();
    let refused = SqliteStore::open(&path, clock.shared()).await.unwrap_err();
    assert!(matches!(refused, OpenError::Newer { found: 9000, .. }), "{refused}");
    let refused = SqliteStore::open_read_only(&path).await.unwrap_err();
    assert!(matches!(refused, OpenError::Newer { found: 9000, .. }), "{refused}");
}

#[tokio::test]
async fn a_reader_stands_beside_a_running_server() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("a.db");
    let missing = SqliteStore::open_read_only(&path).await.unwrap_err();
    assert!(matches!(missing, OpenError::Missing { .. }), "{missing}");
    let server = SqliteStore::open(&path, ManualClock::default().shared()).await.unwrap();
    let reader = SqliteStore::open_read_only(&path).await.unwrap();
    let put = || {
        let mut change = ControlChange::of(Owner::Install);
        change.writes.push(RecordWrite::put(RecordKind::Install, "key", Expect::Any, "secret"));
        change
    };
    server.commit(put()).await.unwrap();
    let found = reader.record(&Owner::Install, RecordKind::Install, "key").await.unwrap().unwrap();
    assert_eq!(found.body, Bytes::from_static(b"secret"));
    reader.ping().await.unwrap();
    assert!(reader.commit(put()).await.is_err());
    reader.close().await;
    server.ping().await.unwrap();
}

#[tokio::test]
async fn a_reader_reads_what_a_stopped_server_left() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("a.db");
    let server = SqliteStore::open(&path, ManualClock::default().shared()).await.unwrap();
    enqueue(&server, vec![call()]).await;
    server.close().await;
    let reader = SqliteStore::open_read_only(&path).await.unwrap();
    assert_eq!(reader.queue_stats().await.unwrap().ready, 1);
}

#[tokio::test]
async fn a_closed_store_says_that_it_is_not_available() {
    let folder = TempDir::new().unwrap();
    let store = SqliteStore::open(folder.path().join("a.db"), ManualClock::default().shared()).await.unwrap();
    store.close().await;
    store.close().await;
    let refused = store.append(&workspace(), vec![event()]).await.unwrap_err();
    assert!(matches!(refused, StoreError::Unavailable(_)), "{refused}");
    assert!(matches!(store.ping().await, Err(StoreError::Unavailable(_))));
    assert!(!folder.path().join("a.db-wal").exists(), "the journal was folded in");
}

#[tokio::test]
async fn a_dropped_store_finishes_what_was_handed_in_and_lets_go() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("a.db");
    let clock = ManualClock::default();
    let store = SqliteStore::open(&path, clock.shared()).await.unwrap();
    let id = enqueue(&store, vec![call()]).await[0];
    drop(store);
    let store = loop {
        match SqliteStore::open(&path, clock.shared()).await {
            Ok(store) => break store,
            Err(OpenError::InUse { .. }) => tokio::task::yield_now().await,
            Err(error) => panic!("{error}"),
        }
    };
    assert!(store.job(&workspace(), id).await.unwrap().is_some());
}

#[tokio::test]
async fn inv_02_what_a_former_process_held_is_void_at_once() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("a.db");
    let clock = ManualClock::default();
    let store = SqliteStore::open(&path, clock.shared()).await.unwrap();
    enqueue(&store, vec![call()]).await;
    assert_eq!(store.claim(claim_of(1)).await.unwrap().len(), 1);
    let begin = Begin {
        key: "k".parse().unwrap(),
        request_hash: [1; 32],
        execution: ExecutionId::new(),
        valid_until: clock.now().after(Duration::from_secs(3600)),
        take_over: false,
    };
    assert_eq!(store.begin(&workspace(), begin.clone()).await.unwrap(), Begun::Fresh);
    assert_eq!(store.rescue("other", Duration::from_secs(30), 10).await.unwrap().0, 0, "it still runs");
    store.close().await;

    let store = SqliteStore::open(&path, clock.shared()).await.unwrap();
    let stats = store.queue_stats().await.unwrap();
    assert_eq!((stats.running, stats.oldest_expired_lease), (1, Duration::ZERO));
    assert_eq!(store.rescue("other", Duration::from_secs(30), 10).await.unwrap().0, 1);
    let other = Begin { execution: ExecutionId::new(), ..begin.clone() };
    assert_eq!(store.begin(&workspace(), other).await.unwrap(), Begun::Unknown(begin.execution));
}
