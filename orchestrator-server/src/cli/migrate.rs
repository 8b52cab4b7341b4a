//! `orchestrator migrate`.

use clap::Args;
use orchestrator_core::clock::SystemClock;
use orchestrator_core::store::Store;
use orchestrator_store_sqlite::SqliteStore;
use serde_json::json;

use super::Verdict;
use super::install::Install;
use super::output::Printer;

/// Bring the store to the schema of this version.
#[derive(Debug, Args)]
pub(super) struct Migrate {
    #[command(flatten)]
    install: Install,
}

impl Migrate {
    pub(super) async fn run(self, printer: Printer) -> anyhow::Result<Verdict> {
        let settings = self.install.settings()?;
        SqliteStore::open(&settings.store, SystemClock::shared()).await?.close().await;
        let path = settings.store.display().to_string();
        printer
            .told(&json!({"store": path, "schema": "current"}), || format!("{path} has the schema of this version"))?;
        Ok(Verdict::Good)
    }
}
