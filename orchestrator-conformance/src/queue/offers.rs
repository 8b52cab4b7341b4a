//! What is offered: held until it is taken, once, and not before its time.

use std::time::Duration;

use orchestrator_core::queue::{JobHint, Level};
use orchestrator_core::types::JobId;
use tokio::time::Instant;

use super::QueueHarness;
use super::fixture::{PATIENCE, drain, hint, hints, ids, offer, take, up_to, waiting, workspace};

const LATER: Duration = Duration::from_secs(3_600);

/// What was offered is taken by one, and nothing of it stays.
pub async fn what_was_offered_is_taken_and_forgotten(harness: &impl QueueHarness) {
    let queue = harness.node().await;
    assert!(take(&queue, up_to(10)).await.is_empty());
    let offered = hints("shop-dev", 3, harness.now());
    offer(&queue, &offered).await;
    assert_eq!(ids(&take(&queue, up_to(10)).await), ids(&offered));
    assert!(take(&queue, up_to(10)).await.is_empty());
    assert_eq!(queue.depth().await.expect("depth"), 0);
}

/// Every field comes back as it was offered, whatever it is.
pub async fn a_hint_comes_back_as_it_was_offered(harness: &impl QueueHarness) {
    let queue = harness.node().await;
    let now = harness.now();
    let offered = [
        hint("shop-dev", now),
        JobHint { delivery: true, priority: 0, ..hint("a-b-c-dev", now) },
        JobHint { target: None, priority: 9, ..hint("shop-dev", now) },
        JobHint { target: None, delivery: true, ..hint("shop-dev", now) },
        JobHint { target: Some("a.b_c-9".parse().expect("a name")), ..hint("shop-dev", now) },
        JobHint { job: JobId::from_bits(0), ..hint("shop-dev", now) },
        JobHint { job: JobId::from_bits(u128::MAX), ..hint("shop-dev", now) },
        JobHint { run_at: now.before(LATER * 24 * 365), ..hint("shop-dev", now) },
    ];
    offer(&queue, &offered).await;
    let mut taken = drain(&queue).await;
    assert_eq!(taken.len(), offered.len());
    for hint in offered {
        let place = taken.iter().position(|taken| *taken == hint);
        taken.swap_remove(place.unwrap_or_else(|| panic!("{hint:?} is not among {taken:?}")));
    }
}

/// Offered twice at once, in two calls, or by two nodes, it is taken once.
pub async fn inv_05_offering_twice_is_offering_once(harness: &impl QueueHarness) {
    let (queue, other) = (harness.node().await, harness.node().await);
    let offered = hints("shop-dev", 3, harness.now());
    offer(&queue, &[offered.clone(), offered.clone()].concat()).await;
    offer(&queue, &offered).await;
    offer(&other, &offered).await;
    assert_eq!(queue.depth().await.expect("depth"), 3);
    assert_eq!(drain(&queue).await.len(), 3);
    offer(&queue, &offered[..1]).await;
    assert_eq!(drain(&queue).await, offered[..1], "and again when it is offered after that");
}

/// A job that is offered for another time waits for that; one that is offered for now does not wait any more.
pub async fn the_later_offer_counts(harness: &impl QueueHarness) {
    let queue = harness.node().await;
    let now = harness.now();
    let first = hint("shop-dev", now);
    let second = hint("shop-dev", now.after(LATER));
    offer(&queue, &[first.clone(), second.clone()]).await;
    let [first, second] =
        [JobHint { run_at: now.after(LATER), ..first }, JobHint { run_at: now, priority: 7, ..second }];
    offer(&queue, &[first, second.clone()]).await;
    assert_eq!(queue.depth().await.expect("depth"), 2);
    assert_eq!(drain(&queue).await, [second]);
    assert_eq!(queue.depth().await.expect("depth"), 1);
}

/// Not before its time, and from it on.
pub async fn inv_36_a_time_is_honoured(harness: &impl QueueHarness) {
    let queue = harness.node().await;
    let due = hint("shop-dev", harness.now().after(Duration::from_millis(150)));
    offer(&queue, std::slice::from_ref(&due)).await;
    let mut taken = take(&queue, up_to(1)).await;
    // On a busy machine its time may have come by now.
    assert!(taken.is_empty() || harness.now() >= due.run_at);
    if taken.is_empty() {
        taken = take(&queue, waiting(1, PATIENCE)).await;
    }
    assert_eq!(taken, std::slice::from_ref(&due));
    assert!(harness.now() >= due.run_at);
}

