//! `orchestrator rollback`.

use clap::Args;
use orchestrator_types::WorkspaceId;

use super::Verdict;
use super::connection::{Because, Connection};
use super::output::Printer;

/// Make the config version active that was so before.
#[derive(Debug, Args)]
pub(super) struct Rollback {
    /// The workspace.
    workspace: WorkspaceId,
    #[command(flatten)]
    because: Because,
    #[command(flatten)]
    connection: Connection,
}

impl Rollback {
    pub(super) async fn run(self, printer: Printer) -> anyhow::Result<Verdict> {
        let active = self.connection.workspace(&self.workspace)?.rollback_config(&self.because.reason).await?.body;
        printer.told(&active, || format!("{}: config version {} is active", self.workspace, active.version))?;
        Ok(Verdict::Good)
    }
}
