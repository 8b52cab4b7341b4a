//! The end of an attempt, and what it causes.

use orchestrator_types::{EventType, JobId, Timestamp, WorkspaceId};
use serde_json::json;

use super::rows::Row;
use crate::memory::Transaction;
use crate::store::{
    Cancelled, Enqueue, Enqueued, JobState, Moved, NewAudit, NewEvent, Outcome, Owner, Settled, Settlement,
};

impl Transaction<'_> {
    /// Accepts jobs under an idempotency key, with what goes with them; or finds that they were.
    pub(in crate::memory) fn enqueue(&mut self, workspace: &WorkspaceId, enqueue: Enqueue) -> Enqueued {
        if let Some(asked) = &enqueue.idempotency
            && let Some(kept) = self.state.requests.kept(workspace, &asked.key, self.now)
        {
            let same = kept.request_hash == asked.request_hash;
            return if same { Enqueued::Replayed(kept.answer.clone()) } else { Enqueued::Mismatch };
        }
        let known = |id| self.state.jobs.record(workspace, id).is_some();
        if !enqueue.jobs.is_empty() && enqueue.jobs.iter().all(|job| known(job.id)) {
            // The very call again, because its answer was lost.
            return Enqueued::Accepted;
        }
        if let Some(answer) = enqueue.idempotency {
            self.state.requests.keep(workspace, answer);
        }
        if let Some(audit) = enqueue.audit {
            self.state.control.audit(&Owner::from(workspace), audit, self.now);
        }
        if !enqueue.events.is_empty() {
            self.tell(workspace, enqueue.events);
        }
        self.accept(workspace, enqueue.jobs);
        Enqueued::Accepted
    }

    /// Writes the end of an attempt, if its fence is still the job's.
    pub(super) fn settle(&mut self, settlement: Settlement) -> Settled {
        let Settlement { lease, outcome, events, request, delivery, payloads } = settlement;
        let (workspace, now) = (&lease.workspace, self.now);
        let held = self.state.jobs.record(workspace, lease.job);
        if !held.is_some_and(|record| record.state == JobState::Running && record.fence == lease.fence) {
            return Settled::Stale;
        }
        let delivery_id = delivery.as_ref().map(|job| job.id);
        self.state.jobs.change(workspace, lease.job, now, |row| {
            end(row, outcome, now);
            row.record.delivery = delivery_id.or(row.record.delivery);
        });
        self.tell(workspace, events);
        if let Some(request) = request {
            self.state.requests.record(workspace, request);
        }
        self.state.payloads.link(workspace, lease.job, payloads, now);
        self.accept(workspace, delivery.into_iter().collect());
        // It may be ready again, or have let go of those behind it.
        self.told.ready = true;
        Settled::Applied
    }

    /// Cancels a job that has not ended.
    pub(super) fn cancel(&mut self, workspace: &WorkspaceId, id: JobId, event: NewEvent) -> Cancelled {
        let now = self.now;
        match self.state.jobs.record(workspace, id).map(|record| record.state) {
            None => return Cancelled::NotFound,
            Some(state) if state.is_terminal() => return Cancelled::Ended(state),
            Some(_) => {}
        }
        self.state.jobs.change(workspace, id, now, |row| {
            row.record.state = JobState::Cancelled;
            row.record.fence += 1;
            row.record.finished_at = Some(now);
        });
        self.tell(workspace, [event]);
        self.told.ready = true;
        Cancelled::Done
    }

    /// Moves each job that is dead by `how`; one event each, one audit record if any was moved.
    pub(super) fn move_dead<T>(
        &mut self,
        workspace: &WorkspaceId,
        jobs: Vec<(JobId, T)>,
        kind: EventType,
        audit: NewAudit,
        how: impl Fn(&mut Self, JobId, T),
    ) -> Vec<Moved> {
        let data = json!({"actor": audit.actor, "reason": audit.reason});
        let mut moved = Vec::with_capacity(jobs.len());
        for (id, with) in jobs {
            moved.push(match self.state.jobs.record(workspace, id) {
                None => Moved::NotFound,
                Some(record) if record.state != JobState::Dead => Moved::NotDead,
                Some(record) => {
                    let event = NewEvent::new(kind, id, record.job.trace_id, data.clone());
                    how(self, id, with);
                    self.tell(workspace, [event]);
                    Moved::Done
                }
            });
        }
        if moved.contains(&Moved::Done) {
            self.state.control.audit(&Owner::from(workspace), audit, self.now);
            self.told.ready = true;
        }
        moved
    }
}

fn end(row: &mut Row, outcome: Outcome, now: Timestamp) {
    let record = &mut row.record;
    match outcome {
        Outcome::Succeeded { output } => {
            record.state = JobState::Succeeded;
            record.output = output;
            record.error = None;
            record.finished_at = Some(now);
        }
        Outcome::Retry { run_at, error } => {
            record.state = JobState::Queued;
            record.run_at = run_at;
            record.error = Some(error);
        }
        Outcome::Dead { reason, error } => {
            record.state = JobState::Dead;
            record.dead_reason = Some(reason);
            record.error = Some(error);
            record.finished_at = Some(now);
        }
        Outcome::GiveBack { run_at } => {
            record.state = JobState::Queued;
            record.attempt = record.attempt.saturating_sub(1);
            record.fence += 1;
            record.run_at = run_at.unwrap_or(now);
        }
    }
}
