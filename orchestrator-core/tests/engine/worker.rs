//! Taking over from workers that died, stopping without losing anything, and jobs that bring workers down.

use std::time::Duration;

use orchestrator_core::clock::Clock;
use orchestrator_core::store::Claim;
use orchestrator_core::types::{EventType, JobId, JobStatus};
use orchestrator_core::worker::WorkerOptions;
use serde_json::json;
use tokio::time::Instant;

use crate::fixture::{LONG, World, because, config, job, submit};

pub fn slots(slots: usize) -> WorkerOptions {
    WorkerOptions { slots, ..WorkerOptions::default() }
}

/// A worker that takes up to so many jobs, and dies with them.
async fn die_with(world: &World, max: usize, quarantine: bool) -> Vec<JobId> {
    let claim = Claim {
        owner: "doomed".to_owned(),
        max,
        per_workspace: max,
        lease: Duration::from_secs(30),
        quarantine,
        paused: Vec::new(),
        limited: Vec::new(),
        full: Vec::new(),
    };
    world.install.store.claim(claim).await.unwrap().into_iter().map(|claimed| claimed.record.job.id).collect()
}

#[tokio::test(start_paused = true)]
async fn inv_02_jobs_of_a_dead_worker_are_taken_over_within_lease_and_ten_seconds() {
    let world = World::idle().await;
    submit(&world.engine, &world.shop, vec![job("read", &["slow:20"]); 32]).await;
    let held = die_with(&world, 32, false).await;
    assert_eq!(held.len(), 32);
    let (started, worker) = (Instant::now(), world.install.worker(WorkerOptions::default()).await);
    for id in &held {
        let view = world.ended(*id).await;
        assert_eq!((view.status, view.attempt), (JobStatus::Succeeded, 2));
        assert!(world.script().of(id)[0].fence.unwrap() > 1, "the fence grew");
    }
    assert!(started.elapsed() < Duration::from_secs(40), "{:?}", started.elapsed());
    assert_eq!(world.script().most("shop-dev"), 1, "those that lost a lease run alone");
    assert_eq!(worker.health().await.unwrap().lost_leases, 32);
}

