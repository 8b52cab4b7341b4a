//! Claims: what is ready, in which order, fair over workspaces, never to two.

use std::collections::BTreeSet;
use std::time::Duration;

use orchestrator_core::clock::Clock;
use orchestrator_core::store::{Claim, JobState, NewJob, QueueStats};
use orchestrator_core::types::{EventType, JobId, JobStatus, WorkspaceId};

use super::StoreHarness;
use super::fixture::{
    LEASE, Steps, accept, at_once, bury, call, calls, claim, claim_ids, claim_of, claim_one, delivery, drain, events,
    job, lane, retry, settle, succeeded, workspace,
};

const MINUTE: Duration = Duration::from_secs(60);

/// A claim counts the attempt, grows the fence and writes `job.started`, before any work can start.
pub async fn inv_04_a_claim_counts_the_attempt(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let id = accept(&store, &workspace, calls(1)).await[0];
    let before = job(&store, &workspace, id).await;
    let claimed = claim_one(&store).await;
    assert_eq!((claimed.job.id, claimed.state, claimed.attempt), (id, JobState::Running, 1));
    assert!(claimed.fence > before.fence, "the fence grew");
    let stored = job(&store, &workspace, id).await;
    assert_eq!((stored.state, stored.attempt, stored.fence), (JobState::Running, 1, claimed.fence));
    let found = events(&store, &workspace).await;
    assert_eq!(found.iter().map(|event| event.kind).collect::<Vec<_>>(), [EventType::JobQueued, EventType::JobStarted]);
    let started = claimed.started_event().expect("a call has events");
    assert_eq!((&found[1].subject, &found[1].data), (&started.subject, &started.data));
}

/// A job that runs, or has ended, is not claimed.
pub async fn what_runs_or_has_ended_is_not_claimed(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    accept(&store, &workspace, calls(1)).await;
    let record = claim_one(&store).await;
    assert!(claim(&store, claim_of(10)).await.is_empty());
    settle(&store, &record, succeeded()).await;
    bury(&store, &workspace, calls(1)).await;
    assert!(claim(&store, claim_of(10)).await.is_empty());
}

/// A claim takes no more than it asked for.
pub async fn a_claim_takes_no_more_than_asked_for(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    accept(&store, &workspace, calls(7)).await;
    let mut sizes = Vec::new();
    for max in [0, 3, 3, 3] {
        sizes.push(claim(&store, claim_of(max)).await.len());
    }
    assert_eq!(sizes, [0, 3, 3, 1]);
}

/// Higher priority first, and of the same priority in the order of acceptance, across calls and within one.
pub async fn priority_comes_before_the_order_of_acceptance(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let of = |priority: u8| NewJob { priority, ..call("crm") };
    let first = accept(&store, &workspace, vec![of(5), of(0), of(9), of(5)]).await;
    let second = accept(&store, &workspace, vec![of(9), of(5)]).await;
    let expected = [first[2], second[0], first[0], first[3], second[1], first[1]];
    assert_eq!(drain(&store).await, expected);
}

/// The order of acceptance is that of acceptance, not of the ids.
pub async fn the_order_is_of_acceptance_not_of_ids(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let (older, newer) = (call("crm"), call("crm"));
    assert!(older.id < newer.id);
    let expected = [newer.id, older.id];
    accept(&store, &workspace, vec![newer]).await;
    accept(&store, &workspace, vec![older]).await;
    assert_eq!(drain(&store).await, expected);
}

/// A job waits for its time by the store's clock: not before it, from it on.
pub async fn inv_36_a_time_is_honoured_by_the_stores_clock(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let due = harness.clock().now().after(MINUTE);
    let id = accept(&store, &workspace, vec![NewJob { run_at: Some(due), ..call("crm") }]).await[0];
    assert_eq!(job(&store, &workspace, id).await.status(harness.clock().now()), JobStatus::Scheduled);
    assert!(claim(&store, claim_of(1)).await.is_empty());
    harness.clock().advance(MINUTE - Duration::from_millis(1));
    assert!(claim(&store, claim_of(1)).await.is_empty());
    harness.clock().advance(Duration::from_millis(1));
    assert_eq!(claim_ids(&store, 1).await, [id]);
}

