//! Ordering keys: in the order of acceptance, one at a time.

use std::collections::BTreeMap;
use std::time::Duration;

use orchestrator_core::clock::Clock;
use orchestrator_core::store::{Claim, NewEvent, NewJob, Settled};
use orchestrator_core::types::{EventType, TraceId};
use serde_json::json;

use super::StoreHarness;
use super::fixture::{
    Steps, accept, at_once, audit, call, claim, claim_ids, claim_of, claim_one, died, given_back, keyed, lane,
    lose_leases, quarantine, retry, settle, settlement, succeeded, workspace,
};

const MINUTE: Duration = Duration::from_secs(60);

/// Jobs of one key are taken one at a time, in the order of acceptance whatever their priority; others are not held.
pub async fn inv_10_jobs_of_a_key_run_one_at_a_time_in_order(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let urgent = NewJob { priority: 9, ..keyed("k") };
    let ids = accept(&store, &workspace, vec![keyed("k"), urgent, keyed("k")]).await;
    let free = accept(&store, &workspace, vec![NewJob { priority: 0, ..call("crm") }]).await;
    let other = accept(&store, &workspace, vec![keyed("K")]).await;
    let mut first = claim(&store, claim_of(10)).await;
    let mut taken: Vec<_> = first.iter().map(|record| record.job.id).collect();
    taken.sort();
    assert_eq!(taken, [ids[0], free[0], other[0]]);
    first.retain(|record| record.job.id == ids[0]);
    let mut running = first.remove(0);
    for next in &ids[1..] {
        assert!(claim_ids(&store, 10).await.is_empty(), "one of the key runs");
        assert_eq!(settle(&store, &running, succeeded()).await, Settled::Applied);
        running = claim_one(&store).await;
        assert_eq!(running.job.id, *next);
    }
}

/// The same key of another workspace is another key.
pub async fn inv_10_a_key_is_of_its_workspace(harness: &impl StoreHarness) {
    let store = harness.store().await;
    accept(&store, &workspace("one-dev"), vec![keyed("k")]).await;
    accept(&store, &workspace("two-dev"), vec![keyed("k")]).await;
    assert_eq!(claim_ids(&store, 10).await.len(), 2);
}

/// A head that is retried later holds those behind it.
pub async fn inv_10_a_retrying_head_holds_those_behind_it(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let ids = accept(&store, &workspace, vec![keyed("k"), keyed("k")]).await;
    let head = claim_one(&store).await;
    settle(&store, &head, retry(harness.clock().now().after(MINUTE))).await;
    assert!(claim_ids(&store, 10).await.is_empty());
    harness.clock().advance(MINUTE);
    assert_eq!(claim_ids(&store, 10).await, ids[..1]);
}

/// A head whose time has not come holds those behind it.
pub async fn inv_10_a_scheduled_head_holds_those_behind_it(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let later = harness.clock().now().after(MINUTE);
    let ids = accept(&store, &workspace, vec![NewJob { run_at: Some(later), ..keyed("k") }, keyed("k")]).await;
    assert!(claim_ids(&store, 10).await.is_empty());
    harness.clock().advance(MINUTE);
    assert_eq!(claim_ids(&store, 10).await, ids[..1]);
}

/// A head in a paused lane holds those behind it, also of other lanes.
pub async fn inv_10_a_paused_head_holds_those_behind_it(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let behind = NewJob { ordering_key: Some("k".to_owned()), ..call("mail") };
    accept(&store, &workspace, vec![keyed("k"), behind]).await;
    let paused = vec![lane(&workspace, false, "crm")];
    assert!(claim(&store, Claim { paused, ..claim_of(10) }).await.is_empty());
}

/// A job that is given back stays the head.
pub async fn inv_10_a_head_given_back_stays_the_head(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let ids = accept(&store, &workspace, vec![keyed("k"), keyed("k")]).await;
    for _ in 0..3 {
        let head = claim_one(&store).await;
        assert_eq!(head.job.id, ids[0]);
        settle(&store, &head, given_back()).await;
    }
    assert_eq!(claim_ids(&store, 10).await, ids[..1]);
}

/// A head that died lets those behind it go.
pub async fn inv_10_a_dead_head_lets_go(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let ids = accept(&store, &workspace, vec![keyed("k"), keyed("k")]).await;
    settle(&store, &claim_one(&store).await, died()).await;
    assert_eq!(claim_ids(&store, 10).await, ids[1..]);
}

/// A head that was cancelled lets those behind it go; one cancelled in the middle is passed over.
pub async fn inv_10_a_cancelled_head_lets_go(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let ids = accept(&store, &workspace, (0..5).map(|_| keyed("k")).collect()).await;
    claim_one(&store).await;
    for cancelled in [3, 0, 1] {
        let event = NewEvent::new(EventType::JobCancelled, ids[cancelled], TraceId::new(), json!(null));
        store.cancel(&workspace, ids[cancelled], event).await.expect("cancel");
    }
    let next = claim_one(&store).await;
    assert_eq!(next.job.id, ids[2]);
    settle(&store, &next, succeeded()).await;
    assert_eq!(claim_ids(&store, 10).await, ids[4..]);
}

