//! Redis forgets, fills up, hangs and goes away while thousands of jobs come in; and holds what nobody put there.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use orchestrator_conformance::servers::Stop;
use orchestrator_core::clock::{Clock, SystemClock};
use orchestrator_core::queue::{JobHint, JobQueue};
use orchestrator_queue_redis::{RedisOptions, RedisQueue};
use orchestrator_types::{JobId, JobRequest, JobStatus, WorkspaceId};
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::install::{Install, Tenant};
use crate::product::World;

/// How many jobs there are while Redis has its bad day; `CHAOS_JOBS` says another number.
fn how_many() -> usize {
    std::env::var("CHAOS_JOBS").ok().and_then(|jobs| jobs.parse().ok()).unwrap_or(3_000)
}

const IN_FLIGHT: usize = 16;
/// Longer than a reconcile, and than whatever a queue that is away is asked again after.
const PATIENCE: Duration = Duration::from_secs(90);

fn job(number: usize) -> JobRequest {
    serde_json::from_value(json!({
        "connector": "up", "operation": "request", "input": {"method": "GET", "path": format!("/{number}")},
    }))
    .unwrap()
}

/// Submits them all, and gives their ids. Every one is acknowledged at its first try.
async fn submitted(tenant: &Tenant, jobs: usize, count: &AtomicUsize) -> Vec<JobId> {
    let one = |number: usize| async move {
        let accepted = tenant.execs[number % tenant.execs.len()].submit(&job(number)).await;
        count.fetch_add(1, Ordering::Relaxed);
        accepted.unwrap_or_else(|error| panic!("job {number} was not acknowledged: {error:?}")).id
    };
    stream::iter((0..jobs).map(one)).buffer_unordered(IN_FLIGHT).collect().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inv_05_the_queue_may_forget_fill_up_hang_and_go_away_and_nothing_is_lost_or_refused() {
    let (world, install) = (World::start().await, Install::with_queue().await);
    let tenants = install.onboard(&world, &["queue-dev"]).await;
    let (tenant, redis) = (&tenants[0], install.redis.as_ref().unwrap());
    let (jobs, count) = (how_many(), Arc::<AtomicUsize>::default());
    let mut faults = 0;
    let striking = async {
        while count.load(Ordering::Relaxed) < jobs {
            match faults % 6 {
                0 => redis.flush(),
                1 => {
                    redis.stop(Stop::Fast);
                    redis.start_again();
                }
                2 => {
                    redis.pause();
                    sleep(Duration::from_millis(700)).await;
                    redis.resume();
                }
                3 => {
                    // Everything that needs memory is refused.
                    let _ = redis.command(&["config", "set", "maxmemory", "1"]);
                    sleep(Duration::from_millis(700)).await;
                    let _ = redis.command(&["config", "set", "maxmemory", "0"]);
                }
                4 => {
                    redis.kill();
                    sleep(Duration::from_millis(700)).await;
                    redis.start_again();
                }
                _ => {
                    // As a replica of nobody it takes no writes.
                    let _ = redis.command(&["replicaof", "127.0.0.1", "1"]);
                    sleep(Duration::from_millis(700)).await;
                    let _ = redis.command(&["replicaof", "no", "one"]);
                }
            }
            faults += 1;
            sleep(Duration::from_millis(100)).await;
        }
        faults
    };
    let (ids, faults) = tokio::join!(submitted(tenant, jobs, &count), striking);
    assert!(faults >= 6, "only {faults} faults while {jobs} jobs came in");
    let (done, attempts) = all_done(tenant, &ids).await;
    assert_eq!(done, BTreeMap::from([(JobStatus::Succeeded.as_str(), jobs)]));
    let calls = world.calls();
    assert!(calls >= jobs as u64 && calls <= attempts, "{calls} calls in {attempts} attempts");
    eprintln!("{jobs} jobs, {faults} faults of Redis: all done, in {attempts} attempts and {calls} calls");
}

/// Waits until all have ended: how many as what, and how many attempts they took.
async fn all_done(tenant: &Tenant, ids: &[JobId]) -> (BTreeMap<&'static str, usize>, u64) {
    let ended = |id: &JobId| {
        let (id, exec) = (*id, &tenant.execs[0]);
        async move { exec.wait_for_job(id, PATIENCE).await.unwrap_or_else(|error| panic!("{id}: {error}")) }
    };
    let mut jobs = stream::iter(ids.iter().map(ended)).buffer_unordered(IN_FLIGHT);
    let (mut done, mut attempts) = (BTreeMap::new(), 0);
    while let Some(job) = jobs.next().await {
        *done.entry(job.status.as_str()).or_default() += 1;
        attempts += u64::from(job.attempt);
    }
    (done, attempts)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inv_05_forged_hints_run_nothing() {
    let (world, install) = (World::start().await, Install::with_queue().await);
    let tenants = install.onboard(&world, &["mine-dev", "yours-dev"]).await;
    let exec = &tenants[0].execs[0];
    let done = exec.submit(&job(1)).await.unwrap().id;
    exec.wait_for_job(done, PATIENCE).await.unwrap();
    let later = JobRequest { delay_ms: Some(3_600_000), ..job(2) };
    let later = exec.submit(&later).await.unwrap().id;
    let options = RedisOptions::parse(&install.redis.as_ref().unwrap().url(), "dev").unwrap();
    let queue = RedisQueue::connect(&options).await.unwrap().queue;
    let now = SystemClock.now();
    let hint = |workspace: &str, job: JobId| JobHint {
        workspace: workspace.parse::<WorkspaceId>().unwrap(),
        job,
        delivery: false,
        target: Some("up".parse().unwrap()),
        priority: 9,
        run_at: now,
    };
    let mut forged: Vec<JobHint> = (0..200).map(|_| hint("mine-dev", JobId::new())).collect();
    for _ in 0..20 {
        // One that has run, one whose time has not come, another's, and one of a workspace that there is not.
        forged.extend([hint("mine-dev", done), hint("mine-dev", later), hint("yours-dev", later)]);
        forged.push(hint("nobody-dev", later));
    }
    queue.offer(&forged).await.unwrap();
    // They are taken and come to nothing; a real job behind them all runs.
    let real = exec.submit(&job(3)).await.unwrap().id;
    assert_eq!(exec.wait_for_job(real, PATIENCE).await.unwrap().status, JobStatus::Succeeded);
    let until = Instant::now() + PATIENCE;
    // The job of later is known to the queue.
    while queue.depth().await.unwrap() > 1 {
        assert!(Instant::now() < until, "forged hints stay");
        sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(world.calls(), 2, "a forged hint ran something");
    let (done, later) = (exec.job(done).await.unwrap(), exec.job(later).await.unwrap());
    assert_eq!((done.status, done.attempt), (JobStatus::Succeeded, 1), "{done:?}");
    assert_eq!((later.status, later.attempt), (JobStatus::Scheduled, 0), "{later:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inv_46_nodes_stay_ready_without_redis_and_a_metric_tells() {
    let (world, install) = (World::start().await, Install::with_queue().await);
    let tenants = install.onboard(&world, &["ready-dev"]).await;
    let (exec, redis) = (&tenants[0].execs[0], install.redis.as_ref().unwrap());
    let told = async |up: f64| {
        let until = Instant::now() + PATIENCE;
        for node in &install.nodes {
            while node.metric("orchestrator_hint_queue_up").await.total_cmp(&up).is_ne() {
                // Whoever has work for the queue notices.
                exec.submit(&job(0)).await.unwrap();
                assert_eq!(node.metric("orchestrator_store_up").await.total_cmp(&1.0), std::cmp::Ordering::Equal);
                assert!(Instant::now() < until, "{} does not tell queue_up {up}", node.name);
            }
            node.until(true).await;
        }
    };
    told(1.0).await;
    redis.stop(Stop::Fast);
    told(0.0).await;
    let without = exec.submit(&job(1)).await.unwrap().id;
    assert_eq!(exec.wait_for_job(without, PATIENCE).await.unwrap().status, JobStatus::Succeeded);
    redis.start_again();
    told(1.0).await;
    redis.pause();
    told(0.0).await;
    redis.resume();
    told(1.0).await;
}
