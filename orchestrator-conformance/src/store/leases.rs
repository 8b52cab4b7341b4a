//! Leases: renewed, lost, rescued; what keeps losing them is poison.

use std::time::Duration;

use orchestrator_core::clock::Clock;
use orchestrator_core::store::{Claim, HeldLease, JobState, MAX_LOST_LEASES, Settled};
use orchestrator_core::types::{EventType, JobId};

use super::StoreHarness;
use super::fixture::{
    LEASE, accept, bury, calls, claim, claim_ids, claim_of, claim_one, count, died, events, given_back, job, lease,
    lose_leases, quarantine, retry, settle, succeeded, workspace,
};

const SECOND: Duration = Duration::from_secs(1);

/// A lease that was renewed lasts from then on; one that was not, from the claim.
pub async fn a_renewed_lease_lasts(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    accept(&store, &workspace, calls(2)).await;
    let claimed = claim(&store, claim_of(2)).await;
    harness.clock().advance(LEASE - SECOND);
    assert_eq!(store.renew(vec![lease(&claimed[0])], LEASE).await.expect("renew"), []);
    harness.clock().advance(SECOND * 2);
    let (ready, _) = store.rescue("rescuer", LEASE, 10).await.expect("rescue");
    assert_eq!(ready, 1);
    assert_eq!(job(&store, &workspace, claimed[0].job.id).await.state, JobState::Running);
    assert_eq!(job(&store, &workspace, claimed[1].job.id).await.state, JobState::Queued);
    harness.clock().advance(LEASE);
    let (ready, _) = store.rescue("rescuer", LEASE, 10).await.expect("rescue");
    assert_eq!(ready, 1, "a renewal lasts as long as it says");
}

/// Who renews is told which leases are lost: settled, rescued, cancelled, of another fence, of no job.
pub async fn who_renews_is_told_what_is_lost(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    accept(&store, &workspace, calls(4)).await;
    let claimed = claim(&store, claim_of(4)).await;
    settle(&store, &claimed[1], succeeded()).await;
    settle(&store, &claimed[2], given_back()).await;
    claim_one(&store).await;
    let mut held: Vec<_> = claimed.iter().map(lease).collect();
    held[3].fence += 1;
    held.push(HeldLease { workspace: workspace.clone(), job: JobId::new(), fence: 1 });
    let lost = store.renew(held.clone(), LEASE).await.expect("renew");
    assert_eq!(lost, held[1..]);
}

/// A lease does not end before its time, by the store's clock.
pub async fn inv_36_a_lease_ends_by_the_stores_clock(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let id = accept(&store, &workspace, calls(1)).await[0];
    claim_one(&store).await;
    harness.clock().advance(LEASE - SECOND);
    assert_eq!(store.rescue("rescuer", LEASE, 10).await.expect("rescue").0, 0);
    assert_eq!(job(&store, &workspace, id).await.state, JobState::Running);
    harness.clock().advance(SECOND * 2);
    assert_eq!(store.rescue("rescuer", LEASE, 10).await.expect("rescue").0, 1);
    assert_eq!(store.rescue("rescuer", LEASE, 10).await.expect("rescue").0, 0, "once");
}

/// A job that lost its lease is ready again, counted, under a higher fence, and its worker's settle is stale.
pub async fn inv_03_a_rescued_jobs_first_worker_settles_nothing(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let id = accept(&store, &workspace, calls(1)).await[0];
    let first = claim_one(&store).await;
    let (ready, poisoned) = lose_leases(&store, harness.clock()).await;
    assert_eq!((ready, poisoned.len()), (1, 0));
    let found = job(&store, &workspace, id).await;
    assert_eq!((found.state, found.lost_leases, found.attempt), (JobState::Queued, 1, 1));
    assert!(found.fence > first.fence);
    assert_eq!(settle(&store, &first, succeeded()).await, Settled::Stale);
    let second = claim(&store, quarantine()).await.remove(0);
    assert_eq!((second.job.id, second.attempt), (id, 2));
    assert!(second.fence > found.fence);
    assert_eq!(settle(&store, &first, died()).await, Settled::Stale);
    assert_eq!(settle(&store, &second, succeeded()).await, Settled::Applied);
    assert_eq!(settle(&store, &first, retry(harness.clock().now())).await, Settled::Stale);
    assert_eq!(job(&store, &workspace, id).await.state, JobState::Succeeded);
}

/// A lost lease is told by its event.
pub async fn a_lost_lease_is_told(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let id = accept(&store, &workspace, calls(1)).await[0];
    claim_one(&store).await;
    lose_leases(&store, harness.clock()).await;
    let told = job(&store, &workspace, id).await.lost_lease_event().expect("a call has events");
    let found = events(&store, &workspace).await.pop().expect("an event");
    assert_eq!((found.kind, found.subject, found.data), (EventType::JobRetrying, told.subject, told.data));
    assert_eq!(found.time, harness.clock().now());
}

