//! Limits inside jobs: they delay, consume no attempt, hold no slot, and nothing is claimed in vain.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use orchestrator_core::policy::rate_limit::lease::{Lease, LeasesAway, SharedLimit, SharedTokens, TokenLeases};
use orchestrator_core::types::{EventType, JobStatus};
use orchestrator_core::worker::WorkerOptions;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::fixture::{World, config, job, submit};

async fn with_policy(policy: Value) -> World {
    let config = config("shop-dev", json!({"policies": {"default": policy}}));
    World::with(Some(WorkerOptions::default()), config).await
}

/// Submits so many jobs and waits until all have ended well at their first attempt.
async fn all_succeed(world: &World, count: usize, steps: &[&str]) -> Duration {
    let started = Instant::now();
    let ids = submit(&world.engine, &world.shop, vec![job("write", steps); count]).await.jobs;
    for job in &ids {
        let view = world.ended(job.id).await;
        assert_eq!((view.status, view.attempt), (JobStatus::Succeeded, 1), "{view:?}");
    }
    assert_eq!(world.script().count(), count, "nothing was sent twice");
    started.elapsed()
}

/// Attempts that began in vain: told as started, and given back.
async fn in_vain(world: &World, count: usize) -> usize {
    world.events(&[EventType::JobStarted]).await.len() - count
}

#[tokio::test(start_paused = true)]
async fn inv_21_a_rate_limit_makes_jobs_wait_and_is_exact() {
    let world = with_policy(json!({"rate_limit": {"per_second": 50.0, "burst": 10}})).await;
    let took = all_succeed(&world, 200, &["ok"]).await;
    assert!(took >= Duration::from_millis(3_800), "{took:?} for 190 at 50 a second");
    assert!(took < Duration::from_millis(4_800), "{took:?}: the limit was not used");
    let at: Vec<_> = world.script().seen().iter().map(|seen| seen.at).collect();
    for (first, from) in at.iter().enumerate() {
        for (last, to) in at.iter().enumerate().skip(first) {
            let allowed = 10.0 + 50.0 * (*to - *from).as_secs_f64();
            assert!((last - first + 1) as f64 <= allowed + 1e-6, "{first} to {last}");
        }
    }
    let in_vain = in_vain(&world, 200).await;
    assert!(in_vain <= 64, "only the first claim did not know of the limit: {in_vain}");
    assert_eq!(world.engine.health().await.unwrap().running, 0);
}

#[tokio::test(start_paused = true)]
async fn inv_21_a_concurrency_limit_makes_jobs_wait_and_holds_no_slot() {
    let world = with_policy(json!({"concurrency": {"max": 3, "queue": 0}})).await;
    let took = all_succeed(&world, 60, &["slow:1000"]).await;
    assert!((20..24).contains(&took.as_secs()), "{took:?}");
    assert_eq!(world.script().most("shop-dev"), 3);
    let in_vain = in_vain(&world, 60).await;
    assert!(in_vain <= 64, "{in_vain}");
}

#[tokio::test(start_paused = true)]
async fn inv_19_jobs_wait_for_an_open_breaker_and_consume_no_attempt() {
    let policy =
        json!({"breaker": {"window_s": 60, "min_calls": 2, "failure_ratio": 0.5, "open_s": 30, "half_open_calls": 1}});
    let world = with_policy(policy).await;
    for _ in 0..2 {
        let id = world.submit(job("write", &["500"])).await;
        world.ended(id).await;
    }
    let sent = world.script().count();
    let ids = submit(&world.engine, &world.shop, vec![job("write", &["ok"]); 20]).await.jobs;
    let started = Instant::now();
    for job in &ids {
        let view = world.ended(job.id).await;
        assert_eq!((view.status, view.attempt), (JobStatus::Succeeded, 1));
    }
    assert!((29..33).contains(&started.elapsed().as_secs()), "{:?}", started.elapsed());
    assert_eq!(world.script().count() - sent, 20);
    let kinds = [EventType::BreakerOpened, EventType::BreakerHalfOpened, EventType::BreakerClosed];
    assert_eq!(world.events(&kinds).await.iter().map(|event| event.kind).collect::<Vec<_>>(), kinds);
}

#[tokio::test(start_paused = true)]
async fn inv_19_when_every_attempt_fails_retries_stay_within_their_budget() {
    let world = with_policy(json!({"job_retry": {"max_attempts": 100, "initial_ms": 10, "max_ms": 10}})).await;
    let count = 100;
    submit(&world.engine, &world.shop, vec![job("read", &["500"]); count]).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    let attempts = world.script().count();
    // A fifth of the calls, ten that were saved up, and one a second.
    assert!(attempts <= count + count / 5 + 10 + 31, "{attempts}");
    assert!(attempts >= count + count / 5 + 30, "{attempts}: the budget is there to be used");
    let told = world.events(&[EventType::JobStarted]).await.len();
    assert!(told <= attempts + 10 * count, "{told} were told to have started for {attempts} attempts");
}

