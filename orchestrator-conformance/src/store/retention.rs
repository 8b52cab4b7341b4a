//! Sweeps: what has outlived its time goes, in bounded steps; what is unfinished stays.

use std::sync::Arc;
use std::time::Duration;

use orchestrator_core::clock::Clock;
use orchestrator_core::store::{
    Begun, DeadFilter, Enqueued, Ingested, JobFilter, JobState, NewEvent, NewInbox, NewJob, PayloadLinks, RequestEntry,
    Store, Sweep,
};
use orchestrator_core::types::{EventType, Timestamp, TraceId, WorkspaceId};
use serde_json::json;

use super::StoreHarness;
use super::fixture::{
    Steps, accept, bury, call, calls, claim, claim_of, claim_one, dead, event, events, job, key, list, request, retry,
    settle, sorted, succeeded, sweep, under_key, webhook, workspace,
};

const HOUR: Duration = Duration::from_secs(3600);

async fn all(store: &Arc<dyn Store>, sweep: Sweep) -> u64 {
    let (mut removed, mut steps) = (0, Steps::default());
    loop {
        steps.take();
        match store.sweep(sweep.clone(), 1_000).await.expect("sweep") {
            0 => return removed,
            more => removed += more,
        }
    }
}

async fn log(store: &Arc<dyn Store>, workspace: &WorkspaceId, started_at: Timestamp) {
    let record = Some(request("exe_1", started_at));
    let entry = RequestEntry {
        workspace: workspace.clone(),
        record,
        events: Vec::new(),
        idempotency: None,
        payloads: PayloadLinks::default(),
    };
    store.log(vec![Arc::new(entry)]).await.expect("log");
}

/// Retention of zero days touches no unfinished work: queued, scheduled, retrying, running, undelivered.
pub async fn inv_38_zero_days_touch_nothing_unfinished(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let later = harness.clock().now().after(HOUR * 1_000);
    let mut unfinished = accept(&store, &workspace, calls(2)).await;
    claim_one(&store).await;
    let record = claim_one(&store).await;
    settle(&store, &record, retry(later)).await;
    unfinished.extend(accept(&store, &workspace, vec![NewJob { run_at: Some(later), ..call("crm") }]).await);
    let entry = NewInbox { received_at: harness.clock().now(), ..webhook("evt_1") };
    let (inbox, delivery) = (entry.id, entry.jobs[0].id);
    store.ingest(&workspace, entry).await.expect("ingest");
    unfinished.push(delivery);
    harness.clock().advance(HOUR);
    let now = harness.clock().now();
    all(&store, Sweep { tombstones_before: now, ..sweep(&workspace, now) }).await;
    assert_eq!(sorted(list(&store, &workspace, &JobFilter::default()).await), sorted(unfinished));
    let kept = store.inbox_entry(&workspace, inbox).await.expect("entry").expect("its delivery has not ended");
    assert!(kept.body_kept && !kept.entry.body.is_empty());
    let again = store.ingest(&workspace, webhook("evt_1")).await.expect("ingest");
    assert!(matches!(again, Ingested::Duplicate { .. }), "{again:?}");
    let ready = claim(&store, claim_of(10)).await;
    assert_eq!(ready.iter().map(|record| record.job.id).collect::<Vec<_>>(), [delivery]);
}

/// Jobs that ended before go, by when they ended; dead ones stay.
pub async fn inv_38_ended_jobs_go_but_dead_ones_stay(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let buried = bury(&store, &workspace, calls(2)).await;
    let old = accept(&store, &workspace, calls(2)).await;
    let late = accept(&store, &workspace, calls(1)).await[0];
    settle(&store, &claim_one(&store).await, succeeded()).await;
    let cancelled = NewEvent::new(EventType::JobCancelled, old[1], TraceId::new(), json!(null));
    store.cancel(&workspace, old[1], cancelled).await.expect("cancel");
    harness.clock().advance(HOUR);
    let line = harness.clock().now();
    harness.clock().advance(HOUR);
    settle(&store, &claim_one(&store).await, succeeded()).await;
    all(&store, Sweep { events_before: Timestamp::from_unix_ms(0), ..sweep(&workspace, line) }).await;
    assert_eq!(sorted(list(&store, &workspace, &JobFilter::default()).await), sorted([buried[0], buried[1], late]));
    assert_eq!(dead(&store, &workspace, &DeadFilter::default()).await.len(), 2);
    assert_eq!(job(&store, &workspace, late).await.state, JobState::Succeeded);
}

/// Requests go by when they began, events by when they were committed; numbers go on.
pub async fn requests_and_events_go_by_their_age(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    for _ in 0..3 {
        log(&store, &workspace, harness.clock().now()).await;
        store.append(&workspace, vec![event("a")]).await.expect("append");
        harness.clock().advance(HOUR);
    }
    let line = harness.clock().now().before(HOUR + HOUR / 2);
    assert_eq!(all(&store, sweep(&workspace, line)).await, 4);
    assert_eq!(store.requests(&workspace, None, None, 10).await.expect("requests").len(), 1);
    let left = events(&store, &workspace).await;
    assert_eq!(left.iter().map(|event| event.id.sequence()).collect::<Vec<_>>(), [3]);
    all(&store, sweep(&workspace, harness.clock().now())).await;
    assert!(events(&store, &workspace).await.is_empty());
    assert_eq!(store.last_event(&workspace).await.expect("last"), 3);
    store.append(&workspace, vec![event("a")]).await.expect("append");
    assert_eq!(store.last_event(&workspace).await.expect("last"), 4, "a number is never given twice");
}

