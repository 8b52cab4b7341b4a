//! `orchestrator demo`.

use clap::Args;

use super::Verdict;
use super::output::Printer;
use crate::demo::{self, DemoArgs};
use crate::logging;
use crate::settings::LogFormat;

/// Show the whole in one command.
#[derive(Debug, Args)]
pub(super) struct Demo {
    /// Go on serving when the walk is done, until Ctrl-C.
    #[arg(long)]
    keep: bool,
}

impl Demo {
    pub(super) async fn run(self, printer: Printer) -> anyhow::Result<Verdict> {
        // The walk provokes failures; the log would tell them a second time.
        logging::install(LogFormat::Text, "error")?;
        Ok(demo::run(DemoArgs { keep: self.keep, json: printer.is_json() }).await?.into())
    }
}
