//! What a policy may say beyond its six layers: hedges, fallbacks, held breakers, limits that nodes share; and how a call is
//! told as a waterfall.

use std::sync::Arc;
use std::time::Duration;

use orchestrator_core::execute::Executed;
use orchestrator_core::policy::rate_limit::lease::SharedTokens;
use orchestrator_core::types::{AttemptOutcome, ConfigRequest, EventType, ExecutionView, JobStatus, Stage};
use orchestrator_core::worker::WorkerOptions;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::fixture::{Install, World, admin, call, config, job, parse, workspace};

async fn with_policy(policy: Value) -> World {
    World::with(None, config("shop-dev", json!({"policies": {"default": policy}}))).await
}

async fn record(world: &World, executed: &Executed) -> ExecutionView {
    let id = match &executed.result {
        Ok(done) => done.id,
        Err(failed) => failed.id,
    };
    world.engine.executions().get(&world.shop, id).await.unwrap()
}

/// Makes `changes` to the config, as a new version that is active.
async fn change(world: &World, changes: Value) {
    let request = ConfigRequest { config: parse(config("shop-dev", changes)), message: String::new(), activate: None };
    world.engine.configs().add(&admin(), &world.shop, request, None).await.unwrap();
}

fn stages(view: &ExecutionView) -> Vec<(&str, u64, u64, &str)> {
    fn told(stage: &Stage) -> (&str, u64, u64, &str) {
        (&stage.stage, stage.start_ms, stage.duration_ms, &stage.outcome)
    }
    view.waterfall.iter().map(told).collect()
}

#[tokio::test(start_paused = true)]
async fn a_call_is_told_as_a_waterfall() {
    let world = with_policy(json!({
        "rate_limit": {"per_second": 10.0, "burst": 1, "on_limit": "wait"},
        "concurrency": {"max": 2, "queue": 2},
        "breaker": {"min_calls": 10},
    }))
    .await;
    world.call("read", &["ok"]).await;
    let executed = world.call("read", &["slow:30", "500", "slow:20"]).await;
    assert!(executed.result.is_ok());
    let executed = world.call("read", &["500", "slow:20"]).await;
    let view = record(&world, &executed).await;
    let [limit, place, first, wait, second] = &stages(&view)[..] else { panic!("{:?}", view.waterfall) };
    assert_eq!((limit.0, limit.1, limit.3), ("rate_limit", 0, "waited"));
    let from = limit.2;
    assert!((1..=100).contains(&from), "{from}");
    assert_eq!(*place, ("concurrency", from, 0, "admitted"));
    assert_eq!(*first, ("attempt", from, 0, "failed"));
    assert_eq!(*wait, ("wait", from, 100, "backoff"));
    assert_eq!(*second, ("attempt", from + 100, 20, "succeeded"));
    let seen: Vec<_> = view.waterfall.iter().filter_map(|stage| stage.attempt.and(stage.detail.as_deref())).collect();
    assert_eq!(seen, ["breaker closed: 0 of 2 calls failed", "breaker closed: 1 of 3 calls failed"]);
}

#[tokio::test(start_paused = true)]
async fn a_slow_read_is_hedged_and_the_record_shows_both_attempts() {
    let world = with_policy(json!({"hedge": {"quantile": 0.9, "min_ms": 1}})).await;
    for _ in 0..20 {
        world.call("read", &["slow:20"]).await;
    }
    let executed = world.call("read", &["hang", "slow:20"]).await;
    let view = record(&world, &executed).await;
    let done = executed.result.unwrap();
    assert_eq!((done.attempts, &done.output["attempt"]), (2, &json!(2)));
    assert!((40..50).contains(&done.duration_ms), "{}", done.duration_ms);
    let [first, hedge] = &view.attempts_log[..] else { panic!("{view:?}") };
    assert_eq!((first.number, first.outcome, first.status), (1, AttemptOutcome::Cancelled, None));
    assert_eq!((hedge.number, hedge.outcome, hedge.status), (2, AttemptOutcome::Succeeded, Some(200)));
    assert_eq!(hedge.wait_reason.as_deref(), Some("hedge"));
    assert_eq!(world.script().dropped(), 1, "the first one was given up");
    let kinds: Vec<_> = stages(&view).into_iter().map(|stage| stage.0).collect();
    assert_eq!(kinds, ["attempt", "hedge"]);
}

#[tokio::test(start_paused = true)]
async fn inv_19_a_write_is_never_hedged() {
    let world = with_policy(json!({"hedge": {"quantile": 0.9, "min_ms": 1}})).await;
    for _ in 0..20 {
        world.call("read", &["slow:20"]).await;
    }
    let executed = world.call("write", &["slow:500"]).await;
    assert_eq!(executed.result.unwrap().attempts, 1);
}

