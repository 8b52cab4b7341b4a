//! The queue on a private Redis: how many hints a second are offered and taken, over how many workspaces; how many lots of tokens
//! are leased; and how long a job takes from its acceptance on one node to its start on another.
//!
//! `cargo bench -p orchestrator-benches --bench queue -- [--seconds 2]`
//!
//! Server and nodes share the machine. The store is in memory, so that nothing but the queue is measured.

#![allow(clippy::print_stdout, reason = "a program that tells what it measured")]

mod latency;

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use orchestrator_conformance::servers::RedisServer;
use orchestrator_core::policy::rate_limit::lease::{LimitKey, SharedLimit, TokenLeases};
use orchestrator_core::queue::{JobHint, JobQueue, Take};
use orchestrator_queue_redis::{RedisOptions, RedisParts, RedisQueue};
use orchestrator_types::{JobId, Timestamp};

type AnyError = Box<dyn Error + Send + Sync>;

/// So many callers at once.
const AT_ONCE: usize = 8;

fn main() -> Result<(), AnyError> {
    let mut seconds = 2.0;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--seconds" => seconds = arguments.next().ok_or("--seconds takes a number")?.parse()?,
            "--bench" => {}
            other => return Err(format!("unknown argument `{other}`").into()),
        }
    }
    let time = Duration::from_secs_f64(seconds);
    let server = RedisServer::start();
    let url = server.url();
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async move {
        println!("{:<58} {:>12}", "load", "a second");
        for batch in [1, 64, 512] {
            let parts = connect(&url).await?;
            let rate = offers(&parts, batch, time).await?;
            println!("{:<58} {rate:>12.0}", format!("hints offered, {batch} at a time"));
        }
        for workspaces in [1, 10, 100, 10_000] {
            for batch in [1, 64] {
                let parts = connect(&url).await?;
                let rate = takes(&parts, workspaces, batch, time).await?;
                println!("{:<58} {rate:>12.0}", format!("hints taken, {batch} at a time, of {workspaces} workspaces"));
            }
        }
        let parts = connect(&url).await?;
        println!("{:<58} {:>12.0}", "lots of tokens leased", leases(&parts, time).await?);
        latency::measure(&url, time).await
    })
}

/// A corner of the server that nothing was done in.
async fn connect(url: &str) -> Result<RedisParts, AnyError> {
    let prefix = JobId::new().to_string();
    Ok(RedisQueue::connect(&RedisOptions::parse(&format!("{url}/?prefix={prefix}"), "bench")?).await?)
}

fn hints(workspaces: usize, count: usize) -> Result<Vec<JobHint>, AnyError> {
    let hint = |number: usize| {
        Ok(JobHint {
            workspace: format!("shop{}-bench", number % workspaces).parse()?,
            job: JobId::new(),
            delivery: false,
            target: Some("crm".parse()?),
            priority: 5,
            run_at: Timestamp::from_unix_ms(1_800_000_000_000 - 10_000_000_000),
        })
    };
    (0..count).map(hint).collect()
}

/// Does something over and over, by several at once; how often a second, in units of what each answers.
async fn rate<F>(time: Duration, step: impl Fn() -> F + Clone + Send + 'static) -> Result<f64, AnyError>
where
    F: Future<Output = Result<usize, AnyError>> + Send,
{
    let began = Instant::now();
    let callers: Vec<_> = (0..AT_ONCE)
        .map(|_| {
            let step = step.clone();
            tokio::spawn(async move {
                let mut count = 0;
                while began.elapsed() < time {
                    match step().await? {
                        0 => break,
                        some => count += some,
                    }
                }
                Ok::<_, AnyError>(count)
            })
        })
        .collect();
    let mut count = 0;
    for caller in callers {
        count += caller.await??;
    }
    Ok(count as f64 / began.elapsed().as_secs_f64())
}

async fn offers(parts: &RedisParts, batch: usize, time: Duration) -> Result<f64, AnyError> {
    let queue = Arc::clone(&parts.queue);
    rate(time, move || {
        let queue = Arc::clone(&queue);
        async move {
            // Spread, so that no lane is full.
            queue.offer(&hints(1_000, batch)?).await?;
            Ok(batch)
        }
    })
    .await
}

async fn takes(parts: &RedisParts, workspaces: usize, batch: usize, time: Duration) -> Result<f64, AnyError> {
    let there = if batch == 1 { 50_000 } else { 400_000_usize }.min(workspaces * 100_000);
    for some in hints(workspaces, there)?.chunks(2_048) {
        parts.queue.offer(some).await?;
    }
    let queue = Arc::clone(&parts.queue);
    rate(time, move || {
        let queue = Arc::clone(&queue);
        async move { Ok(queue.take(&Take { max: batch, per_workspace: batch, ..Take::default() }).await?.len()) }
    })
    .await
}

async fn leases(parts: &RedisParts, time: Duration) -> Result<f64, AnyError> {
    let lane = LimitKey { workspace: "shop-bench".parse()?, delivery: false, target: "crm".parse()? };
    let limit = SharedLimit { lane, period: Duration::from_nanos(100), burst: u32::MAX };
    let limits = Arc::clone(&parts.limits);
    rate(time, move || {
        let (limits, limit) = (Arc::clone(&limits), limit.clone());
        async move {
            limits.lease(&limit, 10).await?;
            Ok(1)
        }
    })
    .await
}
