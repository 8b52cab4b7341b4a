//! Dead letters: listed, replayed, purged, each moved once.

use std::time::Duration;

use orchestrator_core::clock::Clock;
use orchestrator_core::store::{DeadFilter, JobKind, JobState, Moved, NewJob, Settled};
use orchestrator_core::types::{EventType, JobId};

use super::StoreHarness;
use super::fixture::{
    Steps, accept, at_once, audit, audits, bury, call, calls, claim_ids, claim_one, count, dead, delivery, events, job,
    name, newest_first, owner, settle, succeeded, workspace,
};

const MINUTE: Duration = Duration::from_secs(60);

/// The list shows what is dead, of every kind, newest first, and pages by id.
pub async fn the_list_shows_what_is_dead(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let callback = NewJob { kind: JobKind::Callback, ..delivery("billing") };
    let mut ids = bury(&store, &workspace, vec![call("crm"), delivery("billing"), callback]).await;
    ids.extend(bury(&store, &workspace, calls(2)).await);
    accept(&store, &workspace, calls(1)).await;
    settle(&store, &claim_one(&store).await, succeeded()).await;
    accept(&store, &workspace, calls(2)).await;
    claim_one(&store).await;
    let (mut found, mut before, mut steps) = (Vec::new(), None, Steps::default());
    loop {
        steps.take();
        let page = store.dead(&workspace, &DeadFilter::default(), before, 2).await.expect("dead");
        let Some(last) = page.last() else { break };
        assert!(page.len() <= 2);
        assert!(page.iter().all(|record| record.state == JobState::Dead));
        before = Some(last.job.id);
        found.extend(page.into_iter().map(|record| record.job.id));
    }
    assert_eq!(found, newest_first(ids));
}

/// The list filters by connector, by callback, and by the time of death.
pub async fn the_list_filters(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let start = harness.clock().now();
    let crm = bury(&store, &workspace, vec![call("crm")]).await;
    harness.clock().advance(MINUTE * 2);
    let mail = bury(&store, &workspace, vec![call("mail")]).await;
    harness.clock().advance(MINUTE * 2);
    let billing = bury(&store, &workspace, vec![delivery("billing")]).await;
    let of = |connector: Option<&str>, callback: Option<&str>| DeadFilter {
        connector: connector.map(name),
        callback: callback.map(name),
        ..DeadFilter::default()
    };
    assert_eq!(dead(&store, &workspace, &of(Some("crm"), None)).await, crm);
    assert_eq!(dead(&store, &workspace, &of(None, Some("billing"))).await, billing);
    assert_eq!(dead(&store, &workspace, &of(Some("crm"), Some("billing"))).await, []);
    assert_eq!(dead(&store, &workspace, &of(Some("billing"), None)).await, []);
    let died = |after: Option<u32>, before: Option<u32>| DeadFilter {
        died_after: after.map(|minutes| start.after(MINUTE * minutes)),
        died_before: before.map(|minutes| start.after(MINUTE * minutes)),
        ..DeadFilter::default()
    };
    assert_eq!(dead(&store, &workspace, &died(None, Some(1))).await, crm);
    assert_eq!(dead(&store, &workspace, &died(Some(3), None)).await, billing);
    assert_eq!(dead(&store, &workspace, &died(Some(1), Some(3))).await, mail);
    assert_eq!(dead(&store, &workspace, &died(Some(5), None)).await, []);
}

/// A replayed job is queued again, from attempt zero, under a higher fence, and ready at once.
pub async fn a_replayed_job_begins_anew(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let id = bury(&store, &workspace, calls(1)).await[0];
    let before = job(&store, &workspace, id).await;
    harness.clock().advance(MINUTE);
    let moved = store.replay(&workspace, vec![(id, None)], audit("dlq.replay")).await.expect("replay");
    assert_eq!(moved, [Moved::Done]);
    let found = job(&store, &workspace, id).await;
    assert_eq!((found.state, found.attempt, found.lost_leases), (JobState::Queued, 0, 0));
    assert_eq!((found.finished_at, found.dead_reason), (None, None));
    assert!(found.fence > before.fence);
    let claimed = claim_one(&store).await;
    assert_eq!((claimed.job.id, claimed.attempt), (id, 1));
    assert!(claimed.fence > found.fence);
    assert_eq!(settle(&store, &before, succeeded()).await, Settled::Stale);
    assert_eq!(dead(&store, &workspace, &DeadFilter::default()).await, []);
}

/// Each id has its own time: a replay is paced.
pub async fn inv_39_a_replay_is_paced(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let ids = bury(&store, &workspace, calls(3)).await;
    let now = harness.clock().now();
    let at = vec![(ids[0], Some(now.after(MINUTE * 2))), (ids[1], None), (ids[2], Some(now.after(MINUTE)))];
    store.replay(&workspace, at, audit("dlq.replay")).await.expect("replay");
    assert_eq!(claim_ids(&store, 10).await, [ids[1]]);
    harness.clock().advance(MINUTE);
    assert_eq!(claim_ids(&store, 10).await, [ids[2]]);
    harness.clock().advance(MINUTE);
    assert_eq!(claim_ids(&store, 10).await, [ids[0]]);
}

