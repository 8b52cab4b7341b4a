//! Jobs that do nothing: how many are run a second, and how soon one starts.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use orchestrator_core::types::{TraceId, WorkspaceId};
use orchestrator_core::worker::WorkerOptions;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use crate::AnyError;
use crate::calls::{Served, wire_event};
use crate::durable::job;
use crate::install::{Backend, Install, set_up};
use crate::measure::{Measured, rate};
use crate::options::Options;
use crate::product::Product;
use crate::wire::Wire;

/// Nothing listens here, and nothing is called.
const NOWHERE: &str = "http://127.0.0.1:9";
/// Jobs are accepted so many at a time before the clock runs.
const AT_ONCE: usize = 500;
/// A load that has not ended by then is stuck.
const STUCK: Duration = Duration::from_secs(300);

fn worker() -> WorkerOptions {
    WorkerOptions { slots: 1_024, per_workspace: 1_024, ..WorkerOptions::default() }
}

/// Workspaces for the loads, the first of them `bench-dev`.
///
/// # Errors
/// One cannot be made.
pub async fn workspaces(install: &Install, count: usize) -> Result<Vec<WorkspaceId>, AnyError> {
    let mut all = vec![install.workspace.clone()];
    for number in 1..count {
        let workspace: WorkspaceId = format!("bench{number}-dev").parse()?;
        set_up(&install.engine, &workspace, NOWHERE).await?;
        all.push(workspace);
    }
    Ok(all)
}

/// Accepts `jobs` jobs, spread over the workspaces in turn.
async fn fill(install: &Install, workspaces: &[WorkspaceId], jobs: usize) -> Result<(), AnyError> {
    let each = (jobs / workspaces.len()).clamp(1, AT_ONCE);
    let mut calls = JoinSet::new();
    for number in 0..jobs.div_ceil(each) {
        let workspace = workspaces.get(number % workspaces.len()).cloned().ok_or("no workspace")?;
        let size = each.min(jobs - number * each);
        let batch = std::iter::repeat_with(job).take(size).collect::<Result<Vec<_>, _>>()?;
        let engine = install.engine.clone();
        calls.spawn(async move { engine.jobs().submit(&workspace, batch, None, TraceId::new(), None).await });
        if calls.len() >= 16 {
            calls.join_next().await.ok_or("no call")???;
        }
    }
    while let Some(done) = calls.join_next().await {
        done??;
    }
    Ok(())
}

/// Claims, runs and settles jobs that wait, with attempts, fences, events and the request log: from the first claim until
/// nothing is left.
///
/// # Errors
/// A job is lost, or it takes too long.
pub async fn drain(options: &Options, backend: &Backend, jobs: usize, over: usize) -> Result<Measured, AnyError> {
    let filler = Install::on(backend, options, NOWHERE, false).await?;
    let workspaces = workspaces(&filler, over).await?;
    fill(&filler, &workspaces, jobs).await?;
    filler.end().await?;
    rest(options, backend, jobs).await
}

/// Accepts jobs on an install that is set up.
///
/// # Errors
/// They are not accepted.
pub async fn add(options: &Options, backend: &Backend, jobs: usize) -> Result<(), AnyError> {
    let filler = Install::again(backend, options, None).await?;
    fill(&filler, std::slice::from_ref(&filler.workspace), jobs).await?;
    filler.end().await
}

/// Runs whatever waits.
///
/// # Errors
/// A job is lost, or it takes too long.
pub async fn rest(options: &Options, backend: &Backend, jobs: usize) -> Result<Measured, AnyError> {
    let began = Instant::now();
    let install = Install::again(backend, options, Some(worker())).await?;
    loop {
        if began.elapsed() > STUCK {
            return Err("jobs are not run".into());
        }
        sleep(Duration::from_millis(5)).await;
        if install.done.called.load(Ordering::Relaxed) < jobs as u64 {
            continue;
        }
        let queue = install.engine.health().await?.queue;
        if queue.ready + queue.waiting + queue.running == 0 {
            break;
        }
    }
    let time = began.elapsed();
    install.end().await?;
    Ok(Measured { per_second: rate(jobs, time), p50: Duration::ZERO, p99: Duration::ZERO })
}

