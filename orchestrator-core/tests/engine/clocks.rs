//! Nodes whose clocks lie: what the store and others compare with theirs is reckoned in the store's time.

use std::time::Duration;

use orchestrator_core::clock::Clock;
use orchestrator_core::execute::Call;
use orchestrator_core::jobs::JobCall;
use orchestrator_core::types::{JobStatus, Timestamp};
use orchestrator_core::worker::WorkerOptions;
use orchestrator_core::{Error, Orchestrator};
use serde_json::json;
use tokio::time::Instant;

use crate::fixture::{CB, LONG, TokioClock, World, call, config, job, stripe, submit};

/// A clock that is off by so many minutes.
struct Off(TokioClock, i64);

impl Clock for Off {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_ms(self.0.now().unix_ms() + self.1 * 60_000)
    }
}

async fn node_off(world: &World, minutes: i64, works: bool) -> Orchestrator {
    let builder = world.install.builder().clock(std::sync::Arc::new(Off(world.install.clock.clone(), minutes)));
    let builder = if works { builder.worker(WorkerOptions::default()) } else { builder };
    builder.build().await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn inv_36_a_node_whose_clock_lies_retries_when_it_should() {
    for minutes in [-10, 10, 60] {
        let world = World::idle().await;
        let _node = node_off(&world, minutes, true).await;
        // Its three retries wait one, two and four seconds.
        let never = world.submit(job("read", &["500"])).await;
        let begun = Instant::now();
        assert_eq!(world.ended(never).await.status, JobStatus::Dead);
        let took = begun.elapsed();
        assert!(took >= Duration::from_secs(7) && took < Duration::from_secs(30), "{minutes} min off: {took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn inv_36_a_delay_is_as_long_as_it_was_asked_for_on_a_node_whose_clock_lies() {
    for minutes in [-10, 10] {
        let world = World::working().await;
        let node = node_off(&world, minutes, false).await;
        let begun = Instant::now();
        let later = JobCall { delay: Some(Duration::from_secs(20)), ..job("read", &["ok"]) };
        let id = submit(&node, &world.shop, vec![later]).await.jobs[0].id;
        assert_eq!(world.ended(id).await.status, JobStatus::Succeeded);
        let took = begun.elapsed();
        assert!(took >= Duration::from_secs(20) && took < Duration::from_secs(22), "{minutes} min off: {took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn inv_36_a_call_that_was_begun_by_a_node_whose_clock_is_behind_is_not_taken_for_dead() {
    let policy = json!({"policies": {"default": {"timeout": {"attempt_ms": 20_000, "total_ms": 20_000}}}});
    let world = World::with(None, config("shop-dev", policy)).await;
    let behind = node_off(&world, -10, false).await;
    let keyed = || Call { idempotency: Some(("k".parse().unwrap(), [7; 32])), ..call("write", &["gate"]) };
    let shop = world.shop.clone();
    let first = tokio::spawn(async move { behind.execute(&shop, keyed()).await });
    world.script().reached(1).await;
    let second = world.engine.execute(&world.shop, keyed());
    let second = tokio::time::timeout(Duration::from_secs(5), second).await;
    assert!(second.is_err(), "it waits for the first one: {:?}", second.map(|ended| ended.map_err(|e| e.to_string())));
    world.script().open(1);
    assert!(first.await.unwrap().unwrap().result.is_ok());
    let again = world.engine.execute(&world.shop, keyed()).await;
    assert!(again.is_ok_and(|answer| answer.replayed));
    assert_eq!(world.script().count(), 1);
}

#[tokio::test(start_paused = true)]
async fn inv_36_webhooks_are_taken_and_delivered_by_a_node_whose_clock_lies() {
    let routes = json!({"main": {
        "provider": "stripe", "account": "acct_shop", "signing_secret": "whsec", "callback": "product",
    }});
    let world = World::with(None, config("shop-dev", json!({"webhook_routes": routes}))).await;
    let node = node_off(&world, 10, true).await;
    let now = world.install.clock.now();
    let body = json!({"id": "evt_1", "type": "invoice.paid", "account": "acct_shop"});
    stripe(&node, None, &body, "whsec_of_shop-dev", now).await.unwrap();
    let late = json!({"id": "evt_2", "type": "invoice.paid", "account": "acct_shop"});
    let refused = stripe(&node, None, &late, "whsec_of_shop-dev", now.before(Duration::from_secs(301))).await;
    assert!(matches!(refused, Err(Error::SignatureInvalid)), "{refused:?}");
    let delivered = tokio::time::timeout(LONG, world.product().reached(1)).await.unwrap().remove(0);
    assert!(delivered.verifies(CB));
    let signed: i64 = delivered.header("webhook-timestamp").parse().unwrap();
    assert!((signed - now.unix_ms() / 1_000).abs() <= 2, "a product refuses what is off by five minutes");
}
