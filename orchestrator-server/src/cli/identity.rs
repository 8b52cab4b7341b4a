//! `orchestrator identity`.

use std::path::PathBuf;

use anyhow::Context;
use clap::Subcommand;
use orchestrator_types::{IdentityRequest, IdentityView, ServiceName, WorkspaceId};
use serde_json::json;

use super::Verdict;
use super::connection::{Connection, Paging, text_of};
use super::output::{Printer, note};

/// Service identities.
#[derive(Debug, Subcommand)]
pub(super) enum Identities {
    /// Make an identity. Its secret is shown here and never again.
    Create {
        /// The workspace.
        workspace: WorkspaceId,
        /// `svc:<name>`.
        name: ServiceName,
        /// What its tokens may do, as `orchestrator.execute`; may be given several times.
        #[arg(long = "scope", required = true, value_delimiter = ' ')]
        scopes: Vec<String>,
        /// A file with its public key (JWK), for `private_key_jwt` instead of a secret.
        #[arg(long, value_name = "FILE")]
        public_key: Option<PathBuf>,
        #[command(flatten)]
        connection: Connection,
    },
    /// List identities.
    List {
        /// The workspace.
        workspace: WorkspaceId,
        #[command(flatten)]
        paging: Paging,
        #[command(flatten)]
        connection: Connection,
    },
    /// Delete an identity; it gets no more tokens, and those that it has are refused.
    Delete {
        /// The workspace.
        workspace: WorkspaceId,
        /// `svc:<name>`.
        name: ServiceName,
        #[command(flatten)]
        connection: Connection,
    },
}

impl Identities {
    pub(super) async fn run(self, printer: Printer) -> anyhow::Result<Verdict> {
        match self {
            Self::Create { workspace, name, scopes, public_key, connection } => {
                let public_key = match public_key {
                    Some(path) => {
                        let what = || format!("{} is no JWK", path.display());
                        Some(serde_json::from_str(&text_of(&path)?).with_context(what)?)
                    }
                    None => None,
                };
                let request = IdentityRequest { name, scopes, public_key };
                let made = connection.workspace(&workspace)?.create_identity(&request).await?;
                printer.thing(
                    &made,
                    &[
                        ("name", made.name.to_string()),
                        ("scopes", made.scopes.join(" ")),
                        ("client id", made.client_id.clone()),
                        ("client secret", made.client_secret.clone().unwrap_or_default()),
                    ],
                )?;
                if made.client_secret.is_some() {
                    note("the secret is not shown again: keep it now")?;
                }
            }
            Self::List { workspace, paging, connection } => {
                let page = paging.of(connection.workspace(&workspace)?.identities()).await?;
                printer.page(&page, &["name", "scopes", "client id", "created"], |identity: &IdentityView| {
                    vec![
                        identity.name.to_string(),
                        identity.scopes.join(" "),
                        identity.client_id.clone(),
                        identity.created_at.to_string(),
                    ]
                })?;
            }
            Self::Delete { workspace, name, connection } => {
                connection.workspace(&workspace)?.delete_identity(&name).await?;
                printer.told(&json!({"name": name, "deleted": true}), || format!("{name} is deleted"))?;
            }
        }
        Ok(Verdict::Good)
    }
}
