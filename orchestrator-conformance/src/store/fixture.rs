//! What behaviours are built from: small valid things, and the steps that they share.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use orchestrator_core::store::{
    Claim, ControlChange, DeadFilter, Enqueue, Enqueued, EventFilter, HeldLease, IdempotentAnswer, JobFilter, JobKind,
    JobRecord, LaneKey, NewAudit, NewEvent, NewInbox, NewJob, NewPayload, Outcome, Owner, PayloadLinks, Settled,
    Settlement, Store, Sweep,
};
use orchestrator_core::types::{
    AuditId, ErrorView, EventType, EventView, IdempotencyKey, InboxId, JobId, Name, PayloadId, RequestId, RequestKind,
    RequestView, Timestamp, TraceId, WorkspaceId,
};
use serde_json::json;

/// The lease of claims.
pub(crate) const LEASE: Duration = Duration::from_secs(30);

pub(crate) fn workspace(text: &str) -> WorkspaceId {
    text.parse().expect("a well-formed workspace")
}

pub(crate) fn name(text: &str) -> Name {
    text.parse().expect("a well-formed name")
}

pub(crate) fn key(text: &str) -> IdempotencyKey {
    text.parse().expect("a well-formed key")
}

pub(crate) fn owner(text: &str) -> Owner {
    Owner::Workspace(workspace(text))
}

pub(crate) fn change(owner: &Owner) -> ControlChange {
    ControlChange::of(owner.clone())
}

pub(crate) fn audit(action: &'static str) -> NewAudit {
    NewAudit {
        id: AuditId::new(),
        actor: "ada".to_owned(),
        via: None,
        action,
        target: "something".to_owned(),
        reason: Some("because".to_owned()),
        before: None,
        after: Some(json!({"is": "so"})),
        trace_id: TraceId::new(),
    }
}

pub(crate) fn event(subject: &str) -> NewEvent {
    NewEvent::new(EventType::ExecutionSucceeded, subject, TraceId::new(), json!({"about": subject}))
}

