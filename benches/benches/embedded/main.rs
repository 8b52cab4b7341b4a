//! Whole loads on the embedded engine: SQLite on disk, durable commits on, everything as it ships. One run measures what
//! the machine can do by itself as well (its own commits, a bare call, a bare proxy), because only ratios travel from one
//! machine to another.
//!
//! `cargo bench -p orchestrator-benches --bench embedded -- [--json] [--rounds 3] [--seconds 3] [--dir PATH]`
//!
//! Each load is measured in every round, the rounds one after the other, so that what disturbs the machine disturbs all of
//! them; what is told is the median of the rounds. Callers, upstream and engine share the process and its cores.

#![allow(clippy::print_stdout, reason = "a program that tells what it measured")]

mod calls;
mod durable;
mod install;
mod measure;
mod options;
mod report;

use std::error::Error;

use measure::Measured;
use options::Options;
use report::Report;

type AnyError = Box<dyn Error + Send + Sync>;

fn main() -> Result<(), AnyError> {
    let options = Options::read(std::env::args().skip(1))?;
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(run(&options))
}

async fn run(options: &Options) -> Result<(), AnyError> {
    let mut report = Report::default();
    for _ in 0..options.rounds {
        let commits = report.take("SQLite alone: commits of one row", 1, durable::commits(options).await?);
        let enqueue = report.take("POST /jobs, in process: accepted", 64, durable::enqueue(options).await?);
        let ingest = report.take("webhooks: verified, taken in, enqueued", 64, durable::ingest(options).await?);
        let jobs = report.take("jobs: accepted, run, settled", 64, durable::whole_jobs(options).await?);
        report.ratio("accepted jobs to commits", enqueue.per_second / commits.per_second);
        report.ratio("webhooks to commits", ingest.per_second / commits.per_second);
        report.ratio("whole jobs to commits", jobs.per_second / commits.per_second);
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
