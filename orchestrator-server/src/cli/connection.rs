//! The server that a command speaks to.

use anyhow::{Context, bail};
use clap::Args;
use orchestrator_client::{Client, List, Workspace};
use orchestrator_types::{Page, WorkspaceId};
use serde::de::DeserializeOwned;

/// The variable that holds the token. Not a flag: arguments are seen by everybody on the machine.
const TOKEN: &str = "ORCHESTRATOR_TOKEN";

/// The server to speak to.
#[derive(Debug, Args)]
pub(super) struct Connection {
    /// The server's address. The token is taken from the variable ORCHESTRATOR_TOKEN.
    #[arg(long, env = "ORCHESTRATOR_URL", default_value = "http://127.0.0.1:8080")]
    url: String,
}

impl Connection {
    /// A client with the token of the environment.
    pub(super) fn client(&self) -> anyhow::Result<Client> {
        let token = match std::env::var(TOKEN) {
            Ok(token) if !token.trim().is_empty() => token,
            _ => bail!("set {TOKEN}: `orchestrator token mint` makes one"),
        };
        Ok(Client::builder(&self.url).token(token.trim()).build()?)
    }

    /// A client without a token, as a provider has none.
    pub(super) fn anonymous(&self) -> anyhow::Result<Client> {
        Ok(Client::builder(&self.url).build()?)
    }

    /// The control API of a workspace.
    pub(super) fn workspace(&self, workspace: &WorkspaceId) -> anyhow::Result<Workspace> {
        Ok(self.client()?.workspace(workspace))
    }
}

/// Which part of a list.
#[derive(Debug, Args)]
pub(super) struct Paging {
    /// So many at most; up to 500.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=500))]
    limit: u32,
    /// From where another page ended.
    #[arg(long)]
    cursor: Option<String>,
}

impl Paging {
    /// That part of the list.
    pub(super) async fn of<T: DeserializeOwned + Send + 'static>(&self, list: List<T>) -> anyhow::Result<Page<T>> {
        let list = list.limit(self.limit);
        let list = match &self.cursor {
            Some(cursor) => list.cursor(cursor),
            None => list,
        };
        Ok(list.page().await?)
    }
}

/// Why something is done: kept in the audit trail.
#[derive(Debug, Args)]
pub(super) struct Because {
    /// Why: 3 to 500 characters, kept in the audit trail.
    #[arg(long)]
    pub(super) reason: String,
}

/// The text of a file, or of standard input if it is `-`.
pub(super) fn text_of(path: &std::path::Path) -> anyhow::Result<String> {
    if path.as_os_str() == "-" {
        return std::io::read_to_string(std::io::stdin()).context("standard input");
    }
    std::fs::read_to_string(path).with_context(|| path.display().to_string())
}
