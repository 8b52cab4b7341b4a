//! `orchestrator token`.

use std::time::Duration;

use clap::{Args, Subcommand};
use orchestrator_core::clock::SystemClock;
use orchestrator_http::tokens::TokenAuthority;
use orchestrator_types::WorkspaceId;
use serde_json::json;

use super::Verdict;
use super::install::{Install, read_store};
use super::output::Printer;
use super::span::span;
use crate::keys;

/// Tokens signed with the install's own key.
#[derive(Debug, Subcommand)]
pub(super) enum Token {
    /// Make a token, also beside a running server. Prints it bare on standard output.
    Mint(Mint),
}

/// Make a token.
#[derive(Debug, Args)]
pub(super) struct Mint {
    #[command(flatten)]
    install: Install,
    /// Which API it is for: `orchestrator-exec` or `orchestrator-control`.
    #[arg(long)]
    aud: String,
    /// Who it speaks for.
    #[arg(long)]
    sub: String,
    /// The tenant; needed for `orchestrator-exec`.
    #[arg(long)]
    workspace: Option<WorkspaceId>,
    /// What it may do, with spaces between: `orchestrator.admin`.
    #[arg(long)]
    scope: String,
    /// How long it lives, up to 1h.
    #[arg(long, value_parser = span, default_value = "1h")]
    ttl: Duration,
}

impl Token {
    pub(super) async fn run(self, printer: Printer) -> anyhow::Result<Verdict> {
        let Self::Mint(mint) = self;
        let settings = mint.install.settings()?;
        let store = read_store(&settings).await?;
        let ring = keys::read_ring(&settings.secrets)?;
        let signing = keys::read_signing_keys(store.as_ref(), &ring, &settings.environment).await?;
        let authority = TokenAuthority::builder(settings.environment, signing, SystemClock::shared()).build()?;
        let (workspace, ttl) = (mint.workspace.as_ref(), mint.ttl);
        let token = keys::mint(&authority, &mint.aud, &mint.sub, workspace, &mint.scope, ttl)?;
        let document = json!({"access_token": token, "token_type": "Bearer", "expires_in": ttl.as_secs()});
        printer.told(&document, || token.clone())?;
        Ok(Verdict::Good)
    }
}
