//! Who is next: workspaces in turn, by weight; in one by priority; and what is passed over.

use std::sync::Arc;

use orchestrator_core::queue::{JobHint, Take};

use super::QueueHarness;
use super::fixture::{drain, hint, hints, ids, lane, of, offer, take, through, up_to, workspace};

/// Of the first twenty that are taken after a latecomer's ten, beside a backlog of thousands, ten are its.
pub async fn inv_14_workspaces_take_turns(harness: &impl QueueHarness) {
    let queue = harness.node().await;
    let now = harness.now();
    offer(&queue, &hints("busy-dev", 3_000, now)).await;
    offer(&queue, &hints("late-dev", 10, now)).await;
    let first = take(&queue, up_to(20)).await;
    assert_eq!((first.len(), of(&first, "late-dev")), (20, 10));
}

/// So they do if one hint is taken at a time, by nodes in turn.
pub async fn inv_14_small_takes_take_turns_too(harness: &impl QueueHarness) {
    let nodes = [harness.node().await, harness.node().await];
    let now = harness.now();
    for workspace in ["a-dev", "b-dev", "c-dev"] {
        offer(&nodes[0], &hints(workspace, 100, now)).await;
    }
    let mut taken = Vec::new();
    for number in 0..60 {
        taken.extend(take(&nodes[number % 2], up_to(1)).await);
    }
    let shares = ["a-dev", "b-dev", "c-dev"].map(|workspace| of(&taken, workspace));
    assert!(taken.len() == 60 && shares.iter().all(|share| (18..=22).contains(share)), "{shares:?}");
}

/// Of many workspaces each has had its turn before any has had a second by much.
pub async fn inv_14_every_workspace_has_its_turn(harness: &impl QueueHarness) {
    let queue = harness.node().await;
    let now = harness.now();
    for number in 0..200 {
        offer(&queue, &hints(&format!("shop{number}-dev"), 3, now)).await;
    }
    let mut taken = Vec::new();
    for _ in 0..10 {
        taken.extend(take(&queue, up_to(20)).await);
    }
    let served: std::collections::BTreeSet<_> = taken.iter().map(|hint| &hint.workspace).collect();
    assert!(taken.len() == 200 && served.len() >= 190, "{} of 200 had their turn", served.len());
}

/// A workspace of weight three gives three where others give one.
pub async fn a_workspace_gives_as_many_as_its_weight(harness: &impl QueueHarness) {
    let queue = harness.node().await;
    let now = harness.now();
    for workspace in ["heavy-dev", "light-dev"] {
        offer(&queue, &hints(workspace, 200, now)).await;
    }
    let weights = Arc::new([(workspace("heavy-dev"), 3), (workspace("nobody-dev"), 100)].into());
    let mut taken = Vec::new();
    for _ in 0..10 {
        taken.extend(take(&queue, Take { weights: Arc::clone(&weights), ..up_to(8) }).await);
    }
    assert_eq!((taken.len(), of(&taken, "heavy-dev")), (80, 60));
}

/// Higher priority first; of the same priority the earlier time.
pub async fn priority_comes_before_time(harness: &impl QueueHarness) {
    let queue = harness.node().await;
    let now = harness.now();
    let at = |priority, before: u64| JobHint {
        priority,
        ..hint("shop-dev", now.before(std::time::Duration::from_millis(before)))
    };
    let offered = [at(5, 10), at(9, 0), at(0, 10_000), at(5, 20), at(9, 1)];
    offer(&queue, &offered).await;
    let expected = [4, 1, 3, 0, 2].map(|number: usize| offered[number].clone());
    assert_eq!(drain(&queue).await, expected);
}

/// Neither altogether nor of one workspace.
pub async fn a_take_takes_no_more_than_asked_for(harness: &impl QueueHarness) {
    let queue = harness.node().await;
    let now = harness.now();
    offer(&queue, &hints("shop-dev", 10, now)).await;
    offer(&queue, &hints("mall-dev", 10, now)).await;
    assert_eq!(take(&queue, up_to(5)).await.len(), 5);
    let taken = take(&queue, Take { per_workspace: 2, ..up_to(10) }).await;
    assert_eq!((of(&taken, "shop-dev"), of(&taken, "mall-dev")), (2, 2));
    assert_eq!(queue.depth().await.expect("depth"), 11);
}

