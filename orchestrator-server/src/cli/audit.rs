//! `orchestrator audit`.

use clap::Subcommand;
use orchestrator_types::{AuditRecord, AuditVerification, WorkspaceId};

use super::Verdict;
use super::connection::{Connection, Paging};
use super::output::{Printer, plain};

/// The audit trail.
#[derive(Debug, Subcommand)]
pub(super) enum Audit {
    /// List records, of a workspace or of the install itself.
    List {
        /// The workspace; the install's own trail if absent.
        workspace: Option<WorkspaceId>,
        #[command(flatten)]
        paging: Paging,
        #[command(flatten)]
        connection: Connection,
    },
    /// Say whether a trail is whole; fails if it is not.
    Verify {
        /// The workspace; the install's own trail if absent.
        workspace: Option<WorkspaceId>,
        #[command(flatten)]
        connection: Connection,
    },
}

impl Audit {
    pub(super) async fn run(self, printer: Printer) -> anyhow::Result<Verdict> {
        match self {
            Self::List { workspace, paging, connection } => {
                let client = connection.client()?;
                let list = match &workspace {
                    Some(workspace) => client.workspace(workspace).audit(),
                    None => client.audit(),
                };
                let page = paging.of(list).await?;
                printer.page(&page, &["#", "time", "who", "action", "target", "reason"], |record: &AuditRecord| {
                    let via = record.via.as_ref().map_or_else(String::new, |via| format!(" via {via}"));
                    vec![
                        record.number.to_string(),
                        record.time.to_string(),
                        format!("{}{via}", record.actor),
                        record.action.clone(),
                        record.target.clone(),
                        plain(&record.reason),
                    ]
                })?;
                Ok(Verdict::Good)
            }
            Self::Verify { workspace, connection } => {
                let client = connection.client()?;
                let found = match &workspace {
                    Some(workspace) => client.workspace(workspace).verify_audit().await?,
                    None => client.verify_audit().await?,
                };
                printer.told(&found, || said(&found))?;
                Ok(found.intact.into())
            }
        }
    }
}

fn said(found: &AuditVerification) -> String {
    match found.broken_at {
        None if found.intact => format!("whole: {} records, head {}", found.records, found.head),
        Some(number) => format!("broken at record {number} of {}", found.records),
        None => "broken".to_owned(),
    }
}