/// A clock that jumps forward by hours makes ready what is due, and nothing else.
pub async fn inv_36_a_jump_of_the_clock_makes_ready_what_is_due(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let now = harness.clock().now();
    let at = |minutes: u32| NewJob { run_at: Some(now.after(MINUTE * minutes)), ..call("crm") };
    let ids = accept(&store, &workspace, vec![at(300), at(30), at(60)]).await;
    harness.clock().advance(MINUTE * 90);
    assert_eq!(claim_ids(&store, 10).await.into_iter().collect::<BTreeSet<_>>(), BTreeSet::from([ids[1], ids[2]]));
}

/// The next time that anything waits for is told, over all workspaces; what is due already is not waiting for it.
pub async fn the_next_due_time_is_told(harness: &impl StoreHarness) {
    let store = harness.store().await;
    let now = harness.clock().now();
    assert_eq!(store.next_due().await.expect("next due"), None);
    accept(&store, &workspace("one-dev"), calls(1)).await;
    assert_eq!(store.next_due().await.expect("next due"), None);
    let at = |minutes: u32| NewJob { run_at: Some(now.after(MINUTE * minutes)), ..call("crm") };
    accept(&store, &workspace("one-dev"), vec![at(9)]).await;
    accept(&store, &workspace("two-dev"), vec![at(5)]).await;
    assert_eq!(store.next_due().await.expect("next due"), Some(now.after(MINUTE * 5)));
    harness.clock().advance(MINUTE * 6);
    assert_eq!(store.next_due().await.expect("next due"), Some(now.after(MINUTE * 9)));
    assert_eq!(claim(&store, claim_of(10)).await.len(), 2);
    harness.clock().advance(MINUTE * 6);
    assert_eq!(store.next_due().await.expect("next due"), None);
}

/// A retry counts as waiting for its time.
pub async fn the_next_due_time_knows_of_retries(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    accept(&store, &workspace, calls(1)).await;
    let record = claim_one(&store).await;
    let again = harness.clock().now().after(MINUTE);
    settle(&store, &record, retry(again)).await;
    assert_eq!(store.next_due().await.expect("next due"), Some(again));
    harness.clock().advance(MINUTE);
    let second = claim_one(&store).await;
    assert_eq!((second.job.id, second.attempt), (record.job.id, 2));
    assert!(second.fence > record.fence);
}

async fn beside_thousands(
    harness: &impl StoreHarness,
) -> (std::sync::Arc<dyn orchestrator_core::store::Store>, BTreeSet<JobId>) {
    let store = harness.store().await;
    for _ in 0..4 {
        let jobs = (0..500).map(|_| NewJob { priority: 9, ..call("crm") }).collect();
        accept(&store, &workspace("noisy-dev"), jobs).await;
    }
    assert_eq!(claim(&store, claim_of(7)).await.len(), 7);
    let quiet = (0..10).map(|_| NewJob { priority: 0, ..call("crm") }).collect();
    let quiet = accept(&store, &workspace("quiet-dev"), quiet).await;
    (store, quiet.into_iter().collect())
}

/// Of the first hundred claimed after B submits ten beside A's thousands, all ten are among them: in one claim.
pub async fn inv_14_a_backlog_does_not_delay_a_neighbour(harness: &impl StoreHarness) {
    let (store, quiet) = beside_thousands(harness).await;
    let claimed: BTreeSet<_> = claim_ids(&store, 100).await.into_iter().collect();
    assert_eq!(claimed.len(), 100);
    assert!(quiet.is_subset(&claimed));
}

/// The turn goes on from claim to claim: small claims are as fair as a large one.
pub async fn inv_14_small_claims_take_turns_too(harness: &impl StoreHarness) {
    for size in [1, 3, 10] {
        let (store, quiet) = beside_thousands(harness).await;
        let mut claimed = BTreeSet::new();
        // In turn, ten of B need ten of A beside them, and the claim in which they end.
        let mut steps = Steps::default();
        while claimed.len() < 20 + size {
            steps.take();
            claimed.extend(claim_ids(&store, size).await);
        }
        assert!(quiet.is_subset(&claimed), "claims of {size}");
    }
}

/// Each of many workspaces gets its turn before any gets a second one.
pub async fn inv_14_every_workspace_has_its_turn(harness: &impl StoreHarness) {
    let store = harness.store().await;
    let workspaces: Vec<WorkspaceId> = (0..30).map(|number| workspace(&format!("w{number}-dev"))).collect();
    for workspace in &workspaces {
        accept(&store, workspace, calls(5)).await;
    }
    for _ in 0..5 {
        let mut served = BTreeSet::new();
        for _ in 0..6 {
            served.extend(claim(&store, claim_of(5)).await.into_iter().map(|record| record.workspace));
        }
        assert_eq!(served.len(), 30, "thirty claimed are one of each");
    }
}

