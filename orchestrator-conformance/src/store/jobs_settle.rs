//! Settlements and cancellations: one end each, written with what it causes.

use std::time::Duration;

use bytes::Bytes;
use orchestrator_core::clock::Clock;
use orchestrator_core::store::{Cancelled, JobKind, JobState, NewEvent, NewJob, Outcome, Settled, Settlement};
use orchestrator_core::types::{EventType, JobId, RequestKind, RequestView, TraceId};
use serde_json::json;

use super::StoreHarness;
use super::fixture::{
    accept, at_once, bury, call, calls, claim, claim_ids, claim_of, claim_one, delivery, died, error, event, events,
    given_back, job, kinds, request, retry, settle, settlement, succeeded, workspace,
};

const MINUTE: Duration = Duration::from_secs(60);

fn cancelled_event(id: JobId) -> NewEvent {
    NewEvent::new(EventType::JobCancelled, id, TraceId::new(), json!({"by": "ada"}))
}

/// A job that succeeded has its output and its end.
pub async fn a_success_is_written(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let id = accept(&store, &workspace, calls(1)).await[0];
    let record = claim_one(&store).await;
    harness.clock().advance(MINUTE);
    let outcome = Outcome::Succeeded { output: Some(Bytes::from_static(b"{\"n\": 1.0}")) };
    assert_eq!(settle(&store, &record, outcome).await, Settled::Applied);
    let found = job(&store, &workspace, id).await;
    assert_eq!((found.state, found.attempt), (JobState::Succeeded, 1));
    assert_eq!(found.output, Some(Bytes::from_static(b"{\"n\": 1.0}")));
    assert_eq!(found.finished_at, Some(harness.clock().now()));
    assert_eq!(found.dead_reason, None);
}

/// A job that is tried again waits for its time, and keeps its attempts and its error.
pub async fn a_retry_is_written(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let id = accept(&store, &workspace, calls(1)).await[0];
    let record = claim_one(&store).await;
    let again = harness.clock().now().after(MINUTE);
    assert_eq!(settle(&store, &record, retry(again)).await, Settled::Applied);
    let found = job(&store, &workspace, id).await;
    assert_eq!((found.state, found.attempt, found.run_at), (JobState::Queued, 1, again));
    assert_eq!((found.error, found.finished_at, found.lost_leases), (Some(error("upstream_failed")), None, 0));
    assert!(found.fence >= record.fence);
    assert!(claim_ids(&store, 1).await.is_empty());
    harness.clock().advance(MINUTE);
    assert_eq!(claim_one(&store).await.attempt, 2);
}

/// A job that was given up has its reason, its error and its end.
pub async fn a_death_is_written(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let id = accept(&store, &workspace, calls(1)).await[0];
    let record = claim_one(&store).await;
    harness.clock().advance(MINUTE);
    let outcome = Outcome::Dead { reason: "rejected".to_owned(), error: error("upstream_rejected") };
    assert_eq!(settle(&store, &record, outcome).await, Settled::Applied);
    let found = job(&store, &workspace, id).await;
    assert_eq!((found.state, found.attempt), (JobState::Dead, 1));
    assert_eq!((found.dead_reason.as_deref(), found.error), (Some("rejected"), Some(error("upstream_rejected"))));
    assert_eq!(found.finished_at, Some(harness.clock().now()));
}

/// A job that is given back consumes no attempt; its fence grows all the same, and it is ready at once.
pub async fn inv_12_a_job_given_back_consumes_no_attempt(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let id = accept(&store, &workspace, calls(1)).await[0];
    let record = claim_one(&store).await;
    assert_eq!(settle(&store, &record, given_back()).await, Settled::Applied);
    let found = job(&store, &workspace, id).await;
    assert_eq!((found.state, found.attempt, found.lost_leases), (JobState::Queued, 0, 0));
    assert!(found.fence > record.fence, "the fence grew");
    let second = claim_one(&store).await;
    assert_eq!((second.job.id, second.attempt), (id, 1));
    assert!(second.fence > found.fence);
}

/// A job may be given back until a time.
pub async fn a_job_may_be_given_back_until_a_time(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let id = accept(&store, &workspace, calls(1)).await[0];
    let record = claim_one(&store).await;
    let later = harness.clock().now().after(MINUTE);
    settle(&store, &record, Outcome::GiveBack { run_at: Some(later) }).await;
    assert!(claim_ids(&store, 1).await.is_empty());
    assert_eq!(job(&store, &workspace, id).await.run_at, later);
    harness.clock().advance(MINUTE);
    assert_eq!(claim_ids(&store, 1).await, [id]);
}

