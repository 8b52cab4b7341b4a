//! Jobs by name: claimed because a hint named them, and named because somebody should run them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use orchestrator_core::clock::Clock;
use orchestrator_core::store::{ClaimNamed, JobRecord, JobState, NewJob, Store};
use orchestrator_core::types::{EventType, JobId, WorkspaceId};

use super::StoreHarness;
use super::fixture::{
    LEASE, Steps, accept, at_once, bury, call, calls, claim, claim_ids, claim_of, claim_one, count, delivery, job,
    keyed, lane, settle, succeeded, workspace,
};

const MINUTE: Duration = Duration::from_secs(60);

async fn claim_named(store: &Arc<dyn Store>, jobs: &[(&WorkspaceId, JobId)]) -> Vec<JobRecord> {
    let jobs = jobs.iter().map(|(workspace, job)| ((*workspace).clone(), *job)).collect();
    let claim = ClaimNamed { owner: "worker-1".to_owned(), lease: LEASE, jobs };
    let claimed = store.claim_named(claim).await.expect("claim by name");
    claimed.into_iter().map(|claimed| claimed.record).collect()
}

fn ids(records: &[JobRecord]) -> Vec<JobId> {
    records.iter().map(|record| record.job.id).collect()
}

/// It counts the attempt, grows the fence, writes `job.started`, and holds a lease like any other.
pub async fn inv_04_a_named_job_is_claimed_and_counted(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let id = accept(&store, &workspace, calls(1)).await[0];
    let before = job(&store, &workspace, id).await;
    let claimed = claim_named(&store, &[(&workspace, id)]).await.remove(0);
    assert_eq!((claimed.job.id, claimed.state, claimed.attempt), (id, JobState::Running, 1));
    assert!(claimed.fence > before.fence, "the fence grew");
    assert_eq!(claimed.job.input, before.job.input);
    assert_eq!(count(&store, &workspace, EventType::JobStarted).await, 1);
    harness.clock().advance(LEASE + MINUTE);
    assert_eq!(store.rescue("other", LEASE, 10).await.expect("rescue").0, 1);
}

/// In the order of their naming, one that is named twice once, and nothing that is not named.
pub async fn what_is_named_is_taken_in_that_order_and_once(harness: &impl StoreHarness) {
    let (store, shop, mall) = (harness.store().await, workspace("shop-dev"), workspace("mall-dev"));
    let (of_shop, of_mall) = (accept(&store, &shop, calls(3)).await, accept(&store, &mall, calls(1)).await);
    let wanted = [(&shop, of_shop[2]), (&mall, of_mall[0]), (&shop, of_shop[0]), (&shop, of_shop[2])];
    assert_eq!(ids(&claim_named(&store, &wanted).await), [of_shop[2], of_mall[0], of_shop[0]]);
    assert!(claim_named(&store, &wanted).await.is_empty(), "they run");
    assert!(claim_named(&store, &[]).await.is_empty());
    assert_eq!(claim_ids(&store, 10).await, [of_shop[1]]);
}

/// A hint of what does not exist, runs, or has ended claims nothing, and writes nothing; the others of its batch are had.
pub async fn inv_05_a_forged_hint_claims_nothing(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let dead = bury(&store, &workspace, calls(1)).await[0];
    let cancelled = accept(&store, &workspace, calls(1)).await[0];
    store.cancel(&workspace, cancelled, super::fixture::event("cancelled")).await.expect("cancel");
    accept(&store, &workspace, calls(1)).await;
    let ended = claim_one(&store).await;
    settle(&store, &ended, succeeded()).await;
    accept(&store, &workspace, calls(1)).await;
    let running = claim_one(&store).await;
    let good = accept(&store, &workspace, calls(1)).await[0];
    let started = count(&store, &workspace, EventType::JobStarted).await;
    let wanted = [JobId::new(), dead, cancelled, ended.job.id, running.job.id, good, JobId::from_bits(0)];
    let wanted: Vec<_> = wanted.iter().map(|id| (&workspace, *id)).collect();
    assert_eq!(ids(&claim_named(&store, &wanted).await), [good]);
    assert_eq!(count(&store, &workspace, EventType::JobStarted).await, started + 1);
    let untouched = job(&store, &workspace, running.job.id).await;
    assert_eq!((untouched.attempt, untouched.fence), (running.attempt, running.fence));
}

/// The id of one workspace under the name of another claims nothing of either.
pub async fn inv_13_a_job_is_not_claimed_under_a_foreign_name(harness: &impl StoreHarness) {
    let (store, shop, mall) = (harness.store().await, workspace("shop-dev"), workspace("mall-dev"));
    let id = accept(&store, &shop, calls(1)).await[0];
    accept(&store, &mall, calls(1)).await;
    let stranger = workspace("nobody-dev");
    assert!(claim_named(&store, &[(&mall, id), (&stranger, id)]).await.is_empty());
    assert_eq!(job(&store, &shop, id).await.attempt, 0);
}

