//! Waiting for hints: woken by an offer of any node or by a time that comes, in vain for no longer than asked.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, timeout};

use super::QueueHarness;
use super::fixture::{PATIENCE, drain, hint, hints, ids, offer, take, up_to, waiting};

/// Who waits has it soon, whichever node offered it.
pub async fn who_waits_is_woken_by_an_offer_of_any_node(harness: &impl QueueHarness) {
    let (one, other) = (harness.node().await, harness.node().await);
    for node in [&one, &other] {
        let waits = tokio::spawn({
            let one = Arc::clone(&one);
            async move { take(&one, waiting(10, PATIENCE)).await }
        });
        tokio::task::yield_now().await;
        let offered = hint("shop-dev", harness.now());
        offer(node, std::slice::from_ref(&offered)).await;
        let started = Instant::now();
        assert_eq!(waits.await.expect("a take that does not panic"), [offered]);
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    }
}

/// Who waits has it when its time comes, also if it was offered while it waited.
pub async fn who_waits_is_woken_when_a_time_comes(harness: &impl QueueHarness) {
    let (one, other) = (harness.node().await, harness.node().await);
    let waits = tokio::spawn(async move { take(&one, waiting(1, PATIENCE)).await });
    let (soon, started) = (hint("shop-dev", harness.now().after(Duration::from_millis(300))), Instant::now());
    offer(&other, std::slice::from_ref(&soon)).await;
    assert_eq!(waits.await.expect("a take that does not panic"), std::slice::from_ref(&soon));
    assert!(harness.now() >= soon.run_at && started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
}

/// If nothing comes, it is told after as long as was asked.
pub async fn inv_34_who_waits_in_vain_is_told_in_time(harness: &impl QueueHarness) {
    let (queue, started) = (harness.node().await, Instant::now());
    offer(&queue, &hints("shop-dev", 1, harness.now().after(PATIENCE * 100))).await;
    assert!(take(&queue, waiting(1, Duration::from_millis(200))).await.is_empty());
    let waited = started.elapsed();
    assert!(waited >= Duration::from_millis(195) && waited < Duration::from_secs(5), "{waited:?}");
}

/// Twenty takers on four nodes: each hint is one's.
pub async fn inv_03_takers_at_once_share_no_hint(harness: &impl QueueHarness) {
    let nodes = join_all((0..4).map(|_| harness.node())).await;
    let now = harness.now();
    let offered: Vec<_> = (0..1_000).map(|number| hint(&format!("shop{}-dev", number % 7), now)).collect();
    offer(&nodes[0], &offered).await;
    let takers = (0..20).map(|number: usize| {
        let queue = Arc::clone(&nodes[number % 4]);
        tokio::spawn(async move { drain(&queue).await })
    });
    let mut taken = Vec::new();
    for taker in join_all(takers).await {
        taken.extend(taker.expect("a taker that does not panic"));
    }
    assert_eq!((taken.len(), ids(&taken)), (1_000, ids(&offered)));
}

/// Dropped at any moment, takes lose hints at the worst: the queue works on, and hands nothing out twice.
pub async fn inv_22_takes_that_are_dropped_leave_a_queue_that_works(harness: &impl QueueHarness) {
    let queue = harness.node().await;
    let now = harness.now();
    let (mut offered, mut taken) = (BTreeSet::new(), Vec::new());
    for round in 0..100_u64 {
        let hints = hints("shop-dev", 2, now);
        offered.extend(ids(&hints));
        offer(&queue, &hints).await;
        let take = waiting(3, PATIENCE);
        // Dropped wherever it is after so long.
        if let Ok(some) = timeout(Duration::from_micros(round * 20), queue.take(&take)).await {
            taken.extend(some.expect("take"));
        }
    }
    taken.extend(drain(&queue).await);
    assert_eq!(ids(&taken).len(), taken.len(), "nothing came twice");
    assert!(ids(&taken).is_subset(&offered));
    let again = hints("shop-dev", 5, now);
    offer(&queue, &again).await;
    assert_eq!(ids(&take(&queue, up_to(10)).await), ids(&again));
}
