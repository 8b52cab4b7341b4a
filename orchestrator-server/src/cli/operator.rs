//! `orchestrator operator`.

use clap::Subcommand;
use orchestrator_types::{OperatorView, Role, WorkspaceId};
use serde_json::{Value, json};

use super::Verdict;
use super::connection::{Connection, Paging};
use super::output::{Printer, plain};

/// Operators and their roles.
#[derive(Debug, Subcommand)]
pub(super) enum Operators {
    /// Give an operator a role.
    Set {
        /// The workspace.
        workspace: WorkspaceId,
        /// The subject of their tokens.
        sub: String,
        /// `ReadOnly`, `Support`, `Admin` or `BreakGlass`.
        #[arg(value_parser = role)]
        role: Role,
        #[command(flatten)]
        connection: Connection,
    },
    /// List operators.
    List {
        /// The workspace.
        workspace: WorkspaceId,
        #[command(flatten)]
        paging: Paging,
        #[command(flatten)]
        connection: Connection,
    },
    /// Take an operator's role away.
    Remove {
        /// The workspace.
        workspace: WorkspaceId,
        /// The subject of their tokens.
        sub: String,
        #[command(flatten)]
        connection: Connection,
    },
}

impl Operators {
    pub(super) async fn run(self, printer: Printer) -> anyhow::Result<Verdict> {
        match self {
            Self::Set { workspace, sub, role, connection } => {
                let operator = connection.workspace(&workspace)?.put_operator(&sub, role).await?;
                let role = plain(&operator.role);
                printer.told(&operator, || format!("{} is {role} of {workspace}", operator.sub))?;
            }
            Self::List { workspace, paging, connection } => {
                let page = paging.of(connection.workspace(&workspace)?.operators()).await?;
                printer.page(&page, &["sub", "role", "since"], |operator: &OperatorView| {
                    vec![operator.sub.clone(), plain(&operator.role), operator.updated_at.to_string()]
                })?;
            }
            Self::Remove { workspace, sub, connection } => {
                connection.workspace(&workspace)?.delete_operator(&sub).await?;
                printer.told(&json!({"sub": sub, "role": null}), || {
                    format!("{sub} has no role in {workspace} any more")
                })?;
            }
        }
        Ok(Verdict::Good)
    }
}

fn role(text: &str) -> Result<Role, String> {
    let value = Value::String(text.to_owned());
    serde_json::from_value(value).map_err(|_| "a role is `ReadOnly`, `Support`, `Admin` or `BreakGlass`".to_owned())
}
