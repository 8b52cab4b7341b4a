//! `orchestrator execution`.

use clap::Subcommand;
use orchestrator_types::{AttemptRecord, ExecutionId, ExecutionView};

use super::Verdict;
use super::connection::Connection;
use super::output::{Printer, plain};

/// Calls that were made.
#[derive(Debug, Subcommand)]
pub(super) enum Executions {
    /// Show a call: each attempt, and what each policy decided.
    Get {
        /// The execution.
        id: ExecutionId,
        #[command(flatten)]
        connection: Connection,
    },
}

impl Executions {
    pub(super) async fn run(self, printer: Printer) -> anyhow::Result<Verdict> {
        let Self::Get { id, connection } = self;
        show(printer, &connection.client()?.execution(id).await?)?;
        Ok(Verdict::Good)
    }
}

fn show(printer: Printer, execution: &ExecutionView) -> anyhow::Result<()> {
    let error = execution.error.as_ref();
    printer.thing(
        execution,
        &[
            ("id", execution.id.to_string()),
            ("status", execution.status.clone()),
            ("connector", execution.connector.to_string()),
            ("operation", execution.operation.clone()),
            ("error", error.map_or_else(String::new, |error| format!("{}: {}", error.code, error.detail))),
            ("duration", format!("{} ms", execution.duration_ms)),
            ("started", execution.started_at.to_string()),
            ("config", execution.config_version.to_string()),
            ("trace", execution.trace_id.to_string()),
        ],
    )?;
    if printer.is_json() {
        return Ok(());
    }
    let header = ["attempt", "start ms", "waited ms", "why", "outcome", "status", "took ms"];
    printer.table(&header, execution.attempts_log.iter().map(attempt))?;
    printer.table(
        &["policy", "decision", "at ms", "detail"],
        execution.decisions.iter().map(|decision| {
            vec![
                decision.policy.clone(),
                decision.decision.clone(),
                decision.at_ms.to_string(),
                plain(&decision.detail),
            ]
        }),
    )
}

fn attempt(attempt: &AttemptRecord) -> Vec<String> {
    vec![
        attempt.number.to_string(),
        attempt.start_ms.to_string(),
        attempt.wait_ms.to_string(),
        plain(&attempt.wait_reason),
        plain(&attempt.outcome),
        plain(&attempt.status),
        attempt.duration_ms.to_string(),
    ]
}
