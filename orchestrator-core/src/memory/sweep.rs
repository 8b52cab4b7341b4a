//! Retention in memory: each sort of thing up to the limit, and nothing that is unfinished.

use super::Transaction;
use crate::store::Sweep;

impl Transaction<'_> {
    /// Removes what has outlived its time; answers how many things.
    pub(super) fn sweep(&mut self, sweep: &Sweep, limit: usize) -> u64 {
        let (state, workspace) = (&mut *self.state, &sweep.workspace);
        let jobs = state.jobs.sweep(workspace, sweep.jobs_before, limit, self.now);
        jobs.iter().for_each(|job| state.payloads.unlink(workspace, job));
        let removed = [
            state.requests.sweep_records(workspace, sweep.requests_before, limit),
            state.requests.sweep_keys(workspace, self.now, limit),
            state.events.sweep(workspace, sweep.events_before, limit),
            state.sweep_tombstones(workspace, sweep.tombstones_before, limit),
            state.sweep_bodies(workspace, sweep.inbox_before, limit),
            jobs.len(),
        ];
        removed.iter().map(|count| *count as u64).sum()
    }
}
