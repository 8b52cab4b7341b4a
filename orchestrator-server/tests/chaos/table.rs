//! What happened, as a table.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use crate::faults::{Fault, Kind};
use crate::load::Counts;
use crate::oracle::Ends;

/// What the faults of one kind did.
#[derive(Debug, Default)]
struct Row {
    times: u64,
    acknowledged: u64,
    refused: u64,
    unanswered: u64,
    longest: Duration,
}

/// A row a kind of fault.
#[derive(Debug, Default)]
pub(crate) struct Table(BTreeMap<Kind, Row>);

impl Table {
    /// Notes what was acknowledged and not while the fault lasted, and how long it took afterwards until both API nodes
    /// acknowledged again.
    pub(crate) fn note(&mut self, fault: Fault, before: Counts, after: Counts, back: Duration) {
        let row = self.0.entry(fault.kind).or_default();
        row.times += 1;
        row.acknowledged += after.acknowledged - before.acknowledged;
        row.refused += after.refused - before.refused;
        row.unanswered += after.unanswered - before.unanswered;
        row.longest = row.longest.max(back);
    }

    pub(crate) fn shown(&self, ends: &Ends, lasted: Duration) -> String {
        let mut text = String::new();
        let line = "-".repeat(100);
        let head = ("fault", "times", "acknowledged", "refused", "unanswered", "back after");
        let (fault, times, acknowledged, refused, unanswered, back) = head;
        writeln!(text, "\n{fault:38} {times:>6} {acknowledged:>13} {refused:>9} {unanswered:>11} {back:>12}\n{line}")
            .unwrap();
        for (kind, row) in &self.0 {
            let Row { times, acknowledged, refused, unanswered, longest } = row;
            let longest = longest.as_millis();
            writeln!(text, "{kind:38} {times:>6} {acknowledged:>13} {refused:>9} {unanswered:>11} {longest:>9} ms")
                .unwrap();
        }
        let Ends { jobs, webhooks, events, kinds, requests, repeated, lost_leases, stale } = ends;
        writeln!(text, "{line}\n{} s: {jobs} jobs and {webhooks} webhooks acknowledged, 0 lost", lasted.as_secs())
            .unwrap();
        let kinds: Vec<String> = kinds.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        writeln!(text, "{events} events without a hole, of which {}", kinds.join(", ")).unwrap();
        write!(
            text,
            "{requests} callbacks received, {repeated} of them again under the same id; {lost_leases} leases lost, {stale} \
             late settlements refused (by the processes that run now)"
        )
        .unwrap();
        text
    }
}