/// Not before its time by the store's clock, and from it on without another claim in between.
pub async fn inv_36_a_named_job_waits_for_its_time(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let due = harness.clock().now().after(MINUTE);
    let id = accept(&store, &workspace, vec![NewJob { run_at: Some(due), ..call("crm") }]).await[0];
    assert!(claim_named(&store, &[(&workspace, id)]).await.is_empty());
    harness.clock().advance(MINUTE - Duration::from_millis(1));
    assert!(claim_named(&store, &[(&workspace, id)]).await.is_empty());
    harness.clock().advance(Duration::from_millis(1));
    assert_eq!(ids(&claim_named(&store, &[(&workspace, id)]).await), [id]);
}

/// Of an ordering key only the first unfinished one is to be had, and none while it runs.
pub async fn inv_10_a_named_job_waits_for_those_before_it(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let jobs = accept(&store, &workspace, vec![keyed("k"), keyed("k")]).await;
    let both = [(&workspace, jobs[1]), (&workspace, jobs[0])];
    assert!(claim_named(&store, &both[..1]).await.is_empty());
    let first = claim_named(&store, &both).await.remove(0);
    assert_eq!(first.job.id, jobs[0]);
    assert!(claim_named(&store, &both).await.is_empty(), "the first runs");
    settle(&store, &first, succeeded()).await;
    assert_eq!(ids(&claim_named(&store, &both).await), [jobs[1]]);
}

/// What ever lost a lease runs alone: a hint does not bring it among the others.
pub async fn inv_04_what_lost_a_lease_is_not_claimed_by_name(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let id = accept(&store, &workspace, calls(1)).await[0];
    claim_one(&store).await;
    harness.clock().advance(LEASE + MINUTE);
    assert_eq!(store.rescue("other", LEASE, 10).await.expect("rescue").0, 1);
    assert!(claim_named(&store, &[(&workspace, id)]).await.is_empty());
    assert!(store.ready_heads(None, 10, 10).await.expect("heads").is_empty());
}

/// Claimers by name and without one, all at once: each job goes to one of them.
pub async fn inv_03_named_and_plain_claims_never_share_a_job(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let jobs = accept(&store, &workspace, calls(100)).await;
    let claimers = (0..20_usize).map(|number| {
        let (store, workspace, jobs) = (store.clone(), workspace.clone(), jobs.clone());
        async move {
            if number % 2 == 0 {
                let wanted: Vec<_> = jobs.iter().skip(number * 2).take(30).map(|id| (&workspace, *id)).collect();
                claim_named(&store, &wanted).await
            } else {
                claim(&store, claim_of(10)).await
            }
        }
    });
    let taken: Vec<JobId> = at_once(claimers).await.iter().flat_map(|records| ids(records)).collect();
    assert!(taken.len() >= 100, "{} were taken", taken.len());
    assert_eq!(taken.iter().collect::<BTreeSet<_>>().len(), taken.len());
}

/// The first few of each lane, best first: a deep lane hides no other.
pub async fn the_heads_are_the_first_of_each_lane(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let deep = accept(&store, &workspace, calls(50)).await;
    let urgent = accept(&store, &workspace, vec![NewJob { priority: 9, ..call("crm") }]).await[0];
    let other = accept(&store, &workspace, vec![delivery("product")]).await[0];
    let heads = store.ready_heads(None, 10, 3).await.expect("heads");
    let of = |delivery, target| {
        let lane = Some(lane(&workspace, delivery, target));
        heads.iter().filter(|hint| hint.lane() == lane).map(|hint| hint.job).collect::<Vec<_>>()
    };
    assert_eq!(of(false, "crm"), [urgent, deep[0], deep[1]]);
    assert_eq!(of(true, "product"), [other]);
    assert_eq!((heads.len(), heads[0].priority), (4, 9));
}

/// Page by page every workspace comes once, in the order of names.
pub async fn the_heads_are_paged_by_workspace(harness: &impl StoreHarness) {
    let store = harness.store().await;
    let names: Vec<_> = (0..7).map(|number| workspace(&format!("shop{number}-dev"))).collect();
    for name in names.iter().rev() {
        accept(&store, name, calls(2)).await;
    }
    let (mut found, mut after, mut steps) = (Vec::new(), None, Steps::default());
    loop {
        steps.take();
        let page = store.ready_heads(after.as_ref(), 3, 1).await.expect("heads");
        let Some(last) = page.last() else { break };
        after = Some(last.workspace.clone());
        assert!(page.len() <= 3);
        found.extend(page.into_iter().map(|hint| hint.workspace));
    }
    assert_eq!(found, names);
}

/// What runs, waits for its time, or for an earlier one of its key, is no head; what has become due is.
pub async fn the_heads_are_what_could_be_claimed(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    accept(&store, &workspace, calls(1)).await;
    claim_one(&store).await;
    let due = harness.clock().now().after(MINUTE);
    let later = accept(&store, &workspace, vec![NewJob { run_at: Some(due), ..call("crm") }]).await[0];
    let of_key = accept(&store, &workspace, vec![keyed("k"), keyed("k")]).await[0];
    let heads = async || {
        let heads = store.ready_heads(None, 10, 10).await.expect("heads");
        heads.iter().map(|hint| hint.job).collect::<BTreeSet<_>>()
    };
    assert_eq!(heads().await, BTreeSet::from([of_key]));
    harness.clock().advance(MINUTE);
    assert_eq!(heads().await, BTreeSet::from([of_key, later]));
    assert_eq!(heads().await.len(), 2, "looking takes nothing");
}