/// A call through `connector`, ready at once.
pub(crate) fn call(connector: &str) -> NewJob {
    NewJob {
        id: JobId::new(),
        kind: JobKind::Call,
        connector: Some(name(connector)),
        operation: "request".to_owned(),
        input: Bytes::from_static(b"{}"),
        priority: 5,
        run_at: None,
        max_attempts: 8,
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

/// The delivery of a webhook to `callback`, ready at once.
pub(crate) fn delivery(callback: &str) -> NewJob {
    NewJob {
        kind: JobKind::Webhook,
        connector: None,
        callback: Some(name(callback)),
        operation: "deliver".to_owned(),
        ..call("none")
    }
}

pub(crate) fn keyed(ordering_key: &str) -> NewJob {
    NewJob { ordering_key: Some(ordering_key.to_owned()), ..call("crm") }
}

pub(crate) fn calls(count: usize) -> Vec<NewJob> {
    (0..count).map(|_| call("crm")).collect()
}

pub(crate) fn lane(workspace: &WorkspaceId, delivery: bool, target: &str) -> LaneKey {
    LaneKey { workspace: workspace.clone(), delivery, target: name(target) }
}

pub(crate) fn of(jobs: Vec<NewJob>) -> Enqueue {
    Enqueue { jobs, ..Enqueue::default() }
}

pub(crate) fn under_key(jobs: Vec<NewJob>, text: &str, hash: u8, expires_at: Timestamp) -> Enqueue {
    let answer = Bytes::from(format!("the answer for {text}"));
    let idempotency = Some(IdempotentAnswer { key: key(text), request_hash: [hash; 32], answer, expires_at });
    Enqueue { jobs, idempotency, ..Enqueue::default() }
}

/// Accepts jobs, and answers their ids.
pub(crate) async fn accept(store: &Arc<dyn Store>, workspace: &WorkspaceId, jobs: Vec<NewJob>) -> Vec<JobId> {
    let ids = jobs.iter().map(|job| job.id).collect();
    let enqueued = store.enqueue(workspace, of(jobs)).await.expect("enqueue");
    assert_eq!(enqueued, Enqueued::Accepted);
    ids
}

pub(crate) fn claim_of(max: usize) -> Claim {
    Claim {
        owner: "worker-1".to_owned(),
        max,
        per_workspace: usize::MAX,
        lease: LEASE,
        quarantine: false,
        paused: Vec::new(),
        limited: Vec::new(),
        full: Vec::new(),
    }
}

pub(crate) fn quarantine() -> Claim {
    Claim { quarantine: true, ..claim_of(1) }
}

pub(crate) async fn claim(store: &Arc<dyn Store>, claim: Claim) -> Vec<JobRecord> {
    store.claim(claim).await.expect("claim").into_iter().map(|claimed| claimed.record).collect()
}

pub(crate) async fn claim_ids(store: &Arc<dyn Store>, max: usize) -> Vec<JobId> {
    claim(store, claim_of(max)).await.iter().map(|record| record.job.id).collect()
}

/// Claims one job at a time until none is ready: the order in which they are taken.
pub(crate) async fn drain(store: &Arc<dyn Store>) -> Vec<JobId> {
    let (mut taken, mut steps) = (Vec::new(), Steps::default());
    while let Some(record) = claim(store, claim_of(1)).await.pop() {
        steps.take();
        taken.push(record.job.id);
    }
    taken
}

pub(crate) async fn claim_one(store: &Arc<dyn Store>) -> JobRecord {
    let mut claimed = claim(store, claim_of(1)).await;
    assert_eq!(claimed.len(), 1, "one job is ready");
    claimed.remove(0)
}

pub(crate) fn lease(record: &JobRecord) -> HeldLease {
    HeldLease { workspace: record.workspace.clone(), job: record.job.id, fence: record.fence }
}

pub(crate) fn error(code: &str) -> ErrorView {
    ErrorView { code: code.to_owned(), detail: "it did not work".to_owned(), upstream: None }
}

pub(crate) fn succeeded() -> Outcome {
    Outcome::Succeeded { output: Some(Bytes::from_static(b"{\"ok\":true}")) }
}

pub(crate) fn retry(run_at: Timestamp) -> Outcome {
    Outcome::Retry { run_at, error: error("upstream_failed") }
}

pub(crate) fn died() -> Outcome {
    Outcome::Dead { reason: "exhausted".to_owned(), error: error("upstream_failed") }
}

pub(crate) fn given_back() -> Outcome {
    Outcome::GiveBack { run_at: None }
}

pub(crate) fn settlement(record: &JobRecord, outcome: Outcome) -> Settlement {
    Settlement {
        lease: lease(record),
        outcome,
        events: Vec::new(),
        request: None,
        delivery: None,
        payloads: PayloadLinks::default(),
    }
}

pub(crate) async fn settle(store: &Arc<dyn Store>, record: &JobRecord, outcome: Outcome) -> Settled {
    let settled = store.settle(vec![settlement(record, outcome)]).await.expect("settle");
    assert_eq!(settled.len(), 1, "one answer for each settlement");
    settled.into_iter().next().unwrap()
}

pub(crate) async fn job(store: &Arc<dyn Store>, workspace: &WorkspaceId, id: JobId) -> JobRecord {
    store.job(workspace, id).await.expect("job").expect("the job is there")
}

/// Accepts jobs and lets each of them die.
pub(crate) async fn bury(store: &Arc<dyn Store>, workspace: &WorkspaceId, jobs: Vec<NewJob>) -> Vec<JobId> {
    let ids = accept(store, workspace, jobs).await;
    let mut left = ids.len();
    while left > 0 {
        let claimed = claim(store, claim_of(left)).await;
        assert!(!claimed.is_empty(), "what was accepted can be claimed");
        left -= claimed.len();
        let ends = claimed.iter().map(|record| settlement(record, died())).collect();
        let settled = store.settle(ends).await.expect("settle");
        assert!(settled.iter().all(|settled| *settled == Settled::Applied));
    }
    ids
}

/// Lets the leases that are held end, and makes their jobs ready again.
pub(crate) async fn lose_leases(store: &Arc<dyn Store>, clock: &crate::ManualClock) -> (usize, Vec<JobRecord>) {
    clock.advance(LEASE + Duration::from_secs(1));
    let (ready, poisoned) = store.rescue("rescuer", LEASE, 1_000).await.expect("rescue");
    (ready, poisoned.into_iter().map(|claimed| claimed.record).collect())
}

pub(crate) fn webhook(event_id: &str) -> NewInbox {
    NewInbox {
        id: InboxId::new(),
        provider: name("stripe"),
        route: name("stripe-main"),
        account: Some("acct_1".to_owned()),
        event_id: event_id.to_owned(),
        event_type: Some("invoice.paid".to_owned()),
        headers: BTreeMap::from([("content-type".to_owned(), "application/json".to_owned())]),
        body: Bytes::from_static(b"{\"id\":1}"),
        body_payload: None,
        body_hash: [1; 32],
        received_at: Timestamp::from_unix_ms(1_800_000_000_000),
        trace_id: TraceId::new(),
        events: vec![NewEvent::new(EventType::WebhookReceived, event_id, TraceId::new(), json!({}))],
        jobs: vec![delivery("billing")],
        payloads: PayloadLinks::default(),
    }
}

pub(crate) fn request(subject: &str, started_at: Timestamp) -> RequestView {
    RequestView {
        id: RequestId::new(),
        kind: RequestKind::Execute,
        subject: subject.to_owned(),
        target: name("crm"),
        operation: "request".to_owned(),
        status: "succeeded".to_owned(),
        error: None,
        attempts: 1,
        duration_ms: 12,
        started_at,
        config_version: 3,
        trace_id: TraceId::new(),
        attempts_log: Vec::new(),
        decisions: Vec::new(),
    }
}

/// A sweep of everything older than `before`.
pub(crate) fn sweep(workspace: &WorkspaceId, before: Timestamp) -> Sweep {
    Sweep {
        workspace: workspace.clone(),
        requests_before: before,
        events_before: before,
        inbox_before: before,
        jobs_before: before,
        tombstones_before: Timestamp::from_unix_ms(0),
    }
}

pub(crate) async fn events(store: &Arc<dyn Store>, workspace: &WorkspaceId) -> Vec<EventView> {
    let (mut events, mut steps) = (Vec::new(), Steps::default());
    let mut after = 0;
    loop {
        steps.take();
        let page = store.events(workspace, after, &EventFilter::default(), 500).await.expect("events");
        if page.scanned_to == after {
            return events;
        }
        after = page.scanned_to;
        events.extend(page.items);
    }
}

pub(crate) async fn kinds(store: &Arc<dyn Store>, workspace: &WorkspaceId) -> Vec<EventType> {
    events(store, workspace).await.iter().map(|event| event.kind).collect()
}

/// The events of a type.
pub(crate) async fn count(store: &Arc<dyn Store>, workspace: &WorkspaceId, kind: EventType) -> usize {
    kinds(store, workspace).await.into_iter().filter(|found| *found == kind).count()
}

pub(crate) async fn audits(store: &Arc<dyn Store>, owner: &Owner) -> Vec<String> {
    store.audit(owner, 0, 1_000).await.expect("audit").into_iter().map(|record| record.action).collect()
}

pub(crate) async fn list(store: &Arc<dyn Store>, workspace: &WorkspaceId, filter: &JobFilter) -> Vec<JobId> {
    let jobs = store.jobs(workspace, filter, None, 500).await.expect("jobs");
    jobs.iter().map(|record| record.job.id).collect()
}

pub(crate) async fn dead(store: &Arc<dyn Store>, workspace: &WorkspaceId, filter: &DeadFilter) -> Vec<JobId> {
    let jobs = store.dead(workspace, filter, None, 1_000).await.expect("dead");
    jobs.iter().map(|record| record.job.id).collect()
}

/// Counts the steps of a loop that ends only if the backend behaves, so that one that does not fails instead of hanging.
#[derive(Default)]
pub(crate) struct Steps(u32);

impl Steps {
    pub(crate) fn take(&mut self) {
        self.0 += 1;
        assert!(self.0 < 5_000, "this would never end");
    }
}

/// Runs all of them at once, each in a task of its own.
pub(crate) async fn at_once<F>(tasks: impl IntoIterator<Item = F>) -> Vec<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let handles: Vec<_> = tasks.into_iter().map(tokio::spawn).collect();
    let mut outputs = Vec::with_capacity(handles.len());
    for handle in handles {
        outputs.push(handle.await.expect("a task that does not panic"));
    }
    outputs
}

pub(crate) fn sorted<T: Ord>(items: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut items: Vec<T> = items.into_iter().collect();
    items.sort();
    items
}

pub(crate) fn newest_first<T: Ord>(items: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut items = sorted(items);
    items.reverse();
    items
}

/// A payload whose object would have been stored.
pub(crate) fn payload() -> NewPayload {
    NewPayload { id: PayloadId::new(), size: 5, sha256: [7; 32], content_type: "text/plain".to_owned(), seal: None }
}

/// A payload that comes into being with its owner.
pub(crate) fn bears(payload: &NewPayload) -> PayloadLinks {
    PayloadLinks { new: vec![payload.clone()], named: Vec::new() }
}

/// A payload that its owner names.
pub(crate) fn names(id: PayloadId) -> PayloadLinks {
    PayloadLinks { new: Vec::new(), named: vec![id] }
}
