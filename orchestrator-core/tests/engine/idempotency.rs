//! Idempotency keys of `/execute`: one execution whatever happens, and not knowing is a state.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use orchestrator_core::execute::{Call, Executed};
use orchestrator_core::store::{Around, AroundCall, Begin, Begun, StoreCall, StoreError};
use orchestrator_core::types::ExecutionId;
use orchestrator_core::{Error, Orchestrator};
use serde_json::json;

use crate::fixture::{LONG, World, call, config};

fn keyed(key: &str, operation: &str, steps: &[&str]) -> Call {
    Call { idempotency: Some((key.parse().unwrap(), [7; 32])), ..call(operation, steps) }
}

fn id(executed: &Executed) -> ExecutionId {
    executed.result.as_ref().map_or_else(|failed| failed.id, |done| done.id)
}

async fn race(nodes: &[Orchestrator], world: &World, wanted: &Call) -> Vec<Executed> {
    let calls = (0..100).map(|at| nodes[at % nodes.len()].execute(&world.shop, wanted.clone()));
    join_all(calls).await.into_iter().map(Result::unwrap).collect()
}

#[tokio::test(start_paused = true)]
async fn inv_08_a_hundred_callers_of_one_key_on_two_nodes_make_one_execution() {
    let world = World::idle().await;
    let nodes = [world.engine.clone(), world.install.node().await];
    for (key, steps) in [("slow", ["slow:900"]), ("failing", ["422"])] {
        let before = world.script().count();
        let answers = race(&nodes, &world, &keyed(key, "write", &steps)).await;
        assert_eq!(world.script().count() - before, 1, "{key}");
        assert_eq!(answers.iter().filter(|answer| !answer.replayed).count(), 1, "{key}");
        assert!(answers.iter().all(|answer| id(answer) == id(&answers[0])), "{key}");
    }
    let kept = world.engine.execute(&world.shop, keyed("failing", "write", &["422"])).await.unwrap();
    let failed = kept.result.unwrap_err();
    assert!(kept.replayed && failed.error.code == "upstream_rejected" && failed.status() == 502, "{failed:?}");
    assert_eq!(failed.error.upstream.unwrap().body, json!({"said": "no"}));
}

#[tokio::test(start_paused = true)]
async fn inv_08_another_body_under_the_same_key_is_refused() {
    let world = World::idle().await;
    world.engine.execute(&world.shop, keyed("k", "write", &["ok"])).await.unwrap();
    let other = Call { idempotency: Some(("k".parse().unwrap(), [8; 32])), ..call("write", &["ok"]) };
    let error = world.engine.execute(&world.shop, other).await.unwrap_err();
    assert_eq!((error.code(), error.status()), ("idempotency_mismatch", 422));
    assert_eq!(world.script().count(), 1);
}

#[tokio::test(start_paused = true)]
async fn inv_08_a_refusal_by_a_limit_or_the_breaker_is_not_pinned() {
    let policy = json!({
        "retry": {"max_attempts": 1},
        "rate_limit": {"per_second": 1.0, "burst": 2},
        "breaker": {"min_calls": 1, "open_s": 5, "half_open_calls": 1},
    });
    let world = World::with(None, config("shop-dev", json!({"policies": {"default": policy}}))).await;
    world.call("read", &["500"]).await;
    let wanted = keyed("k", "write", &["ok"]);
    for (code, wait) in [("breaker_open", 0), ("rate_limited", 10)] {
        let executed = world.engine.execute(&world.shop, wanted.clone()).await.unwrap();
        assert_eq!(executed.result.unwrap_err().error.code, code);
        tokio::time::advance(Duration::from_secs(wait)).await;
    }
    let executed = world.engine.execute(&world.shop, wanted).await.unwrap();
    assert!(executed.result.is_ok() && !executed.replayed);
}