/// A step removes no more than it may of each sort, and the next goes on, until nothing is left to remove.
pub async fn inv_35_a_sweep_goes_in_bounded_steps(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    for _ in 0..5 {
        log(&store, &workspace, harness.clock().now()).await;
    }
    harness.clock().advance(HOUR);
    let line = sweep(&workspace, harness.clock().now());
    let mut steps = Vec::new();
    for left in [3, 1, 0, 0] {
        steps.push(store.sweep(line.clone(), 2).await.expect("sweep"));
        assert_eq!(store.requests(&workspace, None, None, 10).await.expect("requests").len(), left);
    }
    assert_eq!(steps, [2, 2, 1, 0]);
}

/// What may not go yet, in front of what may, does not hide it.
pub async fn inv_35_what_stays_does_not_hide_what_goes(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let received_at = harness.clock().now();
    for number in 0..50 {
        let entry = NewInbox { received_at, ..webhook(&format!("waiting_{number}")) };
        store.ingest(&workspace, entry).await.expect("ingest");
    }
    let entry = NewInbox { received_at, jobs: Vec::new(), ..webhook("polled") };
    let id = entry.id;
    store.ingest(&workspace, entry).await.expect("ingest");
    bury(&store, &workspace, calls(50)).await;
    accept(&store, &workspace, vec![NewJob { priority: 9, ..call("crm") }]).await;
    let done = claim_one(&store).await;
    settle(&store, &done, succeeded()).await;
    harness.clock().advance(HOUR);
    let line = sweep(&workspace, harness.clock().now());
    let mut steps = Steps::default();
    while store.sweep(line.clone(), 5).await.expect("sweep") > 0 {
        steps.take();
    }
    let entry = store.inbox_entry(&workspace, id).await.expect("entry").expect("the tombstone stays");
    assert!(!entry.body_kept);
    assert!(store.job(&workspace, done.job.id).await.expect("job").is_none());
}

/// What deduplicates goes last, by its own time, with the entry.
pub async fn a_tombstone_goes_by_its_own_time(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let entry = NewInbox { received_at: harness.clock().now(), jobs: Vec::new(), ..webhook("evt_1") };
    let id = entry.id;
    store.ingest(&workspace, entry).await.expect("ingest");
    harness.clock().advance(HOUR);
    let now = harness.clock().now();
    all(&store, sweep(&workspace, now)).await;
    assert!(store.inbox_entry(&workspace, id).await.expect("entry").is_some());
    all(&store, Sweep { tombstones_before: now, ..sweep(&workspace, now) }).await;
    assert!(store.inbox_entry(&workspace, id).await.expect("entry").is_none());
    assert_eq!(store.ingest(&workspace, webhook("evt_1")).await.expect("ingest"), Ingested::New);
}

/// An idempotency window is not shortened by retention; a key past its time goes.
pub async fn inv_38_a_sweep_shortens_no_idempotency_window(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let until = harness.clock().now().after(HOUR * 24);
    store.enqueue(&workspace, under_key(calls(1), "k", 1, until)).await.expect("enqueue");
    settle(&store, &claim_one(&store).await, succeeded()).await;
    harness.clock().advance(HOUR);
    all(&store, sweep(&workspace, harness.clock().now())).await;
    assert!(list(&store, &workspace, &JobFilter::default()).await.is_empty(), "the job is gone");
    let again = store.enqueue(&workspace, under_key(calls(1), "k", 1, until)).await.expect("enqueue");
    assert!(matches!(again, Enqueued::Replayed(_)), "{again:?}");
    harness.clock().advance(HOUR * 24);
    assert!(all(&store, sweep(&workspace, harness.clock().now())).await > 0, "the key");
    let later = harness.clock().now().after(HOUR);
    let free = store.enqueue(&workspace, under_key(calls(1), "k", 2, later)).await.expect("enqueue");
    assert_eq!(free, Enqueued::Accepted);
}

/// A sweep of one workspace touches no other's.
pub async fn inv_13_a_sweep_touches_its_workspace_only(harness: &impl StoreHarness) {
    let store = harness.store().await;
    let (one, two) = (workspace("one-dev"), workspace("two-dev"));
    for workspace in [&one, &two] {
        let entry = NewInbox { received_at: harness.clock().now(), jobs: Vec::new(), ..webhook("evt_1") };
        store.ingest(workspace, entry).await.expect("ingest");
        log(&store, workspace, harness.clock().now()).await;
        accept(&store, workspace, calls(1)).await;
        settle(&store, &claim_one(&store).await, succeeded()).await;
        let begin = orchestrator_core::store::Begin {
            key: key("k"),
            request_hash: [1; 32],
            execution: orchestrator_core::types::ExecutionId::new(),
            valid_until: harness.clock().now(),
            take_over: false,
        };
        assert_eq!(store.begin(workspace, begin).await.expect("begin"), Begun::Fresh);
    }
    let told = events(&store, &two).await;
    harness.clock().advance(HOUR);
    let now = harness.clock().now();
    all(&store, Sweep { tombstones_before: now, ..sweep(&one, now) }).await;
    assert!(store.inbox(&one, None, 10).await.expect("inbox").is_empty());
    let kept = store.inbox(&two, None, 10).await.expect("inbox");
    assert!(kept.len() == 1 && kept[0].body_kept);
    assert_eq!(store.requests(&two, None, None, 10).await.expect("requests").len(), 1);
    assert_eq!(list(&store, &two, &JobFilter::default()).await.len(), 1);
    assert_eq!(events(&store, &two).await, told);
}