#[tokio::test(start_paused = true)]
async fn inv_03_a_worker_that_comes_back_too_late_changes_nothing() {
    // The first worker hangs on to its attempt while the store takes its lease away.
    let world = World::working().await;
    let id = world.submit(job("read", &["gate", "ok"])).await;
    world.script().reached(1).await;
    let rescued = world.install.store.rescue("other", Duration::from_secs(30), 10).await.unwrap();
    assert_eq!(rescued.0, 0, "its lease is renewed");
    // An operator cancels it meanwhile: the fence moved on.
    world.engine.jobs().cancel(&world.shop, id, orchestrator_core::types::TraceId::new()).await.unwrap();
    world.script().open(1);
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(world.status(id).await, JobStatus::Cancelled);
    assert_eq!(world.engine.health().await.unwrap().stale_settlements, 1);
    let ends = [EventType::JobSucceeded, EventType::JobDead, EventType::JobCancelled];
    assert_eq!(world.events(&ends).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_long_attempt_keeps_its_lease() {
    let slow = json!({"policies": {"default": {"timeout": {"attempt_ms": 300_000, "total_ms": 300_000}}}});
    let world = World::with(Some(WorkerOptions::default()), config("shop-dev", slow)).await;
    let _second = world.install.worker(WorkerOptions::default()).await;
    let id = world.submit(job("read", &["slow:200000"])).await;
    let view = world.ended(id).await;
    assert_eq!((view.status, view.attempt, world.script().of(id).len()), (JobStatus::Succeeded, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn inv_04_a_job_that_brings_down_three_workers_is_poison_and_takes_nobody_along() {
    let world = World::idle().await;
    let poison = world.submit(job("read", &["ok"])).await;
    assert_eq!(die_with(&world, 1, false).await, [poison]);
    let harmless = submit(&world.engine, &world.shop, vec![job("read", &["ok"]); 100]).await.jobs;
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_secs(31)).await;
        assert_eq!(world.install.store.rescue("watch", Duration::from_secs(30), 10).await.unwrap().0, 1);
        assert_eq!(die_with(&world, 1, true).await, [poison]);
    }
    let worker = world.install.worker(WorkerOptions::default()).await;
    let view = world.ended(poison).await;
    assert_eq!((view.status, view.error.unwrap().code.as_str(), view.attempt), (JobStatus::Dead, "poison", 3));
    let told = world.events(&[EventType::JobDead]).await;
    assert_eq!((told.len(), &told[0].data["reason"]), (1, &json!("poison")));
    for job in harmless {
        assert_eq!(world.ended(job.id).await.attempt, 1);
    }
    assert!(world.script().of(poison).is_empty());
    assert_eq!(worker.dead_letters().list(&world.shop, &Default::default(), None, 10).await.unwrap().items.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_job_whose_connector_panics_is_retried_and_dies_like_any_other() {
    let world = World::working().await;
    let lucky = world.submit(job("read", &["panic", "ok"])).await;
    let never = world.submit(job("read", &["panic"])).await;
    let once = world.submit(job("write", &["panic"])).await;
    assert_eq!(world.ended(lucky).await.attempt, 2);
    assert_eq!(world.ended(never).await.attempt, 4);
    assert_eq!(world.ended(once).await.attempt, 1, "it may have been sent, and is not idempotent");
    assert_eq!(world.engine.health().await.unwrap().lost_leases, 0);
}

#[tokio::test(start_paused = true)]
async fn inv_12_a_drain_lets_finish_what_can_and_gives_the_rest_back_at_once() {
    let policy = json!({"policies": {"default": {"timeout": {"attempt_ms": 100_000, "total_ms": 100_000}}}});
    let options = WorkerOptions { slots: 2, drain: Duration::from_secs(10), ..WorkerOptions::default() };
    let world = World::with(Some(options), config("shop-dev", policy)).await;
    let quick = world.submit(job("read", &["slow:5000"])).await;
    let slow = world.submit(job("read", &["slow:60000", "ok"])).await;
    let waiting = world.submit(job("read", &["ok"])).await;
    world.script().reached(2).await;
    let next = world.install.node().await;
    let started = Instant::now();
    world.engine.shutdown(Duration::from_secs(10)).await;
    assert!(started.elapsed() <= Duration::from_secs(11), "{:?}", started.elapsed());
    let status = async |id| next.jobs().get(&world.shop, id, Duration::ZERO).await.unwrap();
    assert_eq!(status(quick).await.status, JobStatus::Succeeded);
    let given_back = status(slow).await;
    assert_eq!((given_back.status, given_back.attempt), (JobStatus::Queued, 0), "no attempt is consumed");
    assert_eq!(status(waiting).await.status, JobStatus::Queued, "no new work");
    let worker = world.install.worker(WorkerOptions::default()).await;
    let resumed = Instant::now();
    for id in [slow, waiting] {
        assert_eq!(worker.jobs().get(&world.shop, id, LONG).await.unwrap().attempt, 1);
    }
    assert!(resumed.elapsed() < Duration::from_secs(2), "{:?}: no lease is waited for", resumed.elapsed());
}

#[tokio::test(start_paused = true)]
async fn inv_12_an_idle_node_stops_at_once() {
    let world = World::working().await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let started = Instant::now();
    world.engine.shutdown(Duration::from_secs(20)).await;
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    assert_eq!(world.engine.ready().await.unwrap_err().code(), "unavailable");
}

#[tokio::test(start_paused = true)]
async fn inv_35_a_job_whose_connector_is_not_there_waits_until_it_is() {
    let world = World::idle().await;
    let id = world.submit(job("read", &["ok"])).await;
    let without = crate::fixture::parse(config("shop-dev", json!({"connectors": {"crm": null}})));
    let change = |config| orchestrator_core::types::ConfigRequest { config, message: String::new(), activate: None };
    let configs = world.engine.configs();
    configs.add(&crate::fixture::admin(), &world.shop, change(without), None).await.unwrap();
    let _worker = world.install.worker(WorkerOptions::default()).await;
    tokio::time::sleep(LONG).await;
    let view = world.engine.jobs().get(&world.shop, id, Duration::ZERO).await.unwrap();
    assert!(!view.status.is_terminal() && view.attempt == 0, "{view:?}");
    let looked = world.events(&[EventType::JobStarted]).await.len();
    assert!(looked <= 121, "it was looked at {looked} times in an hour");
    configs.rollback(&crate::fixture::admin(), &world.shop, &because(), None).await.unwrap();
    assert_eq!(world.ended(id).await.status, JobStatus::Succeeded);
}

#[tokio::test(start_paused = true)]
async fn jobs_of_a_suspended_workspace_wait_and_go_on_when_it_is_resumed() {
    let world = World::working().await;
    let id = world.submit(crate::jobs::later(Duration::from_secs(1))).await;
    let workspaces = world.engine.workspaces();
    workspaces.suspend(&crate::fixture::admin(), &world.shop, &because()).await.unwrap();
    tokio::time::sleep(LONG).await;
    assert_eq!(world.script().count(), 0);
    workspaces.resume(&crate::fixture::admin(), &world.shop, &because()).await.unwrap();
    let resumed = world.install.clock.now();
    assert_eq!(world.ended(id).await.status, JobStatus::Succeeded);
    assert!(world.install.clock.now().since(resumed) <= Duration::from_secs(61));
}

#[tokio::test(start_paused = true)]
async fn jobs_of_a_deleted_workspace_die() {
    let world = World::idle().await;
    let id = world.submit(job("read", &["ok"])).await;
    world.engine.workspaces().delete(&crate::fixture::admin(), &world.shop, &because()).await.unwrap();
    let worker = world.install.worker(WorkerOptions::default()).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    let record = world.install.store.job(&world.shop, id).await.unwrap().unwrap();
    assert_eq!(record.dead_reason.as_deref(), Some("workspace_deleted"));
    assert_eq!((world.script().count(), worker.health().await.unwrap().lanes), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn inv_34_an_idle_worker_looks_about_once_a_second() {
    let world = World::working().await;
    let far = world.submit(crate::jobs::later(LONG)).await;
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(world.status(far).await, JobStatus::Scheduled);
    world.ended(far).await;
}
