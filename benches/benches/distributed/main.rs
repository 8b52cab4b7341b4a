//! Whole loads on Postgres, alone and with Redis: private servers, `fsync` and `synchronous_commit` on, everything in one run,
//! beside what the machine and others do by themselves, because only ratios travel from one machine to another.
//!
//! `cargo xtask bench`, or `cargo bench -p orchestrator-benches --bench distributed -- [--rounds 3] [--seconds 5]
//! [--only PART] [--finished 10000000] [--dir PATH] [--out FOLDER] [--json]`
//!
//! Senders, receivers, nodes and servers share the machine and its cores.

#![allow(clippy::print_stdout, reason = "a program that tells what it measured")]

mod finished;
mod goals;
mod plot;

use std::path::PathBuf;
use std::time::Duration;

use orchestrator_benches::calls::Stage;
use orchestrator_benches::install::Backend;
use orchestrator_benches::options::Options;
use orchestrator_benches::report::Report;
use orchestrator_benches::{AnyError, noise, peers, queue};
use orchestrator_conformance::servers::{PostgresOptions, PostgresServer, RedisServer};

use goals::Goals;

const IN_FLIGHT: usize = 64;

fn main() -> Result<(), AnyError> {
    let options = Options::read(std::env::args().skip(1), env!("CARGO_TARGET_TMPDIR"))?;
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(run(&options))
}

/// The private servers.
struct Servers {
    postgres: PostgresServer,
    redis: RedisServer,
}

impl Servers {
    fn start() -> Self {
        let options = PostgresOptions::default().setting("shared_buffers", "512MB").setting("max_wal_size", "4GB");
        Self { postgres: PostgresServer::start_with(&options), redis: RedisServer::start() }
    }

    fn database(&self) -> String {
        self.postgres.fresh_database()
    }

    fn alone(&self) -> Backend {
        Backend::Postgres { url: self.database() }
    }

    fn with_redis(&self) -> Backend {
        self.redis.flush();
        Backend::PostgresRedis { url: self.database(), redis: self.redis.url() }
    }
}

async fn run(options: &Options) -> Result<(), AnyError> {
    let servers = tokio::task::spawn_blocking(Servers::start).await?;
    let (mut report, mut goals) = (Report::default(), Goals::default());
    for _ in 0..options.rounds {
        if options.wants("api") {
            api(options, &servers, &mut report, &mut goals).await?;
        }
        if options.wants("execute") {
            execute(options, &servers, &mut report, &mut goals).await?;
        }
        if options.wants("deliveries") {
            let rate = report.take(
                "webhook in, callback delivered",
                IN_FLIGHT,
                queue::deliveries(options, &servers.alone(), IN_FLIGHT).await?,
            );
            goals.at_least("webhooks in, callbacks delivered, a second", rate.per_second, 4_000.0);
        }
        if options.wants("jobs") {
            jobs(options, &servers, &mut report, &mut goals).await?;
        }
        if options.wants("latency") {
            latency(options, &servers, &mut report, &mut goals).await?;
        }
        if options.wants("noise") {
            noisy(options, &servers, &mut report, &mut goals).await?;
        }
        if options.wants("workspaces") {
            many(options, &servers, &mut report, &mut goals).await?;
        }
    }
    if options.wants("finished") {
        finished::measure(options, &servers.postgres, &mut report, &mut goals).await?;
    }
    report.print(options.json)?;
    goals.print(options)?;
    Ok(())
}

/// What comes in over HTTP, beside single rows that Postgres takes in by itself.
async fn api(options: &Options, servers: &Servers, report: &mut Report, goals: &mut Goals) -> Result<(), AnyError> {
    let pgbench = servers.postgres.programs().join("pgbench");
    let rows = peers::single_rows(options, &servers.database(), &pgbench).await?;
    report.ratio("pgbench: single rows a second, 64 clients", rows);
    let stage = Stage::on(&servers.alone(), options, false).await?;
    let jobs = report.take("POST /jobs", IN_FLIGHT, stage.jobs(IN_FLIGHT).await?);
    let webhooks = report.take("POST /webhooks/stripe", IN_FLIGHT, stage.webhooks(IN_FLIGHT).await?);
    stage.strike().await;
    goals.at_least("POST /jobs to single rows", jobs.per_second / rows, 2.0);
    goals.at_least("POST /webhooks/stripe to single rows", webhooks.per_second / rows, 1.5);
    Ok(())
}

