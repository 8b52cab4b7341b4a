//! `orchestrator explain`: a call as a waterfall, for people.

use clap::Args;
use orchestrator_types::{ExecutionId, ExecutionView, Stage};

use super::Verdict;
use super::connection::Connection;
use super::output::{Printer, clean};

/// How wide the bars are.
const WIDTH: u64 = 40;

/// Show where the time of a call went, and what each policy decided.
#[derive(Debug, Args)]
pub(super) struct Explain {
    /// The execution.
    id: ExecutionId,
    #[command(flatten)]
    connection: Connection,
}

impl Explain {
    pub(super) async fn run(self, printer: Printer) -> anyhow::Result<Verdict> {
        let execution = self.connection.client()?.execution(self.id).await?;
        printer.told(&execution, || drawn(&execution))?;
        Ok(Verdict::Good)
    }
}

/// The call in a headline, a line a stage, and the failure if it is one.
fn drawn(execution: &ExecutionView) -> String {
    let attempts = if execution.attempts == 1 { "attempt" } else { "attempts" };
    let mut lines = vec![
        clean(&format!(
            "{} {}: {} {}, {} {attempts}, {} ms",
            execution.id,
            execution.status,
            execution.connector,
            execution.operation,
            execution.attempts,
            execution.duration_ms,
        )),
        format!(
            "began {}, config version {}, trace {}",
            execution.started_at, execution.config_version, execution.trace_id
        ),
        String::new(),
    ];
    let name = |stage: &Stage| match stage.attempt {
        Some(number) if stage.stage != "wait" => format!("{} {number}", stage.stage),
        _ => stage.stage.clone(),
    };
    let names = execution.waterfall.iter().map(|stage| name(stage).len()).max().unwrap_or_default();
    let ends = execution.waterfall.iter().map(|stage| stage.start_ms.saturating_add(stage.duration_ms));
    let total = ends.max().unwrap_or_default().max(execution.duration_ms).max(1);
    for stage in &execution.waterfall {
        let status = stage.status.map(|status| format!(" {status}")).unwrap_or_default();
        let detail = stage.detail.as_ref().map(|detail| format!(" ({detail})")).unwrap_or_default();
        let line = format!(
            "{:names$}  {:>7} ms |{}| {}{status}{detail}",
            name(stage),
            stage.duration_ms,
            bar(stage, total),
            stage.outcome,
        );
        lines.push(clean(&line));
    }
    if let Some(error) = &execution.error {
        lines.extend([String::new(), clean(&format!("{}: {}", error.code, error.detail))]);
    }
    lines.join("\n")
}

/// When the stage was, of the whole: a mark at least, for what took no time.
fn bar(stage: &Stage, total: u64) -> String {
    let place = |ms: u64| ms.min(total) * WIDTH / total;
    let start = place(stage.start_ms).min(WIDTH - 1);
    let end = place(stage.start_ms.saturating_add(stage.duration_ms)).clamp(start + 1, WIDTH);
    let mark = match stage.stage.as_str() {
        _ if stage.duration_ms == 0 => '·',
        "attempt" | "hedge" => '█',
        _ => '░',
    };
    (0..WIDTH).map(|column| if (start..end).contains(&column) { mark } else { ' ' }).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use serde_json::json;

    use super::*;

    fn execution() -> ExecutionView {
        let stage = |stage: &str, attempt: Option<u32>, start: u64, took: u64, outcome: &str| json!({"stage": stage, "attempt": attempt, "start_ms": start, "duration_ms": took, "outcome": outcome});
        serde_json::from_value(json!({
            "id": ExecutionId::new(), "workspace": "buildos-dev", "status": "failed", "connector": "billing-api",
            "operation": "request", "error": {"code": "upstream_failed", "detail": "no \u{1b}[31m luck"}, "attempts": 2,
            "duration_ms": 200, "started_at": "2026-01-01T00:00:00.000Z", "config_version": 3,
            "trace_id": "0af7651916cd43dd8448eb211c80319c", "attempts_log": [], "decisions": [],
            "waterfall": [
                stage("rate_limit", None, 0, 0, "admitted"),
                stage("attempt", Some(1), 0, 50, "timeout"),
                stage("wait", Some(2), 50, 100, "backoff"),
                stage("attempt", Some(2), 150, 50, "failed"),
            ],
        }))
        .unwrap()
    }

    #[test]
    fn the_bars_follow_each_other_and_cover_the_whole() {
        let drawn = drawn(&execution());
        let bars: Vec<&str> = drawn.lines().filter_map(|line| line.split('|').nth(1)).collect();
        assert_eq!(bars.len(), 4);
        assert!(bars.iter().all(|bar| bar.chars().count() == 40));
        assert_eq!(bars[0].trim_end(), "·");
        assert_eq!(bars[1].trim_end(), "█".repeat(10));
        assert_eq!(bars[2].trim(), "░".repeat(20));
        assert_eq!(bars[3].trim_start(), "█".repeat(10));
    }

    #[test]
    fn it_ends_with_why_the_call_failed_and_no_terminal_is_steered_by_it() {
        let drawn = drawn(&execution());
        assert!(drawn.lines().last().unwrap().starts_with("upstream_failed: no "));
        assert!(!drawn.contains('\u{1b}'));
    }

    #[test]
    fn a_call_that_took_no_time_is_drawn_too() {
        let mut execution = execution();
        execution.duration_ms = 0;
        execution.waterfall = vec![execution.waterfall.swap_remove(0)];
        assert!(drawn(&execution).contains("rate_limit"));
    }
}
