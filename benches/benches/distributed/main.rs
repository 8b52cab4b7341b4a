//! Whole loads on Postgres, alone and with Redis: private servers, `fsync` and `synchronous_commit` on, everything in one run.
//!
//! `cargo xtask bench`, or
//! `cargo bench -p orchestrator-benches --bench distributed -- [--json] [--rounds 3] [--seconds 3] [--dir PATH]`

#![allow(clippy::print_stdout, reason = "a program that tells what it measured")]

use orchestrator_benches::install::Backend;
use orchestrator_benches::options::Options;
use orchestrator_benches::report::Report;
use orchestrator_benches::{AnyError, calls, durable, queue};
use orchestrator_conformance::servers::PostgresServer;

fn main() -> Result<(), AnyError> {
    let options = Options::read(std::env::args().skip(1), env!("CARGO_TARGET_TMPDIR"))?;
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(run(&options))
}

async fn run(options: &Options) -> Result<(), AnyError> {
    let server = tokio::task::spawn_blocking(PostgresServer::start).await?;
    let mut report = Report::default();
    for _ in 0..options.rounds {
        let fresh = || Backend::Postgres { url: server.fresh_database() };
        report.take("accepted", 64, durable::enqueue(options, &fresh()).await?);
        report.take("webhooks", 64, durable::ingest(options, &fresh()).await?);
        report.take("whole jobs", 64, durable::whole_jobs(options, &fresh()).await?);
        let stage = calls::Stage::on(&fresh(), options, false).await?;
        report.take("POST /jobs", 64, stage.jobs(64).await?);
        report.take("POST /webhooks/stripe", 64, stage.webhooks(64).await?);
        stage.strike().await;
        report.take("drain", 1, queue::drain(options, &fresh(), 20_000, 1).await?);
        report.take("latency", 1, queue::start_latency(options, &fresh(), 200).await?);
    }
    report.print(options.json)
}