/// What waits for its time stands in nobody's way.
pub async fn what_is_due_comes_before_what_is_not(harness: &impl QueueHarness) {
    let queue = harness.node().await;
    let now = harness.now();
    let later: Vec<_> =
        hints("shop-dev", 500, now.after(LATER)).into_iter().map(|hint| JobHint { priority: 9, ..hint }).collect();
    offer(&queue, &later).await;
    let due = hints("shop-dev", 5, now);
    offer(&queue, &due).await;
    assert_eq!(ids(&drain(&queue).await), ids(&due));
    assert_eq!(queue.depth().await.expect("depth"), 500);
}

/// Thousands at once, of many workspaces: all of them are there.
pub async fn a_large_offer_is_taken_whole(harness: &impl QueueHarness) {
    let queue = harness.node().await;
    let now = harness.now();
    let offered: Vec<_> = (0..5_000).map(|number| hint(&format!("shop{}-dev", number % 97), now)).collect();
    offer(&queue, &offered).await;
    assert_eq!(ids(&drain(&queue).await), ids(&offered));
}

/// A workspace that is forgotten has no hints, also none whose time has not come; others keep theirs.
pub async fn what_is_forgotten_is_gone(harness: &impl QueueHarness) {
    let queue = harness.node().await;
    let now = harness.now();
    offer(&queue, &hints("shop-dev", 5, now)).await;
    offer(&queue, &hints("shop-dev", 5, now.after(LATER))).await;
    offer(&queue, &hints("mall-dev", 1, now)).await;
    queue.forget(&workspace("shop-dev")).await.expect("forget");
    queue.forget(&workspace("nobody-dev")).await.expect("forget");
    let left = drain(&queue).await;
    assert_eq!((left.len(), left[0].workspace.as_str()), (1, "mall-dev"));
    assert_eq!(queue.depth().await.expect("depth"), 0);
    let again = hints("shop-dev", 1, now);
    offer(&queue, &again).await;
    assert_eq!(drain(&queue).await, again, "it may have new ones");
}

/// The depth counts what is due and what is not, of all workspaces.
pub async fn the_depth_counts_what_is_there(harness: &impl QueueHarness) {
    let queue = harness.node().await;
    let now = harness.now();
    assert_eq!(queue.depth().await.expect("depth"), 0);
    offer(&queue, &hints("shop-dev", 3, now)).await;
    offer(&queue, &hints("mall-dev", 2, now)).await;
    offer(&queue, &hints("mall-dev", 2, now.after(LATER))).await;
    assert_eq!(queue.depth().await.expect("depth"), 7);
    take(&queue, up_to(4)).await;
    assert_eq!(queue.depth().await.expect("depth"), 3);
}

/// Nothing is offered, nothing is wanted: no error.
pub async fn an_empty_offer_is_no_error(harness: &impl QueueHarness) {
    let queue = harness.node().await;
    offer(&queue, &[]).await;
    offer(&queue, &hints("shop-dev", 1, harness.now())).await;
    let started = Instant::now();
    assert!(take(&queue, waiting(0, Duration::from_millis(10))).await.is_empty());
    assert!(started.elapsed() < PATIENCE);
    assert_eq!(drain(&queue).await.len(), 1);
}

/// A look tells at least one thing, each in one line, and of what is not good what to do.
pub async fn a_look_finds_a_line_each(harness: &impl QueueHarness) {
    let found = harness.node().await.check().await.expect("check");
    assert!(!found.is_empty());
    for finding in found {
        assert!(!finding.line.is_empty() && !finding.line.contains('\n'), "{finding:?}");
        assert_ne!(finding.level, Level::Bad, "{finding:?}");
    }
}

/// When everything was lost, it is an empty queue like any other.
pub async fn inv_05_after_everything_was_lost_it_works_on(harness: &impl QueueHarness) {
    let queue = harness.node().await;
    let now = harness.now();
    offer(&queue, &hints("shop-dev", 5, now)).await;
    offer(&queue, &hints("shop-dev", 5, now.after(LATER))).await;
    harness.lose().await;
    assert!(take(&queue, up_to(10)).await.is_empty());
    assert_eq!(queue.depth().await.expect("depth"), 0);
    let offered = hints("shop-dev", 5, now);
    offer(&queue, &offered).await;
    assert_eq!(ids(&drain(&queue).await), ids(&offered));
}
