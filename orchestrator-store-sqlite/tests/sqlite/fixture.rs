//! Small valid things.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use orchestrator_core::store::{Claim, Enqueue, Enqueued, JobKind, JobStore, NewEvent, NewJob, PayloadLinks};
use orchestrator_core::types::{EventType, JobId, TraceId, WorkspaceId};
use orchestrator_store_sqlite::SqliteStore;
use serde_json::json;
use sqlx::Connection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};

pub(crate) fn workspace() -> WorkspaceId {
    "shop-dev".parse().unwrap()
}

pub(crate) fn event() -> NewEvent {
    NewEvent::new(EventType::ExecutionSucceeded, "exe", TraceId::new(), json!({"n": 1}))
}

pub(crate) fn call() -> NewJob {
    NewJob {
        id: JobId::new(),
        kind: JobKind::Call,
        connector: Some("crm".parse().unwrap()),
        operation: "create".to_owned(),
        input: Bytes::from_static(b"{}"),
        priority: 5,
        run_at: None,
        max_attempts: 5,
        ordering_key: None,
        callback: None,
        metadata: BTreeMap::new(),
        timeout: None,
        subject: None,
        delivery_id: None,
        trace_id: TraceId::new(),
        payloads: PayloadLinks::default(),
    }
}

pub(crate) fn claim_of(max: usize) -> Claim {
    Claim {
        owner: "worker".to_owned(),
        max,
        per_workspace: max,
        lease: Duration::from_secs(30),
        quarantine: false,
        paused: Vec::new(),
        limited: Vec::new(),
        full: Vec::new(),
    }
}

pub(crate) async fn enqueue(store: &SqliteStore, jobs: Vec<NewJob>) -> Vec<JobId> {
    let ids = jobs.iter().map(|job| job.id).collect();
    let accepted = store.enqueue(&workspace(), Enqueue { jobs, ..Enqueue::default() }).await.unwrap();
    assert_eq!(accepted, Enqueued::Accepted);
    ids
}

/// Another connection to the same file: what damages it, or what another program would do.
pub(crate) async fn beside(path: &Path) -> SqliteConnection {
    SqliteConnection::connect_with(&SqliteConnectOptions::new().filename(path)).await.unwrap()
}