/// A lease that has ended but was not rescued can still be settled: the fence decides, not the time.
pub async fn an_ended_lease_that_nobody_took_still_settles(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    accept(&store, &workspace, calls(1)).await;
    let record = claim_one(&store).await;
    harness.clock().advance(LEASE * 2);
    assert_eq!(settle(&store, &record, succeeded()).await, Settled::Applied);
    assert_eq!(lose_leases(&store, harness.clock()).await.0, 0);
}

/// What lost a lease is claimed in quarantine alone, one at a time; what did not, never there.
pub async fn inv_04_what_lost_a_lease_is_claimed_apart(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let lost = accept(&store, &workspace, calls(2)).await;
    claim(&store, claim_of(2)).await;
    lose_leases(&store, harness.clock()).await;
    let sound = accept(&store, &workspace, calls(2)).await;
    let apart = claim(&store, Claim { max: 10, ..quarantine() }).await;
    assert_eq!(apart.iter().map(|record| record.job.id).collect::<Vec<_>>(), lost[..1], "one, however many are wanted");
    assert_eq!(claim_ids(&store, 10).await, sound);
    let apart = claim(&store, quarantine()).await;
    assert_eq!(apart.iter().map(|record| record.job.id).collect::<Vec<_>>(), lost[1..]);
    assert!(claim(&store, quarantine()).await.is_empty());
}

/// The third lost lease ends it: the job is handed to the rescuer, under a fresh lease and no new attempt.
pub async fn inv_04_a_job_that_lost_three_leases_is_poison(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let id = accept(&store, &workspace, calls(1)).await[0];
    claim_one(&store).await;
    for _ in 1..MAX_LOST_LEASES {
        assert_eq!(lose_leases(&store, harness.clock()).await.0, 1);
        assert_eq!(claim(&store, quarantine()).await.len(), 1);
    }
    let told = events(&store, &workspace).await.len();
    let before = job(&store, &workspace, id).await;
    let (ready, mut poisoned) = lose_leases(&store, harness.clock()).await;
    assert_eq!((ready, poisoned.len()), (0, 1));
    let poison = poisoned.remove(0);
    assert_eq!((poison.job.id, poison.state, poison.lost_leases), (id, JobState::Running, MAX_LOST_LEASES));
    assert_eq!(poison.attempt, before.attempt, "no new attempt");
    assert!(poison.fence > before.fence);
    assert_eq!(events(&store, &workspace).await.len(), told, "its end is told when it is settled");
    assert_eq!(settle(&store, &before, succeeded()).await, Settled::Stale);
    assert!(claim(&store, quarantine()).await.is_empty());
    assert_eq!(settle(&store, &poison, died()).await, Settled::Applied);
    assert_eq!(job(&store, &workspace, id).await.state, JobState::Dead);
    assert_eq!(count(&store, &workspace, EventType::JobStarted).await, 3);
    assert_eq!(count(&store, &workspace, EventType::JobRetrying).await, 2);
}

/// A rescuer that dies before it settles what is poison does not hide it: the next rescue hands it out again.
pub async fn inv_04_poison_is_handed_out_until_it_is_settled(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let id = accept(&store, &workspace, calls(1)).await[0];
    claim_one(&store).await;
    for _ in 1..MAX_LOST_LEASES {
        lose_leases(&store, harness.clock()).await;
        claim(&store, quarantine()).await;
    }
    let first = lose_leases(&store, harness.clock()).await.1.remove(0);
    assert!(store.rescue("rescuer", LEASE, 10).await.expect("rescue").1.is_empty(), "its fresh lease holds");
    let second = lose_leases(&store, harness.clock()).await.1.remove(0);
    assert_eq!((first.job.id, second.job.id), (id, id));
    assert_eq!(settle(&store, &first, died()).await, Settled::Stale);
    assert_eq!(settle(&store, &second, died()).await, Settled::Applied);
}

/// A rescue takes no more than it was told to, and the next one goes on.
pub async fn inv_35_a_rescue_is_bounded_and_goes_on(harness: &impl StoreHarness) {
    let store = harness.store().await;
    for number in 0..5 {
        accept(&store, &workspace(&format!("w{number}-dev")), calls(5)).await;
    }
    assert_eq!(claim(&store, claim_of(25)).await.len(), 25);
    harness.clock().advance(LEASE * 2);
    let mut rescued = Vec::new();
    for _ in 0..4 {
        rescued.push(store.rescue("rescuer", LEASE, 10).await.expect("rescue").0);
    }
    assert_eq!(rescued, [10, 10, 5, 0]);
}

/// A replayed job has a clean slate: it is not in quarantine any more.
pub async fn a_replayed_job_leaves_quarantine(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let id = accept(&store, &workspace, calls(1)).await[0];
    claim_one(&store).await;
    lose_leases(&store, harness.clock()).await;
    let record = claim(&store, quarantine()).await.remove(0);
    settle(&store, &record, died()).await;
    let audit = super::fixture::audit("dlq.replay");
    store.replay(&workspace, vec![(id, None)], audit).await.expect("replay");
    assert!(claim(&store, quarantine()).await.is_empty());
    assert_eq!(claim_ids(&store, 10).await, [id]);
    bury(&store, &workspace, calls(1)).await;
}
