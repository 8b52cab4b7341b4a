//! `orchestrator inbox`.

use clap::Subcommand;
use orchestrator_types::{InboxId, InboxView, WorkspaceId};

use super::Verdict;
use super::connection::{Because, Connection, Paging};
use super::output::{Printer, plain};

/// What providers have sent.
#[derive(Debug, Subcommand)]
pub(super) enum Inbox {
    /// List entries.
    List {
        /// The workspace.
        workspace: WorkspaceId,
        #[command(flatten)]
        paging: Paging,
        #[command(flatten)]
        connection: Connection,
    },
    /// Show an entry with its headers and payload.
    Get {
        /// The workspace.
        workspace: WorkspaceId,
        /// The entry.
        id: InboxId,
        #[command(flatten)]
        connection: Connection,
    },
    /// Deliver an entry again.
    Replay {
        /// The workspace.
        workspace: WorkspaceId,
        /// The entry.
        id: InboxId,
        #[command(flatten)]
        because: Because,
        #[command(flatten)]
        connection: Connection,
    },
}

impl Inbox {
    pub(super) async fn run(self, printer: Printer) -> anyhow::Result<Verdict> {
        match self {
            Self::List { workspace, paging, connection } => {
                let page = paging.of(connection.workspace(&workspace)?.inbox()).await?;
                let header = ["id", "provider", "route", "event", "type", "status", "duplicates", "received"];
                printer.page(&page, &header, |entry: &InboxView| {
                    vec![
                        entry.id.to_string(),
                        entry.provider.to_string(),
                        entry.route.to_string(),
                        entry.event_id.clone(),
                        plain(&entry.event_type),
                        plain(&entry.status),
                        entry.duplicates.to_string(),
                        entry.received_at.to_string(),
                    ]
                })?;
            }
            Self::Get { workspace, id, connection } => {
                show(printer, &connection.workspace(&workspace)?.inbox_entry(id).await?)?;
            }
            Self::Replay { workspace, id, because, connection } => {
                show(printer, &connection.workspace(&workspace)?.replay_inbox_entry(id, &because.reason).await?)?;
            }
        }
        Ok(Verdict::Good)
    }
}

fn show(printer: Printer, entry: &InboxView) -> anyhow::Result<()> {
    printer.thing(
        entry,
        &[
            ("id", entry.id.to_string()),
            ("provider", entry.provider.to_string()),
            ("route", entry.route.to_string()),
            ("account", plain(&entry.account)),
            ("event", entry.event_id.clone()),
            ("type", plain(&entry.event_type)),
            ("status", plain(&entry.status)),
            ("job", plain(&entry.job)),
            ("duplicates", entry.duplicates.to_string()),
            ("received", entry.received_at.to_string()),
            ("headers", plain(&entry.headers)),
            ("payload", plain(&entry.payload)),
            ("base64", plain(&entry.payload_base64)),
            ("trace", entry.trace_id.to_string()),
        ],
    )
}