async fn execute(options: &Options, servers: &Servers, report: &mut Report, goals: &mut Goals) -> Result<(), AnyError> {
    let stage = Stage::on(&servers.alone(), options, false).await?;
    let proxy = report.take("a bare proxy: axum and reqwest", IN_FLIGHT, stage.proxy(IN_FLIGHT).await?);
    let server = report.take("POST /execute", IN_FLIGHT, stage.http(IN_FLIGHT).await?);
    stage.strike().await;
    goals.at_least("POST /execute to a bare proxy", server.per_second / proxy.per_second, 0.7);
    Ok(())
}

/// Jobs that do nothing, claimed, run and settled durably.
async fn jobs(options: &Options, servers: &Servers, report: &mut Report, goals: &mut Goals) -> Result<(), AnyError> {
    const JOBS: usize = 30_000;
    let count = if options.time < Duration::from_secs(1) { 1_000 } else { JOBS };
    let alone = report.take("jobs run, Postgres", 1, queue::drain(options, &servers.alone(), count, 1).await?);
    let redis =
        report.take("jobs run, Postgres and Redis", 1, queue::drain(options, &servers.with_redis(), count, 1).await?);
    let modules = std::env::var_os("BENCH_NODE_MODULES").map(PathBuf::from);
    let peer = match modules {
        Some(modules) => peers::graphile(&servers.database(), &modules, count).await?,
        None => None,
    };
    if let Some(peer) = peer {
        report.ratio("graphile-worker: jobs a second", peer);
        goals.at_least("jobs run to graphile-worker, Postgres", alone.per_second / peer, 1.5);
        goals.at_least("jobs run to graphile-worker, with Redis", redis.per_second / peer, 1.5);
    }
    Ok(())
}

async fn latency(options: &Options, servers: &Servers, report: &mut Report, goals: &mut Goals) -> Result<(), AnyError> {
    for (name, backend) in [("Postgres", servers.alone()), ("with Redis", servers.with_redis())] {
        let seen = queue::start_latency(options, &backend, 200).await?;
        report.take(&format!("from acceptance to start, 200 a second, {name}"), 1, seen);
        goals.at_most(&format!("ms from acceptance to start, p50, {name}"), seen.p50.as_secs_f64() * 1e3, 2.0);
        goals.at_most(&format!("ms from acceptance to start, p99, {name}"), seen.p99.as_secs_f64() * 1e3, 8.0);
    }
    Ok(())
}

async fn noisy(options: &Options, servers: &Servers, report: &mut Report, goals: &mut Goals) -> Result<(), AnyError> {
    let backlog = if options.time < Duration::from_secs(1) { 1_000 } else { 100_000 };
    let (quiet, noisy) = noise::quiet_and_noisy(options, &servers.alone(), backlog).await?;
    report.take("a neighbour's jobs start, quiet", 1, quiet.starts);
    report.take("a neighbour's jobs start, beside the noise", 1, noisy.starts);
    report.take("a neighbour's /execute, quiet", 1, quiet.calls);
    report.take("a neighbour's /execute, beside the noise", 1, noisy.calls);
    let more = |noisy: Duration, quiet: Duration| noisy.as_secs_f64() / quiet.as_secs_f64();
    goals.at_most("start p99 beside the noise to quiet", more(noisy.starts.p99, quiet.starts.p99), 1.1);
    goals.at_most("/execute p99 beside the noise to quiet", more(noisy.calls.p99, quiet.calls.p99), 1.1);
    Ok(())
}

/// The same jobs over ever more workspaces.
async fn many(options: &Options, servers: &Servers, report: &mut Report, goals: &mut Goals) -> Result<(), AnyError> {
    let (counts, jobs): (&[usize], usize) =
        if options.time < Duration::from_secs(1) { (&[1, 10], 1_000) } else { (&[1, 10, 100, 10_000], 30_000) };
    let mut first = None;
    for count in counts {
        let measured = queue::drain(options, &servers.alone(), jobs, *count).await?;
        report.take(&format!("jobs run over {count} workspaces"), 1, measured);
        let one = *first.get_or_insert(measured.per_second);
        if *count > 1 {
            goals.at_least(&format!("jobs run over {count} workspaces to one"), measured.per_second / one, 0.85);
        }
    }
    Ok(())
}