/// A settlement under a fence that is no longer the job's changes nothing: no state, event, request or delivery.
pub async fn inv_03_a_stale_settle_changes_nothing(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let id = accept(&store, &workspace, calls(1)).await[0];
    let first = claim_one(&store).await;
    settle(&store, &first, given_back()).await;
    let second = claim_one(&store).await;
    let before = kinds(&store, &workspace).await;
    let late = NewJob { kind: JobKind::Callback, ..delivery("billing") };
    let stale = Settlement {
        events: vec![event("late")],
        request: Some(request(&id.to_string(), harness.clock().now())),
        delivery: Some(late.clone()),
        ..settlement(&first, succeeded())
    };
    assert_eq!(store.settle(vec![stale]).await.expect("settle"), [Settled::Stale]);
    let found = job(&store, &workspace, id).await;
    assert_eq!((found.state, found.fence, found.delivery), (JobState::Running, second.fence, None));
    assert_eq!(kinds(&store, &workspace).await, before);
    assert_eq!(store.request_about(&workspace, &id.to_string()).await.expect("request"), None);
    assert!(store.job(&workspace, late.id).await.expect("job").is_none());
    assert_eq!(settle(&store, &second, succeeded()).await, Settled::Applied);
}

/// A settlement that is repeated because its answer was lost changes nothing more.
pub async fn inv_32_a_repeated_settle_changes_nothing(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    for outcome in [succeeded(), died(), retry(harness.clock().now()), given_back()] {
        let id = accept(&store, &workspace, calls(1)).await[0];
        let record = claim_one(&store).await;
        assert_eq!(record.job.id, id);
        let end = Settlement { events: vec![event("end")], ..settlement(&record, outcome) };
        assert_eq!(store.settle(vec![end.clone()]).await.expect("settle"), [Settled::Applied]);
        let (after, told) = (job(&store, &workspace, id).await, kinds(&store, &workspace).await);
        assert_eq!(store.settle(vec![end]).await.expect("settle"), [Settled::Stale]);
        let again = job(&store, &workspace, id).await;
        assert_eq!((again.state, again.fence, again.attempt), (after.state, after.fence, after.attempt));
        assert_eq!(kinds(&store, &workspace).await, told);
        let event = cancelled_event(id);
        store.cancel(&workspace, id, event).await.expect("out of the way of the next");
    }
}

/// The end of an attempt, its events, its request record and its delivery are one.
pub async fn a_settlement_writes_what_it_causes(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let id = accept(&store, &workspace, calls(1)).await[0];
    let record = claim_one(&store).await;
    let outcome = NewJob { kind: JobKind::Callback, subject: Some(id.to_string()), ..delivery("billing") };
    let view = RequestView { kind: RequestKind::Job, ..request(&id.to_string(), harness.clock().now()) };
    let done = NewEvent::new(EventType::JobSucceeded, id, record.job.trace_id, json!({"attempt": 1}));
    let end = Settlement {
        events: vec![done, event("second")],
        request: Some(view.clone()),
        delivery: Some(outcome.clone()),
        ..settlement(&record, succeeded())
    };
    assert_eq!(store.settle(vec![end]).await.expect("settle"), [Settled::Applied]);
    let told = [EventType::JobQueued, EventType::JobStarted, EventType::JobSucceeded, EventType::ExecutionSucceeded];
    assert_eq!(kinds(&store, &workspace).await, told, "the delivery of an outcome has no events of its own");
    assert_eq!(store.request_about(&workspace, &id.to_string()).await.expect("request"), Some(view));
    assert_eq!(job(&store, &workspace, id).await.delivery, Some(outcome.id));
    let delivery = claim_one(&store).await;
    assert_eq!((delivery.job.id, delivery.job.subject), (outcome.id, Some(id.to_string())));
    assert_eq!(delivery.job.kind, JobKind::Callback);
}

