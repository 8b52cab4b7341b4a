//! `orchestrator dlq`.

use clap::{Args, Subcommand};
use orchestrator_types::{DeadLetter, DlqFilter, DlqRequest, DlqResult, JobId, Name, WorkspaceId};

use super::Verdict;
use super::connection::{Because, Connection, Paging};
use super::output::{Printer, plain};

/// Dead letters.
#[derive(Debug, Subcommand)]
pub(super) enum Dlq {
    /// List dead letters.
    List {
        /// The workspace.
        workspace: WorkspaceId,
        #[command(flatten)]
        paging: Paging,
        #[command(flatten)]
        connection: Connection,
    },
    /// Give dead letters another run.
    Replay(Move),
    /// Throw dead letters away.
    Purge(Move),
}

/// Which dead letters, and why.
#[derive(Debug, Args)]
pub(super) struct Move {
    /// The workspace.
    workspace: WorkspaceId,
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    because: Because,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
struct Which {
    /// Just this one; may be given several times.
    #[arg(long = "id", value_name = "JOB", conflicts_with_all = ["connector", "callback", "all"])]
    ids: Vec<JobId>,
    /// Those of this connector.
    #[arg(long)]
    connector: Option<Name>,
    /// Those of this callback.
    #[arg(long)]
    callback: Option<Name>,
    /// All of them.
    #[arg(long, conflicts_with_all = ["connector", "callback"])]
    all: bool,
}

impl Dlq {
    pub(super) async fn run(self, printer: Printer) -> anyhow::Result<Verdict> {
        match self {
            Self::List { workspace, paging, connection } => {
                let page = paging.of(connection.workspace(&workspace)?.dlq()).await?;
                let header = ["id", "kind", "target", "reason", "error", "attempts", "died"];
                printer.page(&page, &header, |letter: &DeadLetter| {
                    vec![
                        letter.id.to_string(),
                        letter.kind.clone(),
                        plain(&letter.connector.as_ref().or(letter.callback.as_ref())),
                        letter.reason.clone(),
                        letter.error.as_ref().map_or_else(String::new, |error| error.code.clone()),
                        letter.attempts.to_string(),
                        letter.died_at.to_string(),
                    ]
                })?;
                Ok(Verdict::Good)
            }
            Self::Replay(what) => {
                let result = what.connection.workspace(&what.workspace)?.replay_dlq(&what.request()).await?;
                show(printer, "replayed", &result)
            }
            Self::Purge(what) => {
                let result = what.connection.workspace(&what.workspace)?.purge_dlq(&what.request()).await?;
                show(printer, "purged", &result)
            }
        }
    }
}

impl Move {
    fn request(&self) -> DlqRequest {
        let Which { ids, connector, callback, .. } = &self.which;
        let filter = DlqFilter { connector: connector.clone(), callback: callback.clone(), ..DlqFilter::default() };
        DlqRequest {
            ids: (!ids.is_empty()).then(|| ids.clone()),
            filter: ids.is_empty().then_some(filter),
            reason: self.because.reason.clone(),
        }
    }
}

/// What was moved. One that was asked for and not moved makes the command fail.
fn show(printer: Printer, done: &str, result: &DlqResult) -> anyhow::Result<Verdict> {
    printer.told(result, || {
        let skipped = result.skipped.iter().map(|skipped| format!("\nnot {done}: {} ({})", skipped.id, skipped.reason));
        format!("{done}: {}{}", result.count, skipped.collect::<String>())
    })?;
    Ok(result.skipped.is_empty().into())
}
