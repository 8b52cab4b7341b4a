//! A report as tables: a column for each policy.

use std::collections::BTreeSet;

use super::{LatencyReport, PolicyReport, Report};

/// So many changes of a breaker are shown.
const CHANGES: usize = 12;
/// Of so many phases the figures are shown.
const PHASES: usize = 20;

/// A table to be printed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Table {
    /// The names of the columns.
    pub header: Vec<String>,
    /// The rows, as long as the header.
    pub rows: Vec<Vec<String>>,
}

impl Report {
    /// The report as tables: the whole, by phase, and what the breakers did.
    pub fn tables(&self) -> Vec<Table> {
        let tables = [self.whole(), self.by_phase(), self.breakers()];
        tables.into_iter().filter(|table| !table.rows.is_empty()).collect()
    }

    fn header(&self, first: &str) -> Vec<String> {
        let names = self.policies.iter().map(|policy| policy.name.clone());
        std::iter::once(first.to_owned()).chain(names).collect()
    }

    fn row(&self, name: &str, figure: impl Fn(&PolicyReport) -> String) -> Vec<String> {
        std::iter::once(name.to_owned()).chain(self.policies.iter().map(figure)).collect()
    }

    fn whole(&self) -> Table {
        let mut rows = vec![
            self.row("requests succeeded", |policy| percent(policy.success_ratio)),
            self.row("recovered after", recovered),
            self.row("requests / calls / attempts", |policy| {
                format!("{} / {} / {}", policy.requests, policy.calls, policy.attempts)
            }),
            self.row("amplification", |policy| format!("{:.2}", policy.amplification)),
            self.row("peak attempts/s (requests/s)", |policy| {
                let peak = &policy.peak;
                format!("{} ({}) at {} s", peak.attempts_per_second, peak.requests_per_second, peak.at_s)
            }),
            self.row("latency p50 / p90 / p99 / max, ms", |policy| latency(&policy.latency_ms)),
            self.row("… of successes", |policy| latency(&policy.latency_of_successes_ms)),
            self.row("retries", |policy| policy.retries.to_string()),
            self.row("retries denied by the budget", |policy| count(policy.gave_up.get("budget"))),
            self.row("work in vain", |policy| policy.abandoned.to_string()),
            self.row("longest queue of the upstream", |policy| policy.most_waiting.to_string()),
            self.row("breaker opened", |policy| {
                let opened = policy.breaker.iter().filter(|change| change.to == "open").count();
                format!("{opened} ×")
            }),
        ];
        let reasons = |of: fn(&PolicyReport) -> &std::collections::BTreeMap<&'static str, u64>| {
            self.policies.iter().flat_map(move |policy| of(policy).keys().copied()).collect::<BTreeSet<_>>()
        };
        for reason in reasons(|policy| &policy.rejected) {
            rows.push(self.row(&format!("rejected: {}", words(reason)), |policy| count(policy.rejected.get(reason))));
        }
        for reason in reasons(|policy| &policy.failed) {
            rows.push(self.row(&format!("failed: {}", words(reason)), |policy| count(policy.failed.get(reason))));
        }
        Table { header: self.header("in all"), rows }
    }

    fn by_phase(&self) -> Table {
        let phases = self.scenario.phases.iter().enumerate().take(PHASES);
        let rows = phases.map(|(index, phase)| {
            self.row(&format!("{} ({} to {} s)", phase.name, phase.from_s, phase.to_s), |policy| {
                policy.phases.get(index).map_or_else(String::new, |phase| {
                    let p99 = phase.latency_ms.p99.map_or_else(|| "–".to_owned(), |p99| format!("{p99} ms"));
                    format!("{}, ×{:.2}, {p99}", percent(phase.success_ratio), phase.amplification)
                })
            })
        });
        Table { header: self.header("succeeded, amplification, p99"), rows: rows.collect() }
    }

    fn breakers(&self) -> Table {
        let mut rows = Vec::new();
        for policy in &self.policies {
            for change in policy.breaker.iter().take(CHANGES) {
                let counts = format!("{} of {} attempts failed", change.failures, change.calls);
                let states = format!("{} → {}", words(change.from), words(change.to));
                rows.push(vec![format!("{:.3} s", change.at_s), policy.name.clone(), states, counts]);
            }
            let shown = policy.breaker.len().min(CHANGES) as u64;
            if policy.breaker_changes > shown {
                let more = format!("{} more", policy.breaker_changes - shown);
                rows.push(vec!["…".to_owned(), policy.name.clone(), more, String::new()]);
            }
        }
        let header = ["breaker", "policy", "change", "on"].map(str::to_owned).to_vec();
        Table { header, rows }
    }
}

fn recovered(policy: &PolicyReport) -> String {
    match policy.recovered_after_s {
        Some(seconds) => format!("{seconds} s"),
        None if policy.recovery_measured => "never".to_owned(),
        None => "–".to_owned(),
    }
}

fn percent(ratio: f64) -> String {
    format!("{:.1} %", ratio * 100.0)
}

fn latency(latency: &LatencyReport) -> String {
    let figures = [latency.p50, latency.p90, latency.p99, latency.max];
    figures.map(|figure| figure.map_or_else(|| "–".to_owned(), |millis| millis.to_string())).join(" / ")
}

fn count(count: Option<&u64>) -> String {
    count.copied().unwrap_or(0).to_string()
}

fn words(name: &str) -> String {
    name.replace('_', " ")
}
