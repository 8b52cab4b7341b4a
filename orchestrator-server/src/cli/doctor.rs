//! `orchestrator doctor`.

use clap::Args;

use super::Verdict;
use super::install::Install;
use super::output::Printer;
use crate::doctor::{self, Finding, Mark};

/// Say whether an install can work.
#[derive(Debug, Args)]
pub(super) struct Doctor {
    #[command(flatten)]
    install: Install,
}

impl Doctor {
    pub(super) async fn run(self, printer: Printer) -> anyhow::Result<Verdict> {
        let findings = match self.install.settings() {
            Ok(settings) => doctor::examine(&settings).await,
            Err(error) => vec![Finding::new("settings", Mark::Fail, error.to_string())],
        };
        let well = findings.iter().all(|finding| finding.mark != Mark::Fail);
        if printer.is_json() {
            printer.json(&findings)?;
        } else {
            let rows = findings.iter().map(|finding| {
                vec![finding.check.to_owned(), finding.mark.as_str().to_owned(), finding.detail.clone()]
            });
            printer.table(&["check", "result", "detail"], rows)?;
        }
        Ok(well.into())
    }
}