#[tokio::test(start_paused = true)]
async fn a_fallback_answers_for_the_failures_that_it_names_and_says_so() {
    let fallback = json!({"output": {"rate": null, "stale": true}, "on": ["upstream_failed", "timeout"]});
    let world = with_policy(json!({"fallback": fallback})).await;
    for steps in [["500"], ["hang"]] {
        let executed = world.call("read", &steps).await;
        let view = record(&world, &executed).await;
        let done = executed.result.unwrap();
        assert_eq!((done.fallback, &done.output), (true, &json!({"rate": null, "stale": true})));
        assert_eq!(stages(&view).last().map(|stage| (stage.0, stage.3)), Some(("fallback", "used")));
        assert!(view.attempts_log.iter().all(|attempt| attempt.outcome != AttemptOutcome::Succeeded));
    }
    let told = world.events(&[EventType::ExecutionSucceeded]).await;
    assert_eq!(told.iter().filter(|event| event.data["fallback"] == json!(true)).count(), 2);
    // What is not named, and what the upstream itself refused, is the caller's to know.
    for (steps, code) in [(["unreachable"], "upstream_unreachable"), (["404"], "upstream_rejected")] {
        assert_eq!(world.call("read", &steps).await.result.unwrap_err().error.code, code);
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_never_falls_back() {
    let policy = json!({"fallback": {"output": 1}, "job_retry": {"max_attempts": 2, "initial_ms": 10, "max_ms": 10}});
    let world =
        World::with(Some(WorkerOptions::default()), config("shop-dev", json!({"policies": {"default": policy}}))).await;
    let id = world.submit(job("read", &["500"])).await;
    let view = world.ended(id).await;
    assert_eq!((view.status, view.attempt), (JobStatus::Dead, 2));
}

#[tokio::test(start_paused = true)]
async fn a_breaker_that_is_held_open_sends_nothing_and_one_that_is_held_closed_everything() {
    let breaker = json!({"breaker": {"min_calls": 2, "failure_ratio": 0.5, "open_s": 60}, "retry": null});
    let hold = |hold: Value| json!({"policies": {"default": breaker}, "connectors": {"crm": {"breaker_hold": hold}}});
    let world = World::with(Some(WorkerOptions::default()), config("shop-dev", hold(json!("open")))).await;
    let failed = world.call("read", &["ok"]).await.result.unwrap_err();
    assert_eq!((failed.error.code.as_str(), failed.status()), ("breaker_open", 503));
    assert!(failed.retry_after().is_some());
    // A job waits, and costs no attempt.
    let id = world.submit(job("read", &["ok"])).await;
    sleep(Duration::from_secs(60)).await;
    assert_eq!(world.script().count(), 0);
    change(&world, hold(json!("closed"))).await;
    assert_eq!((world.ended(id).await.status, world.ended(id).await.attempt), (JobStatus::Succeeded, 1));
    for _ in 0..10 {
        assert_eq!(world.call("read", &["500"]).await.result.unwrap_err().error.code, "upstream_failed");
    }
    // Let go, it decides by itself again.
    change(&world, hold(Value::Null)).await;
    let codes: Vec<_> = {
        let mut codes = Vec::new();
        for _ in 0..3 {
            codes.push(world.call("read", &["500"]).await.result.unwrap_err().error.code);
        }
        codes
    };
    assert_eq!(codes, ["upstream_failed", "upstream_failed", "breaker_open"]);
}

#[tokio::test(start_paused = true)]
async fn a_breaker_can_only_be_held_where_there_is_one() {
    let world = World::idle().await;
    let changes = json!({"policies": {"default": {"breaker": null}}, "connectors": {"crm": {"breaker_hold": "open"}}});
    let request = ConfigRequest { config: parse(config("shop-dev", changes)), message: String::new(), activate: None };
    let error = world.engine.configs().add(&admin(), &world.shop, request, None).await.unwrap_err();
    assert_eq!(error.status(), 422);
    assert!(format!("{error:?}").contains("/connectors/crm/breaker_hold"), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn inv_21_engines_that_share_their_limits_admit_together_what_one_would() {
    let install = Install::new();
    let tokens = Arc::new(SharedTokens::between(2));
    let node = async || install.builder().token_leases(tokens.clone()).build().await.unwrap();
    let nodes = [node().await, node().await];
    let world = World { engine: nodes[0].clone(), shop: workspace("shop-dev"), install };
    let policy = json!({"rate_limit": {"per_second": 20.0, "burst": 10}, "retry": null});
    let shop = world.import("shop-dev", config("shop-dev", json!({"policies": {"default": policy}}))).await;
    let (start, mut admitted) = (Instant::now(), 0);
    while start.elapsed() < Duration::from_secs(10) {
        for node in &nodes {
            let executed = node.execute(&shop, call("read", &["ok"])).await.unwrap();
            admitted += u32::from(executed.result.is_ok());
        }
        sleep(Duration::from_millis(5)).await;
    }
    // Ten at once and twenty a second, and a lot of two tokens a node.
    assert!((200..=10 + 200 + 4).contains(&admitted), "{admitted}");
}

#[tokio::test(start_paused = true)]
async fn inv_37_what_is_remembered_of_an_idle_workspace_is_dropped_and_made_again() {
    let world = World::idle().await;
    assert!(world.call("read", &["ok"]).await.result.is_ok());
    let lanes = async || world.engine.health().await.unwrap().lanes;
    assert!(lanes().await > 0);
    // In two rounds of the duty, each at most six minutes and a quarter.
    sleep(Duration::from_secs(20 * 60)).await;
    assert_eq!(lanes().await, 0);
    assert!(world.call("read", &["ok"]).await.result.is_ok());
    assert!(lanes().await > 0);
}
