#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use orchestrator_types::RateLimitPolicy;
use tokio::time::{Instant, sleep};
use tower::{Layer, Service};

use super::*;
use crate::policy::fixture::{CALL, OK, Upstream};
use crate::policy::rate_limit::{Limiter, RateLimitLayer};

const RATE: u32 = 100;
const BURST: u32 = 50;
/// What lasts about a tenth of a second at that rate.
const LOT: u32 = RATE / 10;

/// A place that can be taken away, and that counts what it is asked.
struct Place {
    tokens: SharedTokens,
    away: AtomicBool,
    asked: AtomicU32,
}

#[async_trait]
impl TokenLeases for Place {
    async fn lease(&self, limit: &SharedLimit, want: u32) -> Result<Lease, LeasesAway> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if self.away.load(Ordering::SeqCst) {
            return Err(LeasesAway);
        }
        self.tokens.lease(limit, want).await
    }

    fn nodes(&self) -> u32 {
        self.tokens.nodes()
    }
}

fn place(nodes: u32) -> Arc<Place> {
    Arc::new(Place { tokens: SharedTokens::between(nodes), away: AtomicBool::default(), asked: AtomicU32::default() })
}

fn lane() -> LimitKey {
    LimitKey { workspace: "buildos-dev".parse().unwrap(), delivery: false, target: "billing-api".parse().unwrap() }
}

fn policy() -> RateLimitPolicy {
    RateLimitPolicy { per_second: f64::from(RATE), burst: BURST, ..RateLimitPolicy::default() }
}

/// A node with its keeper.
fn node(place: &Arc<Place>) -> Arc<Limiter> {
    let (keeper, fetching) = Keeper::new(Arc::clone(place) as Arc<dyn TokenLeases>);
    tokio::spawn(fetching);
    Arc::new(Limiter::shared(&policy(), &keeper, lane()))
}

/// Calls each node every millisecond for so long; how many were admitted.
async fn admitted(nodes: &[Arc<Limiter>], seconds: u32) -> u32 {
    let mut admitted = 0;
    for _ in 0..seconds * 1_000 {
        admitted += u32::try_from(nodes.iter().filter(|node| node.admit().is_ok()).count()).unwrap();
        sleep(Duration::from_millis(1)).await;
    }
    admitted
}

#[tokio::test(start_paused = true)]
async fn inv_21_nodes_together_admit_what_the_limit_says_and_all_of_it() {
    let place = place(3);
    let nodes = [node(&place), node(&place), node(&place)];
    let admitted = admitted(&nodes, 10).await;
    let (least, most) = (RATE * 10, BURST + RATE * 10 + 3 * LOT);
    assert!((least..=most).contains(&admitted), "{admitted} of {least} to {most}");
    // The hot path stays local: ten lots a second, and who finds nothing does not ask again at each call.
    assert!(place.asked.load(Ordering::SeqCst) < 10 * 3 * 100);
}

#[tokio::test(start_paused = true)]
async fn inv_21_a_node_alone_may_use_all_of_it() {
    let nodes = [node(&place(3))];
    let admitted = admitted(&nodes, 10).await;
    assert!((RATE * 10..=BURST + RATE * 10 + LOT).contains(&admitted), "{admitted}");
}

#[tokio::test(start_paused = true)]
async fn inv_21_while_the_place_is_away_each_node_has_its_share_and_comes_back_by_itself() {
    let place = place(2);
    let nodes = [node(&place), node(&place)];
    place.away.store(true, Ordering::SeqCst);
    let away = admitted(&nodes, 10).await;
    assert!((RATE * 10 - LOT..=BURST + RATE * 10 + 2 * LOT).contains(&away), "{away} together");
    // One alone has half, and not nothing.
    let alone = admitted(&nodes[..1], 10).await;
    assert!((RATE * 5 - LOT..=BURST / 2 + RATE * 5 + LOT).contains(&alone), "{alone} alone");
    place.away.store(false, Ordering::SeqCst);
    sleep(Duration::from_secs(1)).await;
    let back = admitted(&nodes[..1], 10).await;
    assert!(back >= RATE * 10 - LOT, "{back} again");
}

#[tokio::test(start_paused = true)]
async fn who_may_wait_waits_for_the_next_lot() {
    let place = place(1);
    let layer = RateLimitLayer::new(node(&place)).waiting_up_to(Duration::from_secs(60));
    let mut service = layer.layer(Upstream::always(OK));
    let start = Instant::now();
    let calls: Vec<_> = (0..BURST + RATE).map(|_| tokio::spawn(service.call(CALL))).collect();
    for call in calls {
        call.await.unwrap().unwrap();
    }
    let took = start.elapsed();
    assert!((Duration::from_millis(950)..Duration::from_millis(1_300)).contains(&took), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn inv_34_if_nobody_fetches_the_share_decides_after_a_while() {
    let (keeper, fetching) = Keeper::new(place(2));
    let node = [Arc::new(Limiter::shared(&policy(), &keeper, lane()))];
    let admitted = admitted(&node, 10).await;
    assert!(admitted > RATE * 3, "{admitted}");
    drop(fetching);
}

#[tokio::test(start_paused = true)]
async fn inv_15_lanes_do_not_share_their_tokens() {
    let tokens = SharedTokens::between(1);
    let limit = |target: &str| SharedLimit {
        lane: LimitKey { target: target.parse().unwrap(), ..lane() },
        period: Duration::from_millis(10),
        burst: BURST,
    };
    assert_eq!(tokens.lease(&limit("a"), 1_000).await.unwrap().tokens, BURST);
    assert_eq!(tokens.lease(&limit("a"), 1_000).await.unwrap().tokens, 0);
    assert_eq!(tokens.lease(&limit("b"), 1_000).await.unwrap().tokens, BURST);
}
