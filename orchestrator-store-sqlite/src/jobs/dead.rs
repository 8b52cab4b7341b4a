//! Dead letters: moved back or removed, each once however many ask.

use orchestrator_core::store::{JobState, Moved, NewAudit, NewEvent, Owner};
use orchestrator_core::types::{EventType, JobId, Timestamp, WorkspaceId};
use serde_json::json;

use crate::batch::Batch;
use crate::control::append_audit;
use crate::inbox;
use crate::jobs::enqueue::due;
use crate::jobs::order::{HELD, rejoin, when_due};
use crate::jobs::settle::Stored;
use crate::op::{Failure, Op};
use crate::payloads;
use crate::rows::trace;

pub(super) struct Replay {
    pub(super) workspace: WorkspaceId,
    pub(super) jobs: Vec<(JobId, Option<Timestamp>)>,
    pub(super) audit: NewAudit,
}

impl Op for Replay {
    type Answer = Vec<Moved>;

    async fn apply(&self, batch: &mut Batch<'_>) -> Result<Vec<Moved>, Failure> {
        let mut moved = Vec::with_capacity(self.jobs.len());
        for (job, at) in &self.jobs {
            moved.push(match find_dead(batch, &self.workspace, *job).await? {
                Ok(stored) => {
                    self.requeue(batch, &stored, *at).await?;
                    tell(batch, &self.workspace, &stored, *job, EventType::JobReplayed, &self.audit).await?;
                    Moved::Done
                }
                Err(not) => not,
            });
        }
        audit(batch, &self.workspace, &moved, &self.audit).await?;
        Ok(moved)
    }
}

impl Replay {
    async fn requeue(&self, batch: &mut Batch<'_>, stored: &Stored, at: Option<Timestamp>) -> Result<(), Failure> {
        const REPLAY: &str = "UPDATE jobs SET state = 'queued', ready = ?2, run_at = ?3, attempt = 0, \
            lost_leases = 0, fence = fence + 1, finished_at = NULL, dead_reason = NULL WHERE seq = ?1";
        let run_at = due(at, batch.now);
        let ready = if stored.ordering_key().is_some() { HELD } else { when_due(run_at <= batch.now) };
        sqlx::query(REPLAY).bind(stored.seq).bind(ready).bind(run_at.unix_ms()).execute(&mut *batch.conn).await?;
        batch.ready_is(stored.seq);
        match stored.ordering_key() {
            Some(key) => rejoin(batch, &self.workspace, key).await,
            None => Ok(()),
        }
    }
}

pub(super) struct Purge {
    pub(super) workspace: WorkspaceId,
    pub(super) jobs: Vec<JobId>,
    pub(super) audit: NewAudit,
}

impl Op for Purge {
    type Answer = Vec<Moved>;

    async fn apply(&self, batch: &mut Batch<'_>) -> Result<Vec<Moved>, Failure> {
        const JOB: &str = "DELETE FROM jobs WHERE seq = ?1";
        const INPUT: &str = "DELETE FROM job_inputs WHERE seq = ?1";
        let mut moved = Vec::with_capacity(self.jobs.len());
        for job in &self.jobs {
            moved.push(match find_dead(batch, &self.workspace, *job).await? {
                Ok(stored) => {
                    tell(batch, &self.workspace, &stored, *job, EventType::JobPurged, &self.audit).await?;
                    payloads::unlink(batch, &self.workspace, [job]).await?;
                    inbox::give_up(batch, &self.workspace, *job).await?;
                    for statement in [JOB, INPUT] {
                        sqlx::query(statement).bind(stored.seq).execute(&mut *batch.conn).await?;
                    }
                    Moved::Done
                }
                Err(not) => not,
            });
        }
        audit(batch, &self.workspace, &moved, &self.audit).await?;
        Ok(moved)
    }
}

async fn find_dead(
    batch: &mut Batch<'_>,
    workspace: &WorkspaceId,
    job: JobId,
) -> Result<Result<Stored, Moved>, Failure> {
    Ok(match Stored::find(batch, workspace, job).await? {
        None => Err(Moved::NotFound),
        Some(stored) if stored.state == JobState::Dead => Ok(stored),
        Some(_) => Err(Moved::NotDead),
    })
}

/// The event of a move, in the trace of the job.
async fn tell(
    batch: &mut Batch<'_>,
    workspace: &WorkspaceId,
    stored: &Stored,
    job: JobId,
    kind: EventType,
    audit: &NewAudit,
) -> Result<(), Failure> {
    const TRACE: &str = "SELECT trace FROM jobs WHERE seq = ?1";
    let row = sqlx::query(TRACE).bind(stored.seq).fetch_one(&mut *batch.conn).await?;
    let data = json!({"actor": audit.actor, "reason": audit.reason});
    batch.event(workspace, NewEvent::new(kind, job, trace(&row, "trace")?, data));
    Ok(())
}

async fn audit(
    batch: &mut Batch<'_>,
    workspace: &WorkspaceId,
    moved: &[Moved],
    audit: &NewAudit,
) -> Result<(), Failure> {
    if moved.contains(&Moved::Done) {
        append_audit(batch, &Owner::from(workspace), audit.clone()).await?;
    }
    Ok(())
}
