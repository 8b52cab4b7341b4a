//! Lots of tokens: never more than the limit, all of it, and of no other lane.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use orchestrator_core::policy::rate_limit::lease::{Lease, LimitKey, SharedLimit, TokenLeases};
use tokio::time::{Instant, sleep};

use super::LimiterHarness;

/// So slow that nothing comes while a test runs.
const HOURS: Duration = Duration::from_secs(3_600);

fn limit(workspace: &str, target: &str, period: Duration, burst: u32) -> SharedLimit {
    let lane = LimitKey {
        workspace: workspace.parse().expect("a well-formed workspace"),
        delivery: false,
        target: target.parse().expect("a well-formed name"),
    };
    SharedLimit { lane, period, burst }
}

async fn lease(node: &Arc<dyn TokenLeases>, limit: &SharedLimit, want: u32) -> Lease {
    node.lease(limit, want).await.expect("the place is there")
}

/// The burst at once, and then nothing.
pub async fn inv_21_a_rested_limit_gives_its_burst_and_no_more(harness: &impl LimiterHarness) {
    let (node, other) = (harness.node().await, harness.node().await);
    let limit = limit("shop-dev", "crm", HOURS, 10);
    assert_eq!(lease(&node, &limit, 7).await.tokens, 7);
    assert_eq!(lease(&other, &limit, 7).await.tokens, 3);
    for node in [&node, &other] {
        let none = lease(node, &limit, 1).await;
        assert!(none.tokens == 0 && none.retry_after > Duration::ZERO && none.retry_after <= HOURS, "{none:?}");
    }
}

/// Over any window of what two nodes got.
pub async fn inv_21_nodes_together_get_no_more_than_the_burst_and_the_rate(harness: &impl LimiterHarness) {
    let nodes = [harness.node().await, harness.node().await];
    let (period, burst) = (Duration::from_millis(2), 20);
    let limit = limit("shop-dev", "crm", period, burst);
    let (began, mut lots) = (Instant::now(), Vec::new());
    while began.elapsed() < Duration::from_millis(400) {
        for node in &nodes {
            let asked = Instant::now();
            let lot = lease(node, &limit, 7).await;
            lots.push((asked, Instant::now(), lot.tokens));
            if lot.tokens == 0 {
                sleep(lot.retry_after).await;
            }
        }
    }
    for first in 0..lots.len() {
        let mut tokens = 0;
        for (_, answered, lot) in &lots[first..] {
            tokens += u128::from(*lot);
            let time = *answered - lots[first].0;
            let allowed = u128::from(burst) + time.as_nanos() / period.as_nanos() + 1;
            assert!(tokens <= allowed, "{tokens} in {time:?}, {allowed} are allowed");
        }
    }
}

/// Whoever takes what there is, and waits as told, gets about all that the rate allows.
pub async fn inv_21_all_that_the_rate_allows_is_given(harness: &impl LimiterHarness) {
    let node = harness.node().await;
    // A busy machine may stop for a while: a burst that lasts longer than that does not overflow.
    let (period, burst) = (Duration::from_millis(4), 100);
    let limit = limit("shop-dev", "crm", period, burst);
    let (began, mut tokens) = (Instant::now(), 0);
    loop {
        let lot = lease(&node, &limit, 200).await;
        tokens += u128::from(lot.tokens);
        if began.elapsed() >= Duration::from_millis(600) && lot.tokens > 0 {
            break;
        }
        sleep(lot.retry_after).await;
    }
    let allowed = u128::from(burst) + began.elapsed().as_nanos() / period.as_nanos();
    assert!(tokens * 10 >= allowed * 8, "{tokens} of {allowed}");
}

/// After the time that an empty lot tells, there is a token.
pub async fn what_was_told_to_be_waited_for_is_there(harness: &impl LimiterHarness) {
    let node = harness.node().await;
    let limit = limit("shop-dev", "crm", Duration::from_millis(40), 3);
    for _ in 0..4 {
        while lease(&node, &limit, 10).await.tokens > 0 {}
        let none = lease(&node, &limit, 10).await;
        if none.tokens == 0 {
            sleep(none.retry_after + Duration::from_millis(1)).await;
            assert_eq!(lease(&node, &limit, 1).await.tokens, 1);
        }
    }
}

/// However much there is.
pub async fn a_lot_is_no_larger_than_wanted(harness: &impl LimiterHarness) {
    let node = harness.node().await;
    let limit = limit("shop-dev", "crm", Duration::from_nanos(1_000), 1_000_000);
    for want in [0, 1, 5, 1_000] {
        assert_eq!(lease(&node, &limit, want).await.tokens, want);
    }
}

/// Of another workspace, another target or the other kind of lane nothing is taken.
pub async fn inv_15_limits_share_nothing(harness: &impl LimiterHarness) {
    let node = harness.node().await;
    let one = limit("shop-dev", "crm", HOURS, 5);
    let delivery = SharedLimit { lane: LimitKey { delivery: true, ..one.lane.clone() }, ..one.clone() };
    let others = [limit("mall-dev", "crm", HOURS, 5), limit("shop-dev", "erp", HOURS, 5), delivery];
    assert_eq!(lease(&node, &one, 100).await.tokens, 5);
    for other in others {
        assert_eq!(lease(&node, &other, 100).await.tokens, 5);
    }
    assert_eq!(lease(&node, &one, 100).await.tokens, 0);
}

/// A hundred at once on four nodes: together the burst.
pub async fn inv_21_leases_at_once_share_no_token(harness: &impl LimiterHarness) {
    let nodes = join_all((0..4).map(|_| harness.node())).await;
    let leases = (0..100).map(|number: usize| {
        let node = Arc::clone(&nodes[number % 4]);
        tokio::spawn(async move { lease(&node, &limit("shop-dev", "crm", HOURS, 150), 3).await.tokens })
    });
    let lots = join_all(leases).await;
    assert_eq!(lots.into_iter().map(|lot| lot.expect("a lease that does not panic")).sum::<u32>(), 150);
}

/// A config that changes the numbers of a lane gives at most the new burst, whatever was spent under the old ones.
pub async fn inv_21_a_limit_with_other_numbers_stays_within_them(harness: &impl LimiterHarness) {
    let node = harness.node().await;
    assert_eq!(lease(&node, &limit("shop-dev", "crm", HOURS, 10), 10).await.tokens, 10);
    let wider = lease(&node, &limit("shop-dev", "crm", Duration::from_secs(60), 20), 100).await;
    assert!(wider.tokens <= 20, "{wider:?}");
    assert_eq!(lease(&node, &limit("shop-dev", "erp", HOURS, 10), 5).await.tokens, 5);
    let narrower = lease(&node, &limit("shop-dev", "erp", HOURS, 3), 100).await;
    assert!(narrower.tokens <= 3, "{narrower:?}");
}

/// This one.
pub async fn there_is_at_least_one_node(harness: &impl LimiterHarness) {
    assert!(harness.node().await.nodes() >= 1);
}
