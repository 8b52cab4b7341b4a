//! What must be on disk before it is acknowledged, beside what the disk can do.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use orchestrator_core::Orchestrator;
use orchestrator_core::clock::{Clock, SystemClock};
use orchestrator_core::jobs::JobCall;
use orchestrator_core::secrets::Secret;
use orchestrator_core::types::{TraceId, WorkspaceId};
use orchestrator_core::webhooks::Ingress;
use orchestrator_core::webhooks::signature::{Fixture, provider};
use serde_json::json;
use sqlx::ConnectOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::AnyError;
use crate::install::{ACCOUNT, Backend, Install, SECRET};
use crate::measure::{Measured, closed_loop, rate};
use crate::options::Options;

const IN_FLIGHT: usize = 64;
/// Callers of the whole way stay at most so many jobs ahead of the worker.
const AHEAD: u64 = 4_096;
/// Nothing listens here, and nothing is delivered.
const NOWHERE: &str = "http://127.0.0.1:9";

/// SQLite by itself: transactions of one row, one after the other, each on disk before the next, in the same kind of file.
///
/// # Errors
/// The install does not start, or a call fails.
pub async fn commits(options: &Options) -> Result<Measured, AnyError> {
    let folder = tempfile::tempdir_in(&options.dir)?;
    let file = SqliteConnectOptions::new()
        .filename(folder.path().join("commits.db"))
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .pragma("wal_autocheckpoint", "4000")
        .disable_statement_logging();
    let mut connection = file.connect().await?;
    sqlx::query("CREATE TABLE rows (id INTEGER PRIMARY KEY, body BLOB NOT NULL)").execute(&mut connection).await?;
    let body = vec![7u8; 256];
    let from = Instant::now() + options.warm_up;
    let (until, mut took) = (from + options.time, Vec::new());
    loop {
        let began = Instant::now();
        sqlx::query("INSERT INTO rows (body) VALUES (?)").bind(&body).execute(&mut connection).await?;
        let ended = Instant::now();
        if ended >= until {
            break;
        }
        if ended >= from {
            took.push(ended - began);
        }
    }
    sqlx::Connection::close(connection).await?;
    Ok(Measured::of(took, options.time))
}

/// A job that does nothing.
///
/// # Errors
/// None: its names are well-formed.
pub fn job() -> Result<JobCall, AnyError> {
    Ok(JobCall {
        connector: "nothing".parse()?,
        operation: "do".to_owned(),
        input: json!({"invoice": "in_1001", "amount": 4_900, "currency": "eur"}),
        timeout: None,
        run_at: None,
        delay: None,
        priority: None,
        callback: None,
        ordering_key: None,
        max_attempts: None,
        metadata: BTreeMap::from([("order".to_owned(), "1001".to_owned())]),
    })
}

async fn submit(engine: &Orchestrator, workspace: &WorkspaceId) -> Result<(), AnyError> {
    engine.jobs().submit(workspace, vec![job()?], None, TraceId::new(), None).await?;
    Ok(())
}

/// Jobs accepted: job row and event committed before each answer. Nobody runs them.
///
/// # Errors
/// The install does not start, or a call fails.
pub async fn enqueue(options: &Options, backend: &Backend) -> Result<Measured, AnyError> {
    let install = Install::on(backend, options, NOWHERE, false).await?;
    let (engine, workspace) = (install.engine.clone(), install.workspace.clone());
    let measured = closed_loop(IN_FLIGHT, options, move || {
        let (engine, workspace) = (engine.clone(), workspace.clone());
        async move { submit(&engine, &workspace).await }
    })
    .await?;
    install.end().await?;
    Ok(measured)
}

/// Stripe events taken in: route found, signature verified, then deduplication, inbox row, event and delivery job in one
/// commit before each answer. The sender's signing is part of the time.
///
/// # Errors
/// The install does not start, or a call fails.
pub async fn ingest(options: &Options, backend: &Backend) -> Result<Measured, AnyError> {
    let install = Install::on(backend, options, NOWHERE, false).await?;
    let (engine, number) = (install.engine.clone(), Arc::new(AtomicU64::new(0)));
    let measured = closed_loop(IN_FLIGHT, options, move || {
        let (engine, number) = (engine.clone(), number.fetch_add(1, Ordering::Relaxed));
        async move { take_in(&engine, number).await }
    })
    .await?;
    install.end().await?;
    Ok(measured)
}

/// A new event as Stripe sends it: its headers and its body.
///
/// # Errors
/// It cannot be signed.
pub fn stripe_event(number: u64) -> Result<(HeaderMap, Bytes), AnyError> {
    let body = json!({
        "id": format!("evt_{number:016x}"), "object": "event", "type": "invoice.paid", "account": ACCOUNT,
        "created": 1_767_225_600, "livemode": false,
        "data": {"object": {"id": "in_1001", "object": "invoice", "amount_paid": 4_900, "currency": "eur",
            "customer": "cus_1001", "status": "paid", "metadata": {"order": "1001"}}},
    });
    let body = Bytes::from(serde_json::to_vec(&body)?);
    let stripe = provider("stripe").ok_or("there is no such provider")?;
    let headers = stripe.sign(&Fixture::new(&body, "unused"), &Secret::new(SECRET.to_owned()), SystemClock.now())?;
    Ok((headers, body))
}

async fn take_in(engine: &Orchestrator, number: u64) -> Result<(), AnyError> {
    let (headers, body) = stripe_event(number)?;
    match engine.webhooks().ingest("stripe", None, &headers, body, TraceId::new()).await? {
        Ingress::Accepted(taken) if !taken.duplicate => Ok(()),
        other => Err(format!("a new event was expected: {other:?}").into()),
    }
}

/// The whole way of jobs that do nothing: accepted, claimed, called under the policies, settled, recorded. The clock runs
/// from the first acceptance until the last settlement; latencies are those of acceptance.
///
/// # Errors
/// The install does not start, or a call fails.
pub async fn whole_jobs(options: &Options, backend: &Backend) -> Result<Measured, AnyError> {
    let install = Install::on(backend, options, NOWHERE, true).await?;
    let submitted = Arc::new(AtomicUsize::new(0));
    let began = Instant::now();
    let until = began + options.warm_up + options.time;
    let mut callers = JoinSet::new();
    for _ in 0..IN_FLIGHT {
        let (engine, workspace) = (install.engine.clone(), install.workspace.clone());
        let (submitted, called) = (submitted.clone(), install.done.called.clone());
        callers.spawn(async move {
            let mut took = Vec::new();
            while Instant::now() < until {
                if submitted.load(Ordering::Relaxed) as u64 > called.load(Ordering::Relaxed) + AHEAD {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                    continue;
                }
                let began = Instant::now();
                submit(&engine, &workspace).await?;
                took.push(began.elapsed());
                submitted.fetch_add(1, Ordering::Relaxed);
            }
            Ok::<_, AnyError>(took)
        });
    }
    let mut took = Vec::new();
    while let Some(caller) = callers.join_next().await {
        took.extend(caller??);
    }
    loop {
        let queue = install.engine.health().await?.queue;
        if queue.ready + queue.waiting + queue.running == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let (all, time) = (took.len(), began.elapsed());
    let called = install.done.called.load(Ordering::Relaxed);
    install.end().await?;
    if called < all as u64 {
        return Err(format!("of {all} jobs only {called} ran").into());
    }
    Ok(Measured { per_second: rate(all, time), ..Measured::of(took, time) })
}
