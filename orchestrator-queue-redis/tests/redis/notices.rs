//! A config that one node changes is live on another at once.

use std::time::Duration;

use orchestrator_conformance::servers::{RedisServer, Stop};
use orchestrator_core::queue::ConfigNotices;
use serde_json::json;
use tokio::time::{Instant, sleep, timeout};

use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn a_notice_reaches_every_node_and_is_kept_for_who_does_not_listen_just_now() {
    let world = World::new(json!({})).await;
    let (one, other) = (world.node(None).await, world.node(None).await);
    // Each hears that it began to listen.
    for node in [&one, &other] {
        let _ = timeout(Duration::from_secs(1), node.redis.notices.heard()).await;
    }
    let far = orchestrator_queue_redis::RedisQueue::connect(&world.options()).await.unwrap();
    timeout(Duration::from_secs(5), far.notices.heard()).await.expect("that it listens now");
    one.redis.notices.tell().await;
    timeout(Duration::from_secs(5), far.notices.heard()).await.expect("a notice");
    one.redis.notices.tell().await;
    sleep(Duration::from_millis(100)).await;
    timeout(Duration::from_millis(1), far.notices.heard()).await.expect("it was kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn inv_30_a_changed_config_is_live_elsewhere_sooner_than_anybody_polls() {
    let world = World::new(json!({})).await;
    let (one, other) = (world.node(None).await, world.node(None).await);
    world.import(&one, &world.shop).await;
    let version = async || other.engine.product_config(&world.shop).await.map_or(0, |(config, _)| config.version);
    let mut took = Vec::new();
    for _ in 0..10 {
        let before = version().await;
        world.import(&one, &world.shop).await;
        let changed = one.engine.product_config(&world.shop).await.unwrap().0.version;
        let started = Instant::now();
        while version().await != changed {
            assert!(started.elapsed() < Duration::from_secs(5), "{before} stays");
            sleep(Duration::from_millis(1)).await;
        }
        took.push(started.elapsed());
    }
    took.sort_unstable();
    assert!(took[5] < Duration::from_millis(150), "{took:?}: polling alone takes a quarter of a second");
    // Without Redis it is seen all the same.
    world.to_server(|server: &RedisServer| server.stop(Stop::Immediate)).await;
    world.import(&one, &world.shop).await;
    let changed = one.engine.product_config(&world.shop).await.unwrap().0.version;
    let started = Instant::now();
    while version().await != changed {
        assert!(started.elapsed() < Duration::from_secs(5), "it is not seen");
        sleep(Duration::from_millis(5)).await;
    }
}