/// A head that lost its lease runs next, in quarantine, and holds those behind it until it has ended.
pub async fn inv_10_a_head_that_lost_its_lease_holds_those_behind_it(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let ids = accept(&store, &workspace, vec![keyed("k"), keyed("k")]).await;
    claim_one(&store).await;
    lose_leases(&store, harness.clock()).await;
    assert!(claim_ids(&store, 10).await.is_empty());
    let head = claim(&store, quarantine()).await.remove(0);
    assert_eq!(head.job.id, ids[0]);
    assert!(claim_ids(&store, 10).await.is_empty());
    settle(&store, &head, succeeded()).await;
    assert_eq!(claim_ids(&store, 10).await, ids[1..]);
}

/// A dead job that is replayed does not run beside one of its key that runs already.
pub async fn inv_10_a_replayed_job_does_not_overlap_the_running_one(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let ids = accept(&store, &workspace, vec![keyed("k"), keyed("k")]).await;
    settle(&store, &claim_one(&store).await, died()).await;
    let second = claim_one(&store).await;
    assert_eq!(second.job.id, ids[1]);
    store.replay(&workspace, vec![(ids[0], None)], audit("dlq.replay")).await.expect("replay");
    assert!(claim_ids(&store, 10).await.is_empty(), "the second still runs");
    settle(&store, &second, succeeded()).await;
    assert_eq!(claim_ids(&store, 10).await, ids[..1]);
}

/// Many keys under many claimers, with retries and give-backs: each key's jobs end in order, and none overlap.
pub async fn inv_10_many_claimers_keep_the_order(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let mut order: BTreeMap<String, Vec<_>> = BTreeMap::new();
    for _ in 0..10 {
        let jobs: Vec<_> = (0..20).map(|number| keyed(&format!("key-{number}"))).collect();
        for job in &jobs {
            order.entry(job.ordering_key.clone().unwrap()).or_default().push(job.id);
        }
        accept(&store, &workspace, jobs).await;
    }
    let workers = (0..8).map(|worker| {
        let store = store.clone();
        let now = harness.clock().now();
        async move {
            let (mut ended, mut idle, mut steps) = (Vec::new(), 0, Steps::default());
            while idle < 3 {
                steps.take();
                let claimed = claim(&store, Claim { owner: format!("worker-{worker}"), ..claim_of(5) }).await;
                idle = if claimed.is_empty() { idle + 1 } else { 0 };
                for record in claimed {
                    tokio::task::yield_now().await;
                    let outcome = match (record.attempt, record.job.id.bits() % 3) {
                        (1, 0) => retry(now),
                        (1, 1) if record.fence < 3 => given_back(),
                        _ => succeeded(),
                    };
                    let last = matches!(outcome, orchestrator_core::store::Outcome::Succeeded { .. });
                    let mut end = settlement(&record, outcome);
                    end.events.push(NewEvent::new(
                        if last { EventType::JobSucceeded } else { EventType::JobRetrying },
                        record.job.id,
                        record.job.trace_id,
                        json!(null),
                    ));
                    assert_eq!(store.settle(vec![end]).await.expect("settle"), [Settled::Applied]);
                    if last {
                        ended.push(record.job.id);
                    }
                }
            }
            ended.len()
        }
    });
    let mut ended: usize = at_once(workers).await.into_iter().sum();
    // Those that went idle too early may have left some.
    let mut steps = Steps::default();
    while let Some(record) = claim(&store, claim_of(1)).await.pop() {
        steps.take();
        let mut end = settlement(&record, succeeded());
        end.events.push(NewEvent::new(EventType::JobSucceeded, record.job.id, TraceId::new(), json!(null)));
        store.settle(vec![end]).await.expect("settle");
        ended += 1;
    }
    assert_eq!(ended, 200);
    let told = super::fixture::events(&store, &workspace).await;
    for (key, jobs) in order {
        let names: Vec<String> = jobs.iter().map(ToString::to_string).collect();
        let (mut running, mut done): (Option<&str>, Vec<&str>) = (None, Vec::new());
        for event in told.iter().filter(|event| names.contains(&event.subject)) {
            match event.kind {
                EventType::JobStarted => assert_eq!(running.replace(&event.subject), None, "overlap in {key}"),
                EventType::JobRetrying => assert_eq!(running.take(), Some(event.subject.as_str())),
                EventType::JobSucceeded => {
                    assert_eq!(running.take(), Some(event.subject.as_str()));
                    done.push(&event.subject);
                }
                _ => {}
            }
        }
        assert_eq!(done, names, "{key}");
    }
}