/// Webhooks that are verified, taken in, and delivered to a product on this machine: how many deliveries a second, while
/// `in_flight` senders stay at most so many ahead that nothing piles up.
///
/// # Errors
/// A webhook is refused, or nothing is delivered.
pub async fn deliveries(options: &Options, backend: &Backend, in_flight: usize) -> Result<Measured, AnyError> {
    const AHEAD: u64 = 2_000;
    let product = Product::listen().await?;
    let filler = Install::on(backend, options, &product.url, false).await?;
    filler.end().await?;
    let install = Install::again(backend, options, Some(worker())).await?;
    let server = Served::start(&install).await?;
    let sent = Arc::new(AtomicU64::new(0));
    let from = Instant::now() + options.warm_up;
    let until = from + options.time;
    let mut senders = JoinSet::new();
    for _ in 0..in_flight {
        let (sent, delivered, address) = (sent.clone(), product.delivered.clone(), server.address);
        senders.spawn(async move {
            let mut wire = Wire::connect(address).await?;
            while Instant::now() < until {
                if sent.load(Ordering::Relaxed) > delivered.load(Ordering::Relaxed) + AHEAD {
                    sleep(Duration::from_millis(1)).await;
                    continue;
                }
                let (status, body) = wire.call(&wire_event(sent.fetch_add(1, Ordering::Relaxed))?).await?;
                if status != 200 {
                    return Err(format!("{status}: {}", String::from_utf8_lossy(&body)).into());
                }
            }
            Ok::<_, AnyError>(())
        });
    }
    sleep_until(from).await;
    let before = product.delivered.load(Ordering::Relaxed);
    sleep_until(until).await;
    let delivered = product.delivered.load(Ordering::Relaxed) - before;
    while let Some(sender) = senders.join_next().await {
        sender??;
    }
    server.end();
    install.end().await?;
    if delivered == 0 {
        return Err("nothing is delivered".into());
    }
    let delivered = usize::try_from(delivered)?;
    Ok(Measured { per_second: rate(delivered, options.time), p50: Duration::ZERO, p99: Duration::ZERO })
}

/// From the call that accepts a job until it starts, at so many a second.
///
/// # Errors
/// A job does not start.
pub async fn start_latency(options: &Options, backend: &Backend, per_second: u32) -> Result<Measured, AnyError> {
    let filler = Install::on(backend, options, NOWHERE, false).await?;
    filler.end().await?;
    let install = Install::again(backend, options, Some(WorkerOptions::default())).await?;
    let (mut asked, mut calls) = (Vec::new(), JoinSet::new());
    let began = Instant::now();
    let until = began + options.warm_up + options.time;
    let mut number = 0u32;
    loop {
        let at = began + Duration::from_secs(1) * number / per_second;
        if at >= until {
            break;
        }
        sleep_until(at).await;
        let mut call = job()?;
        call.input = json!({"n": number});
        let (engine, workspace) = (install.engine.clone(), install.workspace.clone());
        asked.push(Instant::now());
        calls.spawn(async move { engine.jobs().submit(&workspace, vec![call], None, TraceId::new(), None).await });
        number += 1;
    }
    while let Some(done) = calls.join_next().await {
        done??;
    }
    let waited = Instant::now();
    while install.done.called.load(Ordering::Relaxed) < u64::from(number) {
        if waited.elapsed() > STUCK {
            return Err("a job does not start".into());
        }
        sleep(Duration::from_millis(5)).await;
    }
    let starts = install.done.began.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let from = began + options.warm_up;
    let took = (0u64..).zip(asked).filter(|(_, asked)| *asked >= from);
    let took = took.filter_map(|(number, asked)| Some(*starts.get(&number)? - asked)).collect();
    install.end().await?;
    Ok(Measured::of(took, options.time))
}