/// A replay tells what became of each id, in order; writes an event for each moved, and one audit record if any was.
pub async fn inv_39_a_replay_tells_what_became_of_each(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let buried = bury(&store, &workspace, calls(2)).await;
    let queued = accept(&store, &workspace, calls(1)).await[0];
    let ids = [queued, buried[1], JobId::new(), buried[0], buried[1]];
    let asked: Vec<_> = ids.iter().map(|id| (*id, None)).collect();
    let moved = store.replay(&workspace, asked.clone(), audit("dlq.replay")).await.expect("replay");
    assert_eq!(moved, [Moved::NotDead, Moved::Done, Moved::NotFound, Moved::Done, Moved::NotDead]);
    let replayed: Vec<_> =
        events(&store, &workspace).await.into_iter().filter(|event| event.kind == EventType::JobReplayed).collect();
    assert_eq!(
        replayed.iter().map(|event| event.subject.clone()).collect::<Vec<_>>(),
        [buried[1].to_string(), buried[0].to_string()]
    );
    let again = store.replay(&workspace, asked, audit("dlq.replay")).await.expect("replay");
    assert_eq!(again, [Moved::NotDead, Moved::NotDead, Moved::NotFound, Moved::NotDead, Moved::NotDead]);
    assert_eq!(audits(&store, &owner("shop-dev")).await, ["dlq.replay"]);
    assert_eq!(count(&store, &workspace, EventType::JobReplayed).await, 2);
}

/// A purged job is gone for good; what is not dead is not purged, least of all what runs.
pub async fn inv_39_a_purge_takes_the_dead_only(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let buried = bury(&store, &workspace, calls(2)).await;
    let running = accept(&store, &workspace, calls(1)).await[0];
    let record = claim_one(&store).await;
    let ids = vec![running, buried[0], JobId::new(), buried[0]];
    let moved = store.purge(&workspace, ids, audit("dlq.purge")).await.expect("purge");
    assert_eq!(moved, [Moved::NotDead, Moved::Done, Moved::NotFound, Moved::NotFound]);
    assert!(store.job(&workspace, buried[0]).await.expect("job").is_none());
    assert_eq!(dead(&store, &workspace, &DeadFilter::default()).await, [buried[1]]);
    assert_eq!(audits(&store, &owner("shop-dev")).await, ["dlq.purge"]);
    let last = events(&store, &workspace).await.pop().expect("an event");
    assert_eq!((last.kind, last.subject), (EventType::JobPurged, buried[0].to_string()));
    assert_eq!(count(&store, &workspace, EventType::JobPurged).await, 1);
    assert_eq!(settle(&store, &record, succeeded()).await, Settled::Applied);
    let none = store.purge(&workspace, vec![running], audit("dlq.purge")).await.expect("purge");
    assert_eq!(none, [Moved::NotDead]);
    assert_eq!(audits(&store, &owner("shop-dev")).await.len(), 1, "nothing moved, nothing to audit");
}

/// Ten operators that replay the same thousand move each of them once.
pub async fn inv_39_ten_replays_at_once_move_each_once(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let ids = bury(&store, &workspace, calls(1_000)).await;
    let operators = (0..10usize).map(|operator| {
        let (store, workspace, mut ids) = (store.clone(), workspace.clone(), ids.clone());
        async move {
            ids.rotate_left(operator * 100);
            let mut moved = Vec::new();
            for chunk in ids.chunks(100) {
                let asked = chunk.iter().map(|id| (*id, None)).collect();
                let answers = store.replay(&workspace, asked, audit("dlq.replay")).await.expect("replay");
                let done = chunk.iter().zip(answers).filter(|(_, answer)| *answer == Moved::Done);
                moved.extend(done.map(|(id, _)| *id));
            }
            moved
        }
    });
    let moved: Vec<_> = at_once(operators).await.into_iter().flatten().collect();
    assert_eq!(moved.len(), 1_000, "none was moved twice");
    assert_eq!(newest_first(moved), newest_first(ids));
    assert_eq!(count(&store, &workspace, EventType::JobReplayed).await, 1_000);
}

/// Replays and purges of the same ids at once: each is either replayed or purged.
pub async fn inv_39_replays_and_purges_at_once_share_nothing(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let ids = bury(&store, &workspace, calls(200)).await;
    let operators = (0..10usize).map(|operator| {
        let (store, workspace, ids) = (store.clone(), workspace.clone(), ids.clone());
        async move {
            let mut done = 0;
            for chunk in ids.chunks(20) {
                let moved = if operator % 2 == 0 {
                    store.purge(&workspace, chunk.to_vec(), audit("dlq.purge")).await.expect("purge")
                } else {
                    let asked = chunk.iter().map(|id| (*id, None)).collect();
                    store.replay(&workspace, asked, audit("dlq.replay")).await.expect("replay")
                };
                done += moved.into_iter().filter(|moved| *moved == Moved::Done).count();
            }
            done
        }
    });
    assert_eq!(at_once(operators).await.into_iter().sum::<usize>(), 200);
    let mut left = 0;
    for id in &ids {
        left += usize::from(store.job(&workspace, *id).await.expect("job").is_some());
    }
    assert_eq!(left, count(&store, &workspace, EventType::JobReplayed).await);
    assert_eq!(200 - left, count(&store, &workspace, EventType::JobPurged).await);
}