/// A workspace that is full gives nothing, and loses nothing.
pub async fn a_full_workspace_is_passed_over_and_stays(harness: &impl QueueHarness) {
    let queue = harness.node().await;
    let now = harness.now();
    offer(&queue, &hints("full-dev", 10, now)).await;
    offer(&queue, &hints("shop-dev", 2, now)).await;
    let taken = take(&queue, Take { full: vec![workspace("full-dev"), workspace("nobody-dev")], ..up_to(10) }).await;
    assert_eq!((taken.len(), of(&taken, "shop-dev")), (2, 2));
    assert_eq!(drain(&queue).await.len(), 10);
}

/// A lane that is paused gives nothing, and loses nothing; deliveries to a callback of the same name are another.
pub async fn a_paused_lane_is_passed_over_and_stays(harness: &impl QueueHarness) {
    let queue = harness.node().await;
    let now = harness.now();
    let paused = hints("shop-dev", 5, now);
    let delivery = JobHint { delivery: true, priority: 0, ..hint("shop-dev", now) };
    let nameless = JobHint { target: None, priority: 0, ..hint("shop-dev", now) };
    offer(&queue, &paused).await;
    offer(&queue, &[delivery.clone(), nameless.clone()]).await;
    let taken = take(&queue, Take { paused: vec![lane("shop-dev", "crm")], ..up_to(10) }).await;
    assert_eq!(ids(&taken), ids(&[delivery, nameless]));
    assert_eq!(ids(&drain(&queue).await), ids(&paused));
}

/// However many hints a paused lane has in front.
pub async fn inv_35_a_deep_paused_lane_hides_nothing(harness: &impl QueueHarness) {
    let queue = harness.node().await;
    let now = harness.now();
    let deep: Vec<_> = hints("shop-dev", 10_000, now).into_iter().map(|hint| JobHint { priority: 9, ..hint }).collect();
    offer(&queue, &deep).await;
    let other = through("erp", JobHint { priority: 0, ..hint("shop-dev", now) });
    offer(&queue, std::slice::from_ref(&other)).await;
    let taken = take(&queue, Take { paused: vec![lane("shop-dev", "crm")], ..up_to(10) }).await;
    assert_eq!(taken, [other]);
}

/// Of a lane with little room only so many are taken; the others stay.
pub async fn of_a_limited_lane_only_so_many_are_taken(harness: &impl QueueHarness) {
    let queue = harness.node().await;
    let now = harness.now();
    let limited = hints("shop-dev", 10, now);
    let others: Vec<_> = hints("shop-dev", 4, now).into_iter().map(|hint| through("erp", hint)).collect();
    offer(&queue, &limited).await;
    offer(&queue, &others).await;
    let limits = vec![(lane("shop-dev", "crm"), 3), (lane("shop-dev", "none"), 0)];
    let taken = take(&queue, Take { limited: limits, ..up_to(20) }).await;
    let crm = taken.iter().filter(|hint| hint.lane() == Some(lane("shop-dev", "crm"))).count();
    assert_eq!((taken.len(), crm), (7, 3));
    assert_eq!(drain(&queue).await.len(), 7);
}

/// A lane that is paused in one workspace is open in another.
pub async fn inv_15_a_lane_is_of_its_workspace(harness: &impl QueueHarness) {
    let queue = harness.node().await;
    let now = harness.now();
    offer(&queue, &hints("shop-dev", 2, now)).await;
    offer(&queue, &hints("mall-dev", 2, now)).await;
    let limits = vec![(lane("mall-dev", "crm"), 1)];
    let taken = take(&queue, Take { paused: vec![lane("shop-dev", "crm")], limited: limits, ..up_to(10) }).await;
    assert_eq!((taken.len(), of(&taken, "mall-dev")), (1, 1));
}
