//! Isolation: with another workspace's ids every method answers as for what does not exist.

use std::sync::Arc;
use std::time::Duration;

use orchestrator_core::clock::Clock;
use orchestrator_core::store::{
    Cancelled, DeadFilter, EventFilter, HeldLease, JobFilter, JobRecord, JobState, Moved, NewEvent, NewInbox, NewJob,
    PayloadLinks, RequestEntry, Settled, Settlement, Store,
};
use orchestrator_core::types::{EventType, InboxId, JobId, RequestView, TraceId, WorkspaceId};
use serde_json::json;

use super::StoreHarness;
use super::fixture::{
    LEASE, accept, audit, audits, bury, call, calls, claim_one, dead, delivery, event, events, job, lease, list, of,
    owner, request, settle, settlement, succeeded, webhook, workspace,
};

/// Everything that a workspace can have.
struct Theirs {
    workspace: WorkspaceId,
    queued: JobId,
    running: JobRecord,
    dead: JobId,
    inbox: InboxId,
    request: RequestView,
}

async fn theirs(harness: &impl StoreHarness, store: &Arc<dyn Store>) -> Theirs {
    let workspace = workspace("theirs-dev");
    let dead = bury(store, &workspace, calls(1)).await[0];
    accept(store, &workspace, calls(1)).await;
    let running = claim_one(store).await;
    let entry = NewInbox { jobs: Vec::new(), ..webhook("evt_1") };
    let inbox = entry.id;
    store.ingest(&workspace, entry).await.expect("ingest");
    let later = harness.clock().now().after(Duration::from_secs(3600));
    let queued = accept(store, &workspace, vec![NewJob { run_at: Some(later), ..call("crm") }]).await[0];
    let request = request(&running.job.id.to_string(), harness.clock().now());
    let entry = RequestEntry {
        workspace: workspace.clone(),
        record: Some(request.clone()),
        events: Vec::new(),
        idempotency: None,
        payloads: PayloadLinks::default(),
    };
    store.log(vec![Arc::new(entry)]).await.expect("log");
    Theirs { workspace, queued, running, dead, inbox, request }
}

/// Nothing of another workspace is read by its ids, in lists, or as a cursor.
pub async fn inv_13_nothing_foreign_is_read(harness: &impl StoreHarness) {
    let store = harness.store().await;
    let theirs = theirs(harness, &store).await;
    let ours = workspace("ours-dev");
    for id in [theirs.queued, theirs.running.job.id, theirs.dead] {
        assert!(store.job(&theirs.workspace, id).await.expect("job").is_some(), "it is there to be found");
        assert!(store.job(&ours, id).await.expect("job").is_none());
    }
    assert!(list(&store, &ours, &JobFilter::default()).await.is_empty());
    assert!(dead(&store, &ours, &DeadFilter::default()).await.is_empty());
    assert!(store.inbox_entry(&ours, theirs.inbox).await.expect("entry").is_none());
    assert!(store.inbox(&ours, None, 10).await.expect("inbox").is_empty());
    assert_eq!(store.request_about(&ours, &theirs.request.subject).await.expect("about"), None);
    assert!(store.requests(&ours, None, None, 10).await.expect("requests").is_empty());
    assert!(store.events(&ours, 0, &EventFilter::default(), 10).await.expect("events").items.is_empty());
    let mine = accept(&store, &ours, calls(1)).await[0];
    let page = store.jobs(&ours, &JobFilter::default(), Some(JobId::new()), 10).await.expect("jobs");
    assert_eq!(page.len(), 1);
    let page = store.jobs(&ours, &JobFilter::default(), Some(theirs.dead), 10).await.expect("jobs");
    assert!(page.is_empty(), "a foreign cursor is a place in time, nothing more");
    assert_eq!(list(&store, &ours, &JobFilter::default()).await, [mine]);
}

/// Nothing of another workspace is changed by its ids: each method answers as for what does not exist.
pub async fn inv_13_nothing_foreign_is_changed(harness: &impl StoreHarness) {
    let store = harness.store().await;
    let theirs = theirs(harness, &store).await;
    let (ours, told) = (workspace("ours-dev"), events(&store, &theirs.workspace).await);
    let cancelled = |id: JobId| NewEvent::new(EventType::JobCancelled, id, TraceId::new(), json!(null));
    for id in [theirs.queued, theirs.running.job.id, theirs.dead, JobId::new()] {
        assert_eq!(store.cancel(&ours, id, cancelled(id)).await.expect("cancel"), Cancelled::NotFound);
        let replayed = store.replay(&ours, vec![(id, None)], audit("dlq.replay")).await.expect("replay");
        assert_eq!(replayed, [Moved::NotFound]);
        let purged = store.purge(&ours, vec![id], audit("dlq.purge")).await.expect("purge");
        assert_eq!(purged, [Moved::NotFound]);
    }
    let foreign = HeldLease { workspace: ours.clone(), ..lease(&theirs.running) };
    assert_eq!(store.renew(vec![foreign.clone()], LEASE).await.expect("renew"), std::slice::from_ref(&foreign));
    let end = Settlement { lease: foreign, events: vec![event("x")], ..settlement(&theirs.running, succeeded()) };
    assert_eq!(store.settle(vec![end]).await.expect("settle"), [Settled::Stale]);
    for id in [theirs.inbox, InboxId::new()] {
        assert!(!store.redeliver(&ours, id, of(vec![delivery("billing")])).await.expect("redeliver"));
    }
    assert!(events(&store, &ours).await.is_empty());
    assert!(audits(&store, &owner("ours-dev")).await.is_empty());
    assert!(list(&store, &ours, &JobFilter::default()).await.is_empty());
    assert_eq!(events(&store, &theirs.workspace).await, told);
    assert_eq!(job(&store, &theirs.workspace, theirs.dead).await.state, JobState::Dead);
    assert_eq!(job(&store, &theirs.workspace, theirs.queued).await.state, JobState::Queued);
    assert_eq!(settle(&store, &theirs.running, succeeded()).await, Settled::Applied);
}

/// An id that another workspace has already is free: whether it is taken elsewhere cannot be told.
pub async fn inv_13_an_id_taken_elsewhere_is_free(harness: &impl StoreHarness) {
    let store = harness.store().await;
    let theirs = theirs(harness, &store).await;
    let ours = workspace("ours-dev");
    let mine = NewJob { id: theirs.dead, operation: "mine".to_owned(), ..call("crm") };
    accept(&store, &ours, vec![mine]).await;
    let found = job(&store, &ours, theirs.dead).await;
    assert_eq!((found.job.operation.as_str(), found.state), ("mine", JobState::Queued));
    assert_eq!(events(&store, &ours).await.len(), 1);
    let moved = store.replay(&ours, vec![(theirs.dead, None)], audit("dlq.replay")).await.expect("replay");
    assert_eq!(moved, [Moved::NotDead]);
    let kept = job(&store, &theirs.workspace, theirs.dead).await;
    assert_eq!((kept.job.operation.as_str(), kept.state), ("request", JobState::Dead));
    let claimed = claim_one(&store).await;
    assert_eq!((claimed.workspace, claimed.job.id), (ours, theirs.dead));
}