/// Each settlement of a batch stands alone: a stale one does not touch the others, and answers keep their order.
pub async fn inv_33_settlements_of_a_batch_stand_alone(harness: &impl StoreHarness) {
    let store = harness.store().await;
    let (one, two) = (workspace("one-dev"), workspace("two-dev"));
    accept(&store, &one, calls(5)).await;
    accept(&store, &two, calls(5)).await;
    let claimed = claim(&store, claim_of(10)).await;
    assert_eq!(claimed.len(), 10);
    let ends = claimed.iter().enumerate().map(|(place, record)| {
        let mut end = settlement(record, if place % 2 == 0 { succeeded() } else { died() });
        if place % 3 == 0 {
            end.lease.fence += 1;
        }
        end
    });
    let settled = store.settle(ends.collect()).await.expect("settle");
    for (place, (record, settled)) in claimed.iter().zip(settled).enumerate() {
        let (expected, state) = match (place % 3, place % 2) {
            (0, _) => (Settled::Stale, JobState::Running),
            (_, 0) => (Settled::Applied, JobState::Succeeded),
            _ => (Settled::Applied, JobState::Dead),
        };
        assert_eq!(settled, expected);
        assert_eq!(job(&store, &record.workspace, record.job.id).await.state, state);
    }
}

/// Of many that settle one lease at the same time, one wins.
pub async fn inv_03_of_many_settles_one_wins(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    accept(&store, &workspace, calls(1)).await;
    let record = claim_one(&store).await;
    let settlers = (0..50).map(|number| {
        let (store, record) = (store.clone(), record.clone());
        async move {
            let outcome = if number % 2 == 0 { succeeded() } else { died() };
            let end = Settlement { events: vec![event("end")], ..settlement(&record, outcome) };
            store.settle(vec![end]).await.expect("settle").remove(0)
        }
    });
    let settled = at_once(settlers).await;
    assert_eq!(settled.iter().filter(|settled| **settled == Settled::Applied).count(), 1);
    let ends = events(&store, &workspace).await.into_iter().filter(|event| event.subject == "end").count();
    assert_eq!(ends, 1);
}

/// A queued job is cancelled, with its event, and is not claimed any more.
pub async fn a_queued_job_is_cancelled(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let later = harness.clock().now().after(MINUTE);
    let ids = accept(&store, &workspace, vec![call("crm"), NewJob { run_at: Some(later), ..call("crm") }]).await;
    for id in &ids {
        let before = job(&store, &workspace, *id).await;
        let cancelled = store.cancel(&workspace, *id, cancelled_event(*id)).await.expect("cancel");
        assert_eq!(cancelled, Cancelled::Done);
        let found = job(&store, &workspace, *id).await;
        assert_eq!((found.state, found.finished_at), (JobState::Cancelled, Some(harness.clock().now())));
        assert!(found.fence > before.fence, "the fence grew");
    }
    harness.clock().advance(MINUTE);
    assert!(claim_ids(&store, 10).await.is_empty());
    assert_eq!(store.next_due().await.expect("next due"), None);
    let told = kinds(&store, &workspace).await;
    assert_eq!(told[2..], [EventType::JobCancelled, EventType::JobCancelled]);
}

/// A running job is cancelled, and its settlement is stale.
pub async fn a_running_job_is_cancelled(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let id = accept(&store, &workspace, calls(1)).await[0];
    let record = claim_one(&store).await;
    assert_eq!(store.cancel(&workspace, id, cancelled_event(id)).await.expect("cancel"), Cancelled::Done);
    assert_eq!(settle(&store, &record, succeeded()).await, Settled::Stale);
    assert_eq!(job(&store, &workspace, id).await.state, JobState::Cancelled);
    harness.clock().advance(MINUTE * 10);
    let (ready, poisoned) = store.rescue("rescuer", MINUTE, 10).await.expect("rescue");
    assert_eq!((ready, poisoned.len()), (0, 0), "its lease has gone with it");
}

/// What has ended is not cancelled, and says how it ended; what is not there is not found. Neither tells an event.
pub async fn what_has_ended_is_not_cancelled(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let done = accept(&store, &workspace, calls(1)).await[0];
    settle(&store, &claim_one(&store).await, succeeded()).await;
    let dead = bury(&store, &workspace, calls(1)).await[0];
    let gone = accept(&store, &workspace, calls(1)).await[0];
    store.cancel(&workspace, gone, cancelled_event(gone)).await.expect("cancel");
    let told = kinds(&store, &workspace).await;
    for (id, state) in [(done, JobState::Succeeded), (dead, JobState::Dead), (gone, JobState::Cancelled)] {
        let cancelled = store.cancel(&workspace, id, cancelled_event(id)).await.expect("cancel");
        assert_eq!(cancelled, Cancelled::Ended(state));
    }
    let never = JobId::new();
    assert_eq!(store.cancel(&workspace, never, cancelled_event(never)).await.expect("cancel"), Cancelled::NotFound);
    assert_eq!(kinds(&store, &workspace).await, told);
}
