//! `orchestrator demo`: a whole install in one process, on loopback, with a sample product, an upstream that can be told
//! to fail, and a sender that signs like Stripe. It walks the onboarding guide's test run and shows its evidence.

mod fixture;
mod product;
mod report;
mod stage;
mod steps;
mod upstream;

use anyhow::Context;

use self::report::Report;
use self::stage::Stage;

/// What is asked of the demo.
#[derive(Debug, Clone, Copy, Default)]
pub struct DemoArgs {
    /// Go on serving when the walk is done.
    pub keep: bool,
    /// Tell it in JSON, for machines.
    pub json: bool,
}

/// Walks the demo; `true` if every step held.
///
/// # Errors
/// The install could not be started.
pub async fn run(args: DemoArgs) -> anyhow::Result<bool> {
    let stage = Stage::set().await.context("the demo's install could not be started")?;
    let mut report = Report::new(args.json);
    report.open(&stage);
    steps::walk(&stage, &mut report).await;
    report.close(&stage).await;
    if args.keep {
        report.keep(&stage)?;
        tokio::signal::ctrl_c().await.context("waiting for Ctrl-C")?;
    }
    let held = report.held();
    stage.strike().await;
    Ok(held)
}
