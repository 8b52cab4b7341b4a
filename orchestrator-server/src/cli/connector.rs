//! `orchestrator connector`.

use clap::Subcommand;
use orchestrator_types::{ConnectorCheck, ConnectorHealth, ConnectorKindView, Name, OperationView, WorkspaceId};

use super::Verdict;
use super::connection::{Connection, Paging};
use super::output::{Printer, plain};

/// Connectors.
#[derive(Debug, Subcommand)]
pub(super) enum Connectors {
    /// Ask a connector's upstream whether it would serve a call. Fails if it would not.
    Check {
        /// The workspace.
        workspace: WorkspaceId,
        /// The connector.
        name: Name,
        #[command(flatten)]
        connection: Connection,
    },
    /// List the operations of a connector: those of its kind, and those that its settings name.
    Operations {
        /// The workspace.
        workspace: WorkspaceId,
        /// The connector.
        name: Name,
        #[command(flatten)]
        connection: Connection,
    },
    /// List the kinds that the server has, with their operations.
    Kinds {
        #[command(flatten)]
        paging: Paging,
        #[command(flatten)]
        connection: Connection,
    },
}

impl Connectors {
    pub(super) async fn run(self, printer: Printer) -> anyhow::Result<Verdict> {
        match self {
            Self::Check { workspace, name, connection } => {
                let check = connection.workspace(&workspace)?.check_connector(&name).await?;
                show(printer, &check)?;
                Ok(Verdict::from(check.health != ConnectorHealth::Failed))
            }
            Self::Operations { workspace, name, connection } => {
                let page = connection.workspace(&workspace)?.operations(&name).page().await?;
                printer.page(&page, &["operation", "idempotent", "what it does"], |known: &OperationView| {
                    vec![known.name.clone(), plain(&known.idempotency), known.description.clone()]
                })?;
                Ok(Verdict::Good)
            }
            Self::Kinds { paging, connection } => {
                let page = paging.of(connection.client()?.connector_kinds()).await?;
                let names = |kind: &ConnectorKindView| {
                    let operations: Vec<&str> = kind.operations.iter().map(|known| known.name.as_str()).collect();
                    let slots: Vec<&str> = kind.secret_slots.iter().map(Name::as_str).collect();
                    vec![kind.kind.to_string(), operations.join(" "), slots.join(" ")]
                };
                printer.page(&page, &["kind", "operations", "secret slots"], names)?;
                Ok(Verdict::Good)
            }
        }
    }
}

fn show(printer: Printer, check: &ConnectorCheck) -> anyhow::Result<()> {
    let error = check.error.as_ref();
    printer.thing(
        check,
        &[
            ("connector", check.connector.to_string()),
            ("kind", check.kind.to_string()),
            ("health", plain(&check.health)),
            ("error", error.map_or_else(String::new, |error| format!("{}: {}", error.code, error.detail))),
            ("duration", format!("{} ms", check.duration_ms)),
            ("checked", check.checked_at.to_string()),
            ("trace", check.trace_id.to_string()),
        ],
    )
}
