//! Invariant 14: one workspace at many times its share, with a backlog and an upstream that hangs, beside a neighbour.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use orchestrator_core::execute::Call;
use orchestrator_core::types::{TraceId, WorkspaceId};
use orchestrator_core::worker::WorkerOptions;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use crate::AnyError;
use crate::durable::job;
use crate::install::{Backend, Install};
use crate::measure::Measured;
use crate::options::Options;
use crate::queue::workspaces;

/// What the neighbour saw: how soon its jobs started, and how long its calls took.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    /// From acceptance to start.
    pub starts: Measured,
    /// `/execute`, in process.
    pub calls: Measured,
}

/// A neighbour alone, then beside a workspace with `backlog` jobs that hang: the same install, one after the other.
///
/// # Errors
/// A job of the neighbour does not start.
pub async fn quiet_and_noisy(options: &Options, backend: &Backend, backlog: usize) -> Result<(Seen, Seen), AnyError> {
    let filler = Install::on(backend, options, "http://127.0.0.1:9", false).await?;
    let all = workspaces(&filler, 2).await?;
    filler.end().await?;
    let install = Install::again(backend, options, Some(WorkerOptions::default())).await?;
    let (noisy, neighbour) = (all.first().cloned().ok_or("no workspace")?, all.get(1).cloned().ok_or("no workspace")?);
    let mut numbers = 0u64;
    let quiet = neighbourly(options, &install, &neighbour, &mut numbers).await?;
    let mut left = backlog;
    while left > 0 {
        let size = left.min(1_000);
        let batch = std::iter::repeat_with(|| {
            job().map(|mut job| {
                job.input = json!({"hang": true});
                job
            })
        });
        let batch = batch.take(size).collect::<Result<Vec<_>, _>>()?;
        install.engine.jobs().submit(&noisy, batch, None, TraceId::new(), None).await?;
        left -= size;
    }
    let ended = Arc::new(AtomicBool::new(false));
    let pressing = press(&install, &noisy, ended.clone());
    let beside = neighbourly(options, &install, &neighbour, &mut numbers).await;
    ended.store(true, Ordering::Relaxed);
    drop(pressing);
    install.end().await?;
    Ok((quiet, beside?))
}

/// Calls of the noisy one that hang, as many as it may have.
fn press(install: &Install, noisy: &WorkspaceId, ended: Arc<AtomicBool>) -> JoinSet<()> {
    let mut calls = JoinSet::new();
    for _ in 0..100 {
        let (engine, noisy, ended) = (install.engine.clone(), noisy.clone(), ended.clone());
        calls.spawn(async move {
            while !ended.load(Ordering::Relaxed) {
                // Twenty times a second each: together twenty times what the neighbour asks for.
                let at_least = sleep(Duration::from_millis(50));
                if let Ok(call) = call(json!({"hang": true}), Some(Duration::from_millis(500))) {
                    let _ = engine.execute(&noisy, call).await;
                }
                at_least.await;
            }
        });
    }
    calls
}

fn call(input: serde_json::Value, timeout: Option<Duration>) -> Result<Call, AnyError> {
    let (connector, operation) = ("nothing".parse()?, "do".to_owned());
    Ok(Call { connector, operation, input, timeout, idempotency: None, trace_id: TraceId::new() })
}

async fn neighbourly(
    options: &Options,
    install: &Install,
    neighbour: &WorkspaceId,
    numbers: &mut u64,
) -> Result<Seen, AnyError> {
    let (began, first) = (Instant::now(), *numbers);
    let until = began + options.time;
    let (mut asked, mut submits, mut took) = (Vec::new(), JoinSet::new(), Vec::new());
    let mut turn = 0u32;
    loop {
        let at = began + Duration::from_millis(10) * turn;
        if at >= until {
            break;
        }
        sleep_until(at).await;
        turn += 1;
        let mut one = job()?;
        one.input = json!({"n": *numbers});
        *numbers += 1;
        let (engine, workspace) = (install.engine.clone(), neighbour.clone());
        asked.push(Instant::now());
        submits.spawn(async move { engine.jobs().submit(&workspace, vec![one], None, TraceId::new(), None).await });
        let before = Instant::now();
        install
            .engine
            .execute(neighbour, call(json!({}), None)?)
            .await?
            .result
            .map_err(|failure| failure.error.detail)?;
        took.push(before.elapsed());
    }
    while let Some(done) = submits.join_next().await {
        done??;
    }
    let waited = Instant::now();
    let starts = loop {
        let starts = install.done.began.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        if (first..*numbers).all(|number| starts.contains_key(&number)) {
            break starts;
        }
        if waited.elapsed() > Duration::from_secs(60) {
            return Err("a job of the neighbour does not start".into());
        }
        sleep(Duration::from_millis(5)).await;
    };
    let soon = (first..).zip(asked).filter_map(|(number, asked)| Some(*starts.get(&number)? - asked)).collect();
    Ok(Seen { starts: Measured::of(soon, options.time), calls: Measured::of(took, options.time) })
}