#[tokio::test(start_paused = true)]
async fn inv_08_callers_that_wait_for_a_refused_one_make_the_call_themselves() {
    let policy = json!({"concurrency": {"max": 1, "queue": 0}});
    let world = World::with(None, config("shop-dev", json!({"policies": {"default": policy}}))).await;
    let (engine, shop) = (world.engine.clone(), world.shop.clone());
    let busy = tokio::spawn(async move { engine.execute(&shop, call("read", &["slow:500"])).await });
    world.script().reached(1).await;
    let answers = race(std::slice::from_ref(&world.engine), &world, &keyed("k", "write", &["ok"])).await;
    assert!(answers.iter().all(|answer| answer.result.as_ref().is_err_and(|e| e.error.code == "concurrency_limited")));
    assert!(busy.await.unwrap().unwrap().result.is_ok());
    assert!(world.engine.execute(&world.shop, keyed("k", "write", &["ok"])).await.unwrap().result.is_ok());
    assert_eq!(world.script().count(), 2);
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_longer_than_half_a_minute_is_told_that_it_is_in_progress() {
    let slow = json!({"timeout": {"attempt_ms": 60_000, "total_ms": 60_000}});
    let world = World::with(None, config("shop-dev", json!({"policies": {"default": slow}}))).await;
    let wanted = keyed("k", "write", &["slow:50000"]);
    let (first, second) = tokio::join!(
        world.engine.execute(&world.shop, wanted.clone()),
        world.engine.execute(&world.shop, wanted.clone())
    );
    let (done, waited) = if first.is_ok() { (first, second) } else { (second, first) };
    assert!(done.unwrap().result.is_ok());
    let error = waited.unwrap_err();
    assert_eq!((error.code(), error.status()), ("idempotency_in_progress", 409));
}

/// A node that began a call and died: nothing is heard of it any more.
async fn died(world: &World, key: &str) -> ExecutionId {
    let execution = ExecutionId::new();
    let valid_until = orchestrator_core::clock::Clock::now(&world.install.clock).after(Duration::from_secs(40));
    let begin = Begin { key: key.parse().unwrap(), request_hash: [7; 32], execution, valid_until, take_over: false };
    assert_eq!(world.install.store.begin(&world.shop, begin).await.unwrap(), Begun::Fresh);
    execution
}

#[tokio::test(start_paused = true)]
async fn inv_32_what_died_half_way_is_unknown_and_runs_again_only_if_that_is_harmless() {
    let world = World::idle().await;
    let (first, _) = (died(&world, "write").await, died(&world, "read").await);
    tokio::time::advance(Duration::from_secs(41)).await;
    match world.engine.execute(&world.shop, keyed("write", "write", &["ok"])).await.unwrap_err() {
        Error::OutcomeUnknown { execution, last_step } => {
            assert_eq!(execution, first.to_string());
            assert!(!last_step.is_empty());
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(world.script().count(), 0);
    let answers = race(std::slice::from_ref(&world.engine), &world, &keyed("read", "read", &["slow:100"])).await;
    assert!(answers.iter().all(|answer| answer.result.is_ok()));
    assert_eq!(world.script().count(), 1, "of those that take over, one does");
}

#[tokio::test(start_paused = true)]
async fn a_kept_answer_is_kept_for_a_day() {
    let world = World::idle().await;
    let first = world.engine.execute(&world.shop, keyed("k", "write", &["ok"])).await.unwrap();
    tokio::time::advance(23 * LONG).await;
    let again = world.engine.execute(&world.shop, keyed("k", "write", &["ok"])).await.unwrap();
    assert!(again.replayed && id(&again) == id(&first));
    tokio::time::advance(2 * LONG).await;
    let fresh = world.engine.execute(&world.shop, keyed("k", "write", &["ok"])).await.unwrap();
    assert!(!fresh.replayed && id(&fresh) != id(&first));
}

#[tokio::test(start_paused = true)]
async fn inv_22_a_caller_that_goes_away_while_it_waits_sends_nothing() {
    let world = World::idle().await;
    let first = world.engine.execute(&world.shop, keyed("k", "write", &["slow:900"]));
    let second = async {
        world.script().reached(1).await;
        let waiting = world.engine.execute(&world.shop, keyed("k", "write", &["slow:900"]));
        assert!(tokio::time::timeout(Duration::from_millis(200), waiting).await.is_err());
    };
    let (first, ()) = tokio::join!(first, second);
    assert!(first.unwrap().result.is_ok());
    tokio::time::sleep(LONG).await;
    assert_eq!(world.script().count(), 1);
}

/// A store whose request log is away while `away` says so.
struct Away(Arc<AtomicBool>);

#[async_trait]
impl AroundCall for Away {
    async fn around<T: Send + 'static>(&self, method: &'static str, call: StoreCall<'_, T>) -> Result<T, StoreError> {
        if method == "log" && self.0.load(Ordering::SeqCst) {
            return Err(StoreError::unavailable("away"));
        }
        call.await
    }
}

async fn node_without_log(world: &World) -> (Orchestrator, Arc<AtomicBool>) {
    let away = Arc::new(AtomicBool::new(true));
    let store = Arc::new(Around::new(world.install.store.clone(), Away(away.clone())));
    (world.install.builder().store(store).build().await.unwrap(), away)
}

#[tokio::test(start_paused = true)]
async fn inv_08_an_answer_under_a_key_is_given_when_it_is_kept_and_not_before() {
    let world = World::idle().await;
    let (node, away) = node_without_log(&world).await;
    let refused = node.execute(&world.shop, keyed("k", "write", &["ok"])).await.unwrap_err();
    assert_eq!((refused.code(), refused.status(), world.script().count()), ("unavailable", 503, 1));
    // What was not written at once is written behind the answer when the store is back.
    away.store(false, Ordering::SeqCst);
    let again = world.engine.execute(&world.shop, keyed("k", "write", &["ok"])).await.unwrap();
    assert!(again.replayed && again.result.is_ok());
    assert_eq!(world.script().count(), 1);
}

#[tokio::test(start_paused = true)]
async fn inv_32_an_answer_that_was_never_kept_was_never_given() {
    let world = World::idle().await;
    let (node, _away) = node_without_log(&world).await;
    assert!(node.execute(&world.shop, keyed("k", "read", &["ok"])).await.is_err());
    node.shutdown(Duration::from_secs(1)).await;
    tokio::time::sleep(Duration::from_secs(120)).await;
    let first = world.engine.execute(&world.shop, keyed("k", "read", &["ok"])).await.unwrap();
    let again = world.engine.execute(&world.shop, keyed("k", "read", &["ok"])).await.unwrap();
    assert_eq!(id(&first), id(&again), "whoever heard an answer hears no other");
}

#[tokio::test(start_paused = true)]
async fn inv_32_a_call_whose_record_is_late_is_answered_once_it_is_written() {
    let world = World::idle().await;
    let (node, away) = node_without_log(&world).await;
    let back = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        away.store(false, Ordering::SeqCst);
    };
    let (answer, ()) = tokio::join!(node.execute(&world.shop, keyed("k", "write", &["ok"])), back);
    assert!(answer.unwrap().result.is_ok());
}