/// No claim takes more of one workspace than it may.
pub async fn a_claim_takes_no_more_of_one_workspace_than_it_may(harness: &impl StoreHarness) {
    let store = harness.store().await;
    accept(&store, &workspace("one-dev"), calls(10)).await;
    accept(&store, &workspace("two-dev"), calls(2)).await;
    let claimed = claim(&store, Claim { per_workspace: 3, ..claim_of(100) }).await;
    let of = |name: &str| claimed.iter().filter(|record| record.workspace == workspace(name)).count();
    assert_eq!((of("one-dev"), of("two-dev"), claimed.len()), (3, 2, 5));
}

/// Nothing is taken of a workspace that is full, and its place goes to others.
pub async fn a_full_workspace_is_passed_over(harness: &impl StoreHarness) {
    let store = harness.store().await;
    accept(&store, &workspace("one-dev"), calls(10)).await;
    let two = accept(&store, &workspace("two-dev"), calls(2)).await;
    let claimed = claim(&store, Claim { full: vec![workspace("one-dev")], ..claim_of(5) }).await;
    let ids: BTreeSet<_> = claimed.iter().map(|record| record.job.id).collect();
    assert_eq!(ids, two.into_iter().collect());
    assert_eq!(claim(&store, claim_of(100)).await.len(), 10, "once it is not, its jobs are taken");
}

/// Nothing is taken of a paused lane: a connector's calls, or a callback's deliveries, of one workspace.
pub async fn a_paused_lane_is_passed_over(harness: &impl StoreHarness) {
    let store = harness.store().await;
    let (one, two) = (workspace("one-dev"), workspace("two-dev"));
    let paused = accept(&store, &one, vec![call("crm"), delivery("billing")]).await;
    let free = accept(&store, &one, vec![call("billing"), delivery("crm"), call("mail")]).await;
    let other = accept(&store, &two, vec![call("crm"), delivery("billing")]).await;
    let lanes = vec![lane(&one, false, "crm"), lane(&one, true, "billing")];
    let claimed = claim(&store, Claim { paused: lanes, ..claim_of(100) }).await;
    let ids: BTreeSet<_> = claimed.iter().map(|record| record.job.id).collect();
    assert_eq!(ids, free.into_iter().chain(other).collect());
    assert_eq!(claim_ids(&store, 100).await.into_iter().collect::<BTreeSet<_>>(), paused.into_iter().collect());
}

/// Of a limited lane no more are taken than the claim says, by priority; what stands behind them in other lanes is.
pub async fn of_a_limited_lane_only_so_many_are_taken(harness: &impl StoreHarness) {
    let store = harness.store().await;
    let (one, two) = (workspace("one-dev"), workspace("two-dev"));
    let jobs = (0..10).map(|number| NewJob { priority: number, ..call("crm") }).collect();
    let of_crm = accept(&store, &one, jobs).await;
    let free = accept(&store, &one, vec![NewJob { priority: 0, ..call("mail") }]).await;
    let shut = accept(&store, &one, vec![delivery("crm")]).await;
    let other = accept(&store, &two, vec![call("crm"), call("crm")]).await;
    let limited = vec![(lane(&one, false, "crm"), 3), (lane(&one, true, "crm"), 0)];
    let claimed = claim(&store, Claim { limited, ..claim_of(100) }).await;
    let ids: BTreeSet<_> = claimed.iter().map(|record| record.job.id).collect();
    assert_eq!(ids, of_crm[7..].iter().copied().chain(free).chain(other).collect());
    let rest: BTreeSet<_> = claim_ids(&store, 100).await.into_iter().collect();
    assert_eq!(rest, of_crm[..7].iter().copied().chain(shut).collect());
}

/// Thousands that are paused, in front of one that is due, do not hide it.
pub async fn inv_35_paused_rows_do_not_hide_what_is_due(harness: &impl StoreHarness) {
    let store = harness.store().await;
    let (one, two) = (workspace("one-dev"), workspace("two-dev"));
    for _ in 0..4 {
        let jobs = (0..500).map(|_| NewJob { priority: 9, ..call("stuck") }).collect();
        accept(&store, &one, jobs).await;
    }
    accept(&store, &two, (0..500).map(|_| call("stuck")).collect()).await;
    let due = accept(&store, &one, vec![NewJob { priority: 0, ..call("crm") }]).await;
    let lanes = vec![lane(&one, false, "stuck"), lane(&two, false, "stuck")];
    let claimed = claim(&store, Claim { paused: lanes, ..claim_of(1) }).await;
    assert_eq!(claimed.iter().map(|record| record.job.id).collect::<Vec<_>>(), due);
}