#[tokio::test(start_paused = true)]
async fn inv_14_one_workspace_at_its_limits_does_not_hold_up_another() {
    let slots = WorkerOptions { slots: 8, per_workspace: 6, ..WorkerOptions::default() };
    let limited = json!({"policies": {"default": {"rate_limit": {"per_second": 1.0, "burst": 1}}}});
    let world = World::with(Some(slots), config("shop-dev", limited)).await;
    let other = world.import("mall-dev", config("mall-dev", json!({}))).await;
    submit(&world.engine, &world.shop, vec![job("read", &["hang"]); 1_000]).await;
    world.script().reached(1).await;
    let started = Instant::now();
    let ids = submit(&world.engine, &other, vec![job("read", &["slow:10"]); 10]).await.jobs;
    for job in &ids {
        assert_eq!(world.engine.jobs().get(&other, job.id, crate::fixture::LONG).await.unwrap().attempt, 1);
    }
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn inv_14_of_the_first_hundred_jobs_dispatched_all_ten_of_a_latecomer() {
    let world = World::with(None, config("shop-dev", json!({}))).await;
    let other = world.import("mall-dev", config("mall-dev", json!({}))).await;
    for _ in 0..5 {
        submit(&world.engine, &world.shop, vec![job("read", &["slow:50"]); 1_000]).await;
    }
    submit(&world.engine, &other, vec![job("read", &["slow:50"]); 10]).await;
    let _worker = world.install.worker(crate::worker::slots(4)).await;
    world.script().reached(100).await;
    let seen = world.script().seen();
    assert_eq!(seen[..100].iter().filter(|seen| seen.workspace == "mall-dev").count(), 10);
}

/// Shared limits that can be taken away.
struct Place(SharedTokens, AtomicBool);

#[async_trait]
impl TokenLeases for Place {
    async fn lease(&self, limit: &SharedLimit, want: u32) -> Result<Lease, LeasesAway> {
        if self.1.load(Ordering::SeqCst) { Err(LeasesAway) } else { self.0.lease(limit, want).await }
    }

    fn nodes(&self) -> u32 {
        self.0.nodes()
    }
}

/// Two nodes that work, over one limit of 100 a second.
async fn sharing() -> (World, Arc<Place>, Vec<orchestrator_core::Orchestrator>) {
    let limit = json!({"policies": {"default": {"rate_limit": {"per_second": 100.0, "burst": 10}}}});
    let world = World::with(None, config("shop-dev", limit)).await;
    let place = Arc::new(Place(SharedTokens::between(2), AtomicBool::default()));
    let mut nodes = Vec::new();
    for _ in 0..2 {
        let builder = world.install.builder().worker(WorkerOptions::default()).token_leases(place.clone());
        nodes.push(builder.build().await.unwrap());
    }
    (world, place, nodes)
}

#[tokio::test(start_paused = true)]
async fn inv_21_jobs_of_two_nodes_wait_for_one_limit_and_use_all_of_it() {
    let (world, _place, _nodes) = sharing().await;
    for round in 1..3 {
        let started = Instant::now();
        let ids = submit(&world.engine, &world.shop, vec![job("write", &["ok"]); 500]).await.jobs;
        for job in &ids {
            assert_eq!(world.ended(job.id).await.attempt, 1);
        }
        let took = started.elapsed();
        assert!((4_500..7_000).contains(&took.as_millis()), "{took:?} for 490 at 100 a second");
        assert_eq!(world.script().count(), 500 * round);
        // Then it lies idle for a while, and the lots go stale.
        tokio::time::sleep(Duration::from_secs(60)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn inv_21_jobs_go_on_by_each_nodes_share_while_the_shared_limit_is_away() {
    let (world, place, _nodes) = sharing().await;
    place.1.store(true, Ordering::SeqCst);
    let started = Instant::now();
    let ids = submit(&world.engine, &world.shop, vec![job("write", &["ok"]); 500]).await.jobs;
    for job in &ids[..250] {
        assert_eq!(world.ended(job.id).await.attempt, 1);
    }
    place.1.store(false, Ordering::SeqCst);
    for job in &ids {
        assert_eq!(world.ended(job.id).await.attempt, 1);
    }
    let took = started.elapsed();
    assert!((4_000..12_000).contains(&took.as_millis()), "{took:?} for 490 at 100 a second");
}
