//! `orchestrator workspace`.

use clap::Subcommand;
use orchestrator_types::{WorkspaceId, WorkspaceRequest, WorkspaceView};
use serde_json::json;

use super::Verdict;
use super::connection::{Because, Connection, Paging};
use super::output::{Printer, plain};

/// Workspaces.
#[derive(Debug, Subcommand)]
pub(super) enum Workspaces {
    /// Make a workspace, with config version 1 active.
    Create {
        /// `<product>-<environment>`.
        name: WorkspaceId,
        /// The template of its first config; the environment's if absent.
        #[arg(long)]
        template: Option<String>,
        #[command(flatten)]
        connection: Connection,
    },
    /// List workspaces.
    List {
        #[command(flatten)]
        paging: Paging,
        #[command(flatten)]
        connection: Connection,
    },
    /// Show a workspace.
    Get {
        /// Its name.
        name: WorkspaceId,
        #[command(flatten)]
        connection: Connection,
    },
    /// Stop serving a workspace; its webhooks are still taken in.
    Suspend {
        /// Its name.
        name: WorkspaceId,
        #[command(flatten)]
        because: Because,
        #[command(flatten)]
        connection: Connection,
    },
    /// Serve a workspace again.
    Resume {
        /// Its name.
        name: WorkspaceId,
        #[command(flatten)]
        because: Because,
        #[command(flatten)]
        connection: Connection,
    },
    /// Delete a workspace. Its name is not given again.
    Delete {
        /// Its name.
        name: WorkspaceId,
        #[command(flatten)]
        because: Because,
        #[command(flatten)]
        connection: Connection,
    },
}

impl Workspaces {
    pub(super) async fn run(self, printer: Printer) -> anyhow::Result<Verdict> {
        match self {
            Self::Create { name, template, connection } => {
                show(printer, &connection.client()?.create_workspace(&WorkspaceRequest { name, template }).await?)?;
            }
            Self::List { paging, connection } => {
                let page = paging.of(connection.client()?.workspaces()).await?;
                printer.page(&page, &["name", "status", "config", "created"], |workspace: &WorkspaceView| {
                    vec![
                        workspace.name.to_string(),
                        plain(&workspace.status),
                        workspace.config_version.to_string(),
                        workspace.created_at.to_string(),
                    ]
                })?;
            }
            Self::Get { name, connection } => show(printer, &connection.workspace(&name)?.get().await?)?,
            Self::Suspend { name, because, connection } => {
                show(printer, &connection.workspace(&name)?.suspend(&because.reason).await?)?;
            }
            Self::Resume { name, because, connection } => {
                show(printer, &connection.workspace(&name)?.resume(&because.reason).await?)?;
            }
            Self::Delete { name, because, connection } => {
                connection.workspace(&name)?.delete(&because.reason).await?;
                printer.told(&json!({"name": name, "status": "deleted"}), || format!("{name} is deleted"))?;
            }
        }
        Ok(Verdict::Good)
    }
}

fn show(printer: Printer, workspace: &WorkspaceView) -> anyhow::Result<()> {
    printer.thing(
        workspace,
        &[
            ("name", workspace.name.to_string()),
            ("status", plain(&workspace.status)),
            ("environment", workspace.environment.clone()),
            ("config", workspace.config_version.to_string()),
            ("created", workspace.created_at.to_string()),
        ],
    )
}
