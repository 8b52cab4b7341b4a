//! Whole loads on the embedded engine: SQLite on disk, durable commits on, everything as it ships. One run measures what
//! the machine can do by itself as well (its own commits, a bare call, a bare proxy), because only ratios travel from one
//! machine to another.
//!
//! `cargo bench -p orchestrator-benches --bench embedded -- [--json] [--rounds 3] [--seconds 3] [--dir PATH]`
//!
//! Each load is measured in every round, the rounds one after the other, so that what disturbs the machine disturbs all of
//! them; what is told is the median of the rounds, with the least and the most: where those lie far apart the machine was not
//! quiet, and the figure says little. Callers, upstream and engine share the process and its cores.

#![allow(clippy::print_stdout, reason = "a program that tells what it measured")]

use orchestrator_benches::measure::Measured;
use orchestrator_benches::options::Options;
use orchestrator_benches::report::Report;

use orchestrator_benches::install::Backend;
use orchestrator_benches::{AnyError, calls, durable};

fn main() -> Result<(), AnyError> {
    let options = Options::read(std::env::args().skip(1), env!("CARGO_TARGET_TMPDIR"))?;
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(run(&options))
}

async fn run(options: &Options) -> Result<(), AnyError> {
    let mut report = Report::default();
    for _ in 0..options.rounds {
        durable_loads(options, &mut report).await?;
        for in_flight in [1, 64] {
            let stage = calls::Stage::set(options).await?;
            let bare = report.take("a bare call of the upstream", in_flight, stage.bare(in_flight).await?);
            let engine = report.take("execute, in process", in_flight, stage.execute(in_flight).await?);
            let proxy = report.take("a bare proxy: axum and reqwest", in_flight, stage.proxy(in_flight).await?);
            let server = report.take("POST /execute", in_flight, stage.http(in_flight).await?);
            stage.strike().await;
            let at = |what: &str| format!("{what}, {in_flight} in flight");
            report.ratio(&at("execute to a bare call"), engine.per_second / bare.per_second);
            report.ratio(&at("POST /execute to a bare proxy"), server.per_second / proxy.per_second);
            if in_flight == 1 {
                let added = |more: &Measured, less: &Measured| more.p50.as_secs_f64() - less.p50.as_secs_f64();
                report.ratio("µs that execute adds to a call (p50)", added(&engine, &bare) * 1e6);
                report.ratio("µs that POST /execute adds to a proxy (p50)", added(&server, &proxy) * 1e6);
            }
        }
    }
    report.print(options.json)
}

/// A load that waits for the disk.
enum Durable {
    Jobs,
    Webhooks,
    WholeJobs,
}

/// What waits for the disk, each beside what the disk did just before and just after: a disk that others use changes from
/// one second to the next.
async fn durable_loads(options: &Options, report: &mut Report) -> Result<(), AnyError> {
    const COMMITS: &str = "SQLite alone: commits of one row";
    let mut before = report.take(COMMITS, 1, durable::commits(options).await?);
    for load in [Durable::Jobs, Durable::Webhooks, Durable::WholeJobs] {
        let (name, ratio, measured) = match load {
            Durable::Jobs => (
                "POST /jobs, in process: accepted",
                "accepted jobs to commits",
                durable::enqueue(options, &Backend::Sqlite).await?,
            ),
            Durable::Webhooks => (
                "webhooks: verified, taken in, enqueued",
                "webhooks to commits",
                durable::ingest(options, &Backend::Sqlite).await?,
            ),
            Durable::WholeJobs => (
                "jobs: accepted, run, settled",
                "whole jobs to commits",
                durable::whole_jobs(options, &Backend::Sqlite).await?,
            ),
        };
        let measured = report.take(name, 64, measured);
        let after = report.take(COMMITS, 1, durable::commits(options).await?);
        report.ratio(ratio, measured.per_second * 2.0 / (before.per_second + after.per_second));
        before = after;
    }
    Ok(())
}
