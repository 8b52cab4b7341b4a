//! One limit for two nodes: exact while Redis is there, each node's share while it is not, and exact again.

use std::time::Duration;

use orchestrator_conformance::servers::RedisServer;
use orchestrator_core::execute::Call;
use orchestrator_core::policy::rate_limit::lease::TokenLeases;
use orchestrator_core::types::TraceId;
use orchestrator_core::worker::WorkerOptions;
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::fixture::Corner;
use crate::world::{Node, World};

const RATE: usize = 200;
const BURST: usize = 40;
/// What lasts a tenth of a second; a node may hold two.
const LOTS: usize = 2 * RATE / 10;

/// Calls a node all the time until told otherwise; how many were admitted is the upstream's to say.
async fn press(world: &World, nodes: &[&Node], until: Instant) {
    while Instant::now() < until {
        for node in nodes {
            let call = Call {
                connector: "crm".parse().unwrap(),
                operation: "read".to_owned(),
                input: json!({"number": 0}),
                timeout: None,
                idempotency: None,
                trace_id: TraceId::new(),
            };
            let _ = node.engine.execute(&world.shop, call).await;
        }
        sleep(Duration::from_millis(1)).await;
    }
}

/// Waits until both know of each other.
async fn acquainted(nodes: &[&Node]) {
    let until = Instant::now() + Duration::from_secs(20);
    while nodes.iter().any(|node| node.redis.limits.nodes() != 2) {
        assert!(Instant::now() < until, "they do not know of each other");
        sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn inv_21_two_nodes_share_a_limit_and_each_has_its_share_while_redis_is_away() {
    let limit = json!({"rate_limit": {"per_second": RATE, "burst": BURST}, "retry": {"max_attempts": 1}});
    let world = World::new(limit).await;
    let (one, other) = (world.node(None).await, world.node(None).await);
    let nodes = [&one, &other];
    world.import(&one, &world.shop).await;
    acquainted(&nodes).await;
    let began = Instant::now();
    press(&world, &nodes, began + Duration::from_secs(3)).await;
    world.to_server(RedisServer::kill).await;
    let killed = Instant::now();
    press(&world, &nodes, killed + Duration::from_secs(4)).await;
    world.to_server(RedisServer::start_again).await;
    let back = Instant::now();
    press(&world, &nodes, back + Duration::from_secs(3)).await;
    let at = world.upstream.at();
    let admitted = |from: Instant, to: Instant| at.iter().filter(|at| (from..to).contains(*at)).count();
    let allowed = |time: Duration| BURST + (time.as_secs_f64() * RATE as f64) as usize + 2 * LOTS;
    // Over every window while it is there, and over every one while it is away.
    for (name, from, to) in [("there", began, killed), ("away", killed, back), ("again", back, Instant::now())] {
        let calls: Vec<_> = at.iter().filter(|at| (from..to).contains(*at)).collect();
        for first in (0..calls.len()).step_by(7) {
            for last in (first..calls.len()).step_by(7) {
                let (count, most) = (last - first + 1, allowed(*calls[last] - *calls[first]));
                assert!(count <= most, "{name}: {count} of {most}");
            }
        }
    }
    // Neither nothing nor everything: the half, at least, of what the time allowed, also while it was away.
    let seconds = (back - killed).as_secs_f64();
    let away = admitted(killed, back);
    assert!(away as f64 >= seconds * RATE as f64 * 0.5, "{away} in {seconds} s while it was away");
    let there = admitted(began, killed);
    assert!(there >= RATE * 3 / 2, "{there} in three seconds");
}

#[tokio::test(flavor = "multi_thread")]
async fn inv_21_jobs_of_two_workers_wait_for_one_limit() {
    let world = World::new(json!({"rate_limit": {"per_second": 100, "burst": 10}})).await;
    let front = world.node(None).await;
    world.import(&front, &world.shop).await;
    let _workers = [world.node(Some(WorkerOptions::default())).await, world.node(Some(WorkerOptions::default())).await];
    let started = Instant::now();
    let jobs = world.submit(&front, 0..300, 0).await;
    world.all_succeed(&front, &jobs).await;
    let took = started.elapsed();
    assert!(
        (Duration::from_millis(2_500)..Duration::from_secs(12)).contains(&took),
        "{took:?} for 290 at 100 a second"
    );
    assert_eq!(world.upstream.count(), (300, 300));
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_know_how_many_they_are_and_notice_who_is_gone() {
    let corner = Corner::single();
    let (one, other) = (corner.connect_alone().await, corner.connect_alone().await);
    let knows = async |limits: &dyn TokenLeases, count: u32| {
        let until = Instant::now() + Duration::from_secs(30);
        while limits.nodes() != count {
            assert!(Instant::now() < until, "{} and not {count}", limits.nodes());
            sleep(Duration::from_millis(100)).await;
        }
    };
    knows(&*one.limits, 2).await;
    knows(&*other.limits, 2).await;
    drop(other);
    knows(&*one.limits, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn inv_37_a_limit_that_is_rested_leaves_nothing_behind() {
    let corner = Corner::single();
    let parts = corner.connect_alone().await;
    let lane = orchestrator_core::policy::rate_limit::lease::LimitKey {
        workspace: "shop-dev".parse().unwrap(),
        delivery: false,
        target: "crm".parse().unwrap(),
    };
    let limit = orchestrator_core::policy::rate_limit::lease::SharedLimit {
        lane,
        period: Duration::from_millis(10),
        burst: 10,
    };
    assert_eq!(parts.limits.lease(&limit, 100).await.unwrap().tokens, 10);
    let limits = async || corner.keys().await.into_iter().filter(|key| key.contains(":limit:")).count();
    assert_eq!(limits().await, 1, "{}", corner.prefix());
    let until = Instant::now() + Duration::from_secs(10);
    while limits().await > 0 {
        assert!(Instant::now() < until, "it stays");
        sleep(Duration::from_millis(50)).await;
    }
}
