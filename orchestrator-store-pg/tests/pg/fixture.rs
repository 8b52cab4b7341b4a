//! Small valid things.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use orchestrator_core::store::{
    Claim, Enqueue, Enqueued, HeldLease, JobKind, JobRecord, JobStore, NewEvent, NewJob, Outcome, PayloadLinks,
    Settlement,
};
use orchestrator_core::types::{EventType, JobId, TraceId, WorkspaceId};
use orchestrator_store_pg::{PgOptions, PgStore};
use serde_json::json;

pub(crate) fn named(text: &str) -> WorkspaceId {
    text.parse().unwrap()
}

/// A store on this database, with the database's own clock.
pub(crate) async fn open(url: &str) -> PgStore {
    PgStore::open(PgOptions::parse(url).unwrap().max_connections(6)).await.unwrap()
}

/// Does what blocks without holding up the runtime.
pub(crate) async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}

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

pub(crate) async fn enqueue(store: &PgStore, jobs: Vec<NewJob>) -> Vec<JobId> {
    let ids = jobs.iter().map(|job| job.id).collect();
    let accepted = store.enqueue(&workspace(), Enqueue { jobs, ..Enqueue::default() }).await.unwrap();
    assert_eq!(accepted, Enqueued::Accepted);
    ids
}

/// The end of an attempt that went well.
pub(crate) fn success(record: &JobRecord) -> Settlement {
    Settlement {
        lease: HeldLease { workspace: record.workspace.clone(), job: record.job.id, fence: record.fence },
        outcome: Outcome::Succeeded { output: None },
        events: vec![event()],
        request: None,
        delivery: None,
        payloads: PayloadLinks::default(),
    }
}
