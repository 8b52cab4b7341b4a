//! [`JobStore`] in memory.

use std::time::Duration;

use async_trait::async_trait;
use orchestrator_types::{EventType, JobId, JobStatus, Timestamp, WorkspaceId};

use crate::memory::MemoryStore;
use crate::queue::JobHint;
use crate::store::{
    Cancelled, Claim, ClaimNamed, ClaimedJob, DeadFilter, Enqueue, Enqueued, HeldLease, JobFilter, JobKind, JobRecord,
    JobState, JobStore, Moved, NewAudit, NewEvent, QueueStats, Settled, Settlement, StoreError,
};

/// Whether a list of jobs shows it.
fn is_listed(record: &JobRecord, filter: &JobFilter, now: Timestamp) -> bool {
    let status = |wanted: JobStatus| record.status(now) == wanted;
    record.job.kind != JobKind::Callback
        && filter.status.is_none_or(status)
        && (filter.connector.is_none() || filter.connector == record.job.connector)
}

/// Whether a list of dead letters shows it. A call is not of the callback that would have heard of its outcome.
fn is_dead_letter(record: &JobRecord, filter: &DeadFilter) -> bool {
    let callback = record.job.callback.as_ref().filter(|_| record.job.kind != JobKind::Call);
    (filter.connector.is_none() || filter.connector == record.job.connector)
        && (filter.callback.is_none() || filter.callback.as_ref() == callback)
        && filter.died_before.is_none_or(|before| record.finished_at.is_some_and(|died| died < before))
        && filter.died_after.is_none_or(|after| record.finished_at.is_some_and(|died| died > after))
}

#[async_trait]
impl JobStore for MemoryStore {
    async fn enqueue(&self, workspace: &WorkspaceId, enqueue: Enqueue) -> Result<Enqueued, StoreError> {
        Ok(self.write(|transaction| transaction.enqueue(workspace, enqueue)))
    }

    async fn claim(&self, claim: Claim) -> Result<Vec<ClaimedJob>, StoreError> {
        Ok(self.write(|transaction| {
            let claimed = transaction.state.jobs.claim(claim, transaction.now);
            for record in &claimed {
                transaction.tell(&record.workspace, record.started_event());
            }
            claimed.into_iter().map(|record| ClaimedJob { record }).collect()
        }))
    }

    async fn claim_named(&self, claim: ClaimNamed) -> Result<Vec<ClaimedJob>, StoreError> {
        Ok(self.write(|transaction| {
            let claimed = transaction.state.jobs.claim_named(&claim, transaction.now);
            for record in &claimed {
                transaction.tell(&record.workspace, record.started_event());
            }
            claimed.into_iter().map(|record| ClaimedJob { record }).collect()
        }))
    }

    async fn ready_heads(
        &self,
        after: Option<&WorkspaceId>,
        workspaces: usize,
        each: usize,
    ) -> Result<Vec<JobHint>, StoreError> {
        Ok(self.write(|transaction| transaction.state.jobs.heads(after, workspaces, each, transaction.now)))
    }

    async fn renew(&self, held: Vec<HeldLease>, lease: Duration) -> Result<Vec<HeldLease>, StoreError> {
        Ok(self.write(|transaction| {
            let (now, jobs) = (transaction.now, &mut transaction.state.jobs);
            let mut lost = held;
            lost.retain(|held| {
                let record = jobs.record(&held.workspace, held.job);
                let ours = record.is_some_and(|record| record.state == JobState::Running && record.fence == held.fence);
                if ours {
                    jobs.change(&held.workspace, held.job, now, |row| row.lease_until = now.after(lease));
                }
                !ours
            });
            lost
        }))
    }

    async fn settle(&self, settlements: Vec<Settlement>) -> Result<Vec<Settled>, StoreError> {
        Ok(self.write(|transaction| settlements.into_iter().map(|end| transaction.settle(end)).collect()))
    }

    async fn rescue(
        &self,
        _owner: &str,
        lease: Duration,
        limit: usize,
    ) -> Result<(usize, Vec<ClaimedJob>), StoreError> {
        Ok(self.write(|transaction| {
            let (ready, poisoned) = transaction.state.jobs.rescue(lease, limit, transaction.now);
            for record in &ready {
                transaction.tell(&record.workspace, record.lost_lease_event());
                transaction.told.ready = true;
            }
            (ready.len(), poisoned.into_iter().map(|record| ClaimedJob { record }).collect())
        }))
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        let now = self.clock.now();
        Ok(self.read(|state| state.jobs.next_due(now)))
    }

    async fn cancel(&self, workspace: &WorkspaceId, job: JobId, event: NewEvent) -> Result<Cancelled, StoreError> {
        Ok(self.write(|transaction| transaction.cancel(workspace, job, event)))
    }

    async fn job(&self, workspace: &WorkspaceId, job: JobId) -> Result<Option<JobRecord>, StoreError> {
        Ok(self.read(|state| state.jobs.record(workspace, job).cloned()))
    }

    async fn jobs(
        &self,
        workspace: &WorkspaceId,
        filter: &JobFilter,
        before: Option<JobId>,
        limit: usize,
    ) -> Result<Vec<JobRecord>, StoreError> {
        let now = self.clock.now();
        Ok(self.read(|state| {
            let jobs = state.jobs.newest(workspace, before).filter(|record| is_listed(record, filter, now));
            jobs.take(limit).cloned().collect()
        }))
    }

    async fn dead(
        &self,
        workspace: &WorkspaceId,
        filter: &DeadFilter,
        before: Option<JobId>,
        limit: usize,
    ) -> Result<Vec<JobRecord>, StoreError> {
        Ok(self.read(|state| {
            let jobs = state.jobs.buried(workspace, before).filter(|record| is_dead_letter(record, filter));
            jobs.take(limit).cloned().collect()
        }))
    }

    async fn replay(
        &self,
        workspace: &WorkspaceId,
        jobs: Vec<(JobId, Option<Timestamp>)>,
        audit: NewAudit,
    ) -> Result<Vec<Moved>, StoreError> {
        Ok(self.write(|transaction| {
            transaction.move_dead(workspace, jobs, EventType::JobReplayed, audit, |transaction, id, run_at| {
                let now = transaction.now;
                transaction.state.jobs.change(workspace, id, now, |row| {
                    let record = &mut row.record;
                    record.state = JobState::Queued;
                    record.attempt = 0;
                    record.lost_leases = 0;
                    record.fence += 1;
                    record.run_at = run_at.unwrap_or(now);
                    record.finished_at = None;
                    record.dead_reason = None;
                });
            })
        }))
    }

    async fn purge(
        &self,
        workspace: &WorkspaceId,
        jobs: Vec<JobId>,
        audit: NewAudit,
    ) -> Result<Vec<Moved>, StoreError> {
        let jobs = jobs.into_iter().map(|id| (id, ())).collect();
        Ok(self.write(|transaction| {
            transaction.move_dead(workspace, jobs, EventType::JobPurged, audit, |transaction, id, ()| {
                if let Some(record) = transaction.state.jobs.record(workspace, id).cloned() {
                    transaction.state.give_up(workspace, &record);
                }
                transaction.state.jobs.remove(workspace, id, transaction.now);
                transaction.state.payloads.unlink(workspace, id);
            })
        }))
    }

    async fn queue_stats(&self) -> Result<QueueStats, StoreError> {
        let now = self.clock.now();
        Ok(self.write(|transaction| transaction.state.jobs.stats(now)))
    }
}