/// Workspaces of which every lane is paused, in front of one that has something to do, take none of its places.
pub async fn inv_14_paused_workspaces_do_not_hide_a_neighbour(harness: &impl StoreHarness) {
    let store = harness.store().await;
    let stuck = ["five-dev", "four-dev", "one-dev"].map(workspace);
    for one in &stuck {
        accept(&store, one, vec![call("crm"), delivery("billing")]).await;
    }
    let due = accept(&store, &workspace("two-dev"), vec![call("crm")]).await;
    let paused = stuck.iter().map(|one| lane(one, false, "crm")).collect();
    let limited = stuck.iter().map(|one| (lane(one, true, "billing"), 0)).collect();
    let claimed = claim(&store, Claim { paused, limited, ..claim_of(1) }).await;
    assert_eq!(claimed.iter().map(|record| record.job.id).collect::<Vec<_>>(), due);
}

/// Thousands that wait for their time, in front of one that is due, do not hide it.
pub async fn inv_35_scheduled_rows_do_not_hide_what_is_due(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let later = harness.clock().now().after(MINUTE);
    for _ in 0..4 {
        let jobs = (0..500).map(|_| NewJob { run_at: Some(later), priority: 9, ..call("crm") }).collect();
        accept(&store, &workspace, jobs).await;
    }
    let due = accept(&store, &workspace, vec![NewJob { priority: 0, ..call("crm") }]).await;
    assert_eq!(claim_ids(&store, 5).await, due);
}

/// Claimers at the same time never share a job, and together they get all.
pub async fn inv_03_claimers_never_share_a_job(harness: &impl StoreHarness) {
    let store = harness.store().await;
    let mut accepted = BTreeSet::new();
    for number in 0..4 {
        let workspace = workspace(&format!("w{number}-dev"));
        accepted.extend(accept(&store, &workspace, calls(100)).await);
    }
    let claimers = (0..20).map(|number| {
        let store = store.clone();
        async move {
            let (mut taken, mut steps) = (Vec::new(), Steps::default());
            loop {
                steps.take();
                let mine = claim(&store, Claim { owner: format!("worker-{number}"), ..claim_of(7) }).await;
                if mine.is_empty() {
                    return taken;
                }
                taken.extend(mine.into_iter().map(|record| (record.job.id, record.attempt)));
            }
        }
    });
    let taken: Vec<_> = at_once(claimers).await.into_iter().flatten().collect();
    assert_eq!(taken.len(), 400, "none was handed out twice");
    assert!(taken.iter().all(|(_, attempt)| *attempt == 1));
    assert_eq!(taken.into_iter().map(|(id, _)| id).collect::<BTreeSet<_>>(), accepted);
}

/// The queue tells how it stands, over all workspaces.
pub async fn the_queue_tells_how_it_stands(harness: &impl StoreHarness) {
    let store = harness.store().await;
    assert_eq!(store.queue_stats().await.expect("stats"), QueueStats::default());
    let later = harness.clock().now().after(MINUTE * 10);
    bury(&store, &workspace("one-dev"), calls(3)).await;
    accept(&store, &workspace("one-dev"), calls(2)).await;
    claim(&store, claim_of(2)).await;
    accept(&store, &workspace("two-dev"), vec![NewJob { run_at: Some(later), ..call("crm") }]).await;
    accept(&store, &workspace("two-dev"), calls(1)).await;
    harness.clock().advance(Duration::from_secs(10));
    accept(&store, &workspace("one-dev"), calls(3)).await;
    let head = super::fixture::keyed("k");
    accept(&store, &workspace("one-dev"), vec![head, super::fixture::keyed("k")]).await;
    let stats = store.queue_stats().await.expect("stats");
    assert_eq!((stats.ready, stats.waiting, stats.running, stats.dead), (5, 2, 2, 3));
    assert_eq!(stats.oldest_ready, Duration::from_secs(10));
    assert_eq!(stats.oldest_expired_lease, Duration::ZERO);
    harness.clock().advance(LEASE);
    let stats = store.queue_stats().await.expect("stats");
    assert_eq!(stats.oldest_expired_lease, Duration::from_secs(10));
    assert_eq!(stats.oldest_ready, LEASE + Duration::from_secs(10));
}
