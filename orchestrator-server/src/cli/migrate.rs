//! `orchestrator migrate`.

use clap::Args;
use serde_json::json;

use super::Verdict;
use super::install::Install;
use super::output::Printer;
use crate::stores;

/// Bring the store to the schema of this version.
#[derive(Debug, Args)]
pub(super) struct Migrate {
    #[command(flatten)]
    install: Install,
}

impl Migrate {
    pub(super) async fn run(self, printer: Printer) -> anyhow::Result<Verdict> {
        let settings = self.install.settings()?;
        let run = stores::migrate(&settings.store).await?;
        let place = settings.store.shown();
        let document = json!({"store": place, "schema": "current", "run": run});
        printer.told(&document, || match run.as_slice() {
            [] => format!("{place} has the schema of this version"),
            names => format!("{place} has the schema of this version: {} was run", names.join(", ")),
        })?;
        Ok(Verdict::Good)
    }
}
