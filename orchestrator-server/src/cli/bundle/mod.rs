//! `orchestrator apply` and `orchestrator export`.

mod files;
mod plan;
mod watch;

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;

use anyhow::bail;
use clap::Args;
use orchestrator_client::{Client, ETag};
use orchestrator_core::config::bundle::Syntax;
use orchestrator_types::{BundleResult, WorkspaceId};

use self::files::{Document, documents, sources};
use self::plan::{Colour, changes_anything, told};
use super::Verdict;
use super::connection::Connection;
use super::output::{Printer, write};

/// Make workspaces what bundles say. Shows what would change, and asks.
///
/// Ends with 0 if it is done or there was nothing to do, with 2 if it was declined, or if --plan shows changes.
#[derive(Debug, Args)]
pub(super) struct Apply {
    /// A bundle in JSON or YAML, or a folder of them; `-` is standard input. May be given several times.
    #[arg(short = 'f', long = "file", required = true)]
    files: Vec<PathBuf>,
    /// Only show what would change.
    #[arg(long)]
    dry_run: bool,
    /// Only show what would change, and end with 2 if there is something.
    #[arg(long, conflicts_with = "dry_run")]
    plan: bool,
    /// Do not ask.
    #[arg(short = 'y', long)]
    yes: bool,
    /// Apply the one bundle to this workspace, whichever it came from: its name, and the variables of its `env` secrets,
    /// become those of this one.
    #[arg(long = "as", value_name = "WORKSPACE")]
    target: Option<WorkspaceId>,
    /// Stay, and apply the files whenever they change, without asking. Ends on SIGTERM.
    #[arg(long, conflicts_with_all = ["dry_run", "plan"])]
    watch: bool,
    /// While watching: set back what was changed on the server, instead of only telling it.
    #[arg(long, requires = "watch")]
    enforce: bool,
    /// While watching: look at the files this often.
    #[arg(long, default_value_t = 1_000, value_name = "MS", value_parser = clap::value_parser!(u64).range(10..=3_600_000))]
    look_ms: u64,
    /// While watching: compare the server with the files this often.
    #[arg(long, default_value_t = 30, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    compare_s: u64,
    #[command(flatten)]
    connection: Connection,
}

/// Write a workspace as one document.
#[derive(Debug, Args)]
pub(super) struct Export {
    /// The workspace.
    workspace: WorkspaceId,
    /// In YAML instead of JSON.
    #[arg(long)]
    yaml: bool,
    #[command(flatten)]
    connection: Connection,
}

impl Apply {
    pub(super) async fn run(self, printer: Printer) -> anyhow::Result<Verdict> {
        let from_input = self.files.iter().any(|path| path.as_os_str() == "-");
        if self.watch {
            if from_input {
                bail!("standard input cannot be watched");
            }
            return watch::watch(&self, printer).await;
        }
        let client = self.connection.client()?;
        // All are planned before any is applied: a mistake in the last leaves nothing half done.
        let planned = plan_all(&client, documents(&sources(&self.files)?, self.target.as_ref())?).await?;
        let (to_do, done): (Vec<_>, Vec<_>) = planned.into_iter().partition(|one| changes_anything(&one.result));
        let only_shown = self.dry_run || self.plan;
        let asks = !only_shown && !self.yes && !to_do.is_empty();
        if asks && (from_input || !io::stdin().is_terminal()) {
            bail!("this would change something, and there is no terminal to ask at: --yes applies, --plan shows it");
        }
        let colour = Colour::of_output();
        for one in &done {
            let result = BundleResult { dry_run: only_shown, ..one.result.clone() };
            printer.told(&result, || told(&result, colour))?;
        }
        if only_shown || asks {
            for one in &to_do {
                printer.told(&one.result, || told(&one.result, colour))?;
            }
        }
        if only_shown {
            return Ok(if self.plan && !to_do.is_empty() { Verdict::Open } else { Verdict::Good });
        }
        if asks && !agreed()? {
            return Ok(Verdict::Open);
        }
        for one in to_do {
            let result = one.apply(&client).await?;
            printer.told(&result, || told(&result, colour))?;
        }
        Ok(Verdict::Good)
    }
}

impl Export {
    pub(super) async fn run(self, printer: Printer) -> anyhow::Result<Verdict> {
        let bundle = self.connection.workspace(&self.workspace)?.export_bundle().await?;
        let syntax = if self.yaml && !printer.is_json() { Syntax::Yaml } else { Syntax::Json };
        write(syntax.write(&bundle)?.trim_end())?;
        Ok(Verdict::Good)
    }
}

/// A bundle, and what applying it would change.
struct Planned {
    document: Document,
    result: BundleResult,
    /// Of the config that it was planned on.
    etag: Option<ETag>,
}

impl Planned {
    /// Applies it, unless the config has become another one meanwhile.
    async fn apply(&self, client: &Client) -> anyhow::Result<BundleResult> {
        let Document { workspace, document, renamed } = &self.document;
        let etag = self.etag.as_ref().map(ETag::as_str);
        Ok(client.workspace(workspace).apply_bundle(document, *renamed, etag).await?.body)
    }
}

async fn plan_all(client: &Client, documents: Vec<Document>) -> anyhow::Result<Vec<Planned>> {
    let mut planned = Vec::with_capacity(documents.len());
    for document in documents {
        let plan = client.workspace(&document.workspace).plan_bundle(&document.document, document.renamed).await?;
        planned.push(Planned { document, result: plan.body, etag: plan.etag });
    }
    Ok(planned)
}

/// Asks, on standard error: standard output is for the plan.
fn agreed() -> anyhow::Result<bool> {
    write!(io::stderr(), "Apply this? [y/N] ")?;
    io::stderr().flush()?;
    let mut line = String::new();
    io::stdin().read_line(&mut line)?;
    Ok(matches!(line.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}
