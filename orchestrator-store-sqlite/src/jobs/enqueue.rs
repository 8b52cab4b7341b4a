//! Accepting jobs.

use bytes::Bytes;
use orchestrator_core::store::{Enqueue, Enqueued, IdempotentAnswer, NewJob, Owner};
use orchestrator_core::types::{Name, Timestamp, WorkspaceId};
use sqlx::Row;

use crate::batch::Batch;
use crate::control::append_audit;
use crate::jobs::row::lane;
use crate::op::{Failure, Op};
use crate::payloads;
use crate::requests::keys::{self, JOBS};
use crate::rows::{hash, id_bytes, int, to_json, value};

/// Larger inputs lie apart, so that the steps of a job do not write them again and again.
const INLINE: usize = 2048;

/// About how many bytes these jobs take.
pub(crate) fn weight(jobs: &[NewJob]) -> usize {
    jobs.iter().map(|job| job.input.len() + 256).sum()
}

pub(super) struct Accept {
    pub(super) workspace: WorkspaceId,
    pub(super) enqueue: Enqueue,
}

impl Op for Accept {
    type Answer = Enqueued;

    fn weight(&self) -> usize {
        weight(&self.enqueue.jobs)
    }

    async fn apply(&self, batch: &mut Batch<'_>) -> Result<Enqueued, Failure> {
        Ok(accept(batch, &self.workspace, &self.enqueue).await?.enqueued)
    }
}

/// What became of an acceptance.
pub(crate) struct Accepted {
    /// As its caller hears it.
    pub(crate) enqueued: Enqueued,
    /// Whether anything was written.
    pub(crate) fresh: bool,
}

/// Accepts jobs under their idempotency key.
pub(crate) async fn accept(
    batch: &mut Batch<'_>,
    workspace: &WorkspaceId,
    enqueue: &Enqueue,
) -> Result<Accepted, Failure> {
    if let Some(kept) = &enqueue.idempotency
        && let Some(enqueued) = known(batch, workspace, kept).await?
    {
        return Ok(Accepted { enqueued, fresh: false });
    }
    let mut queued = Vec::new();
    let mut fresh = enqueue.jobs.is_empty();
    for job in &enqueue.jobs {
        if insert_row(batch, workspace, job).await? {
            fresh = true;
            queued.extend(job.queued_event());
        }
    }
    if let Some(kept) = &enqueue.idempotency {
        keys::put_answer(batch, workspace, kept).await?;
    }
    // A call that is repeated because its answer was lost finds its jobs, and adds nothing.
    if fresh {
        batch.events(workspace, &enqueue.events);
        for event in queued {
            batch.event(workspace, event);
        }
        if let Some(audit) = &enqueue.audit {
            append_audit(batch, &Owner::from(workspace), audit.clone()).await?;
        }
    }
    Ok(Accepted { enqueued: Enqueued::Accepted, fresh })
}

async fn known(
    batch: &mut Batch<'_>,
    workspace: &WorkspaceId,
    kept: &IdempotentAnswer,
) -> Result<Option<Enqueued>, Failure> {
    let Some(row) = keys::live(batch, workspace, JOBS, &kept.key).await? else {
        return Ok(None);
    };
    if hash(&row, "request_hash")? != kept.request_hash {
        return Ok(Some(Enqueued::Mismatch));
    }
    let answer = value::<Option<Vec<u8>>>(&row, "answer")?.unwrap_or_default();
    Ok(Some(Enqueued::Replayed(Bytes::from(answer))))
}

/// Accepts one job with its event, unless it is there.
pub(crate) async fn insert(batch: &mut Batch<'_>, workspace: &WorkspaceId, job: &NewJob) -> Result<(), Failure> {
    if insert_row(batch, workspace, job).await?
        && let Some(event) = job.queued_event()
    {
        batch.event(workspace, event);
    }
    Ok(())
}

/// When a job may run that is wanted at `at`: a time that has passed is now.
pub(super) fn due(at: Option<Timestamp>, now: Timestamp) -> Timestamp {
    at.map_or(now, |at| at.max(now))
}

async fn insert_row(batch: &mut Batch<'_>, workspace: &WorkspaceId, job: &NewJob) -> Result<bool, Failure> {
    const JOB: &str = "INSERT INTO jobs (workspace, id, lane, state, ready, priority, run_at, attempt, fence, \
        lost_leases, created_at, kind, connector, operation, max_attempts, ordering_key, callback, metadata, \
        timeout_ms, subject, delivery_id, trace, input) \
        VALUES (?1, ?2, ?3, 'queued', \
        CASE WHEN ?10 IS NOT NULL AND EXISTS (SELECT 1 FROM jobs o INDEXED BY jobs_ordering \
          WHERE o.workspace = ?1 AND o.ordering_key = ?10 AND o.ordering_key IS NOT NULL AND o.finished_at IS NULL) \
        THEN 2 WHEN ?5 <= ?6 THEN 1 ELSE 0 END, \
        ?4, ?5, 0, 0, 0, ?6, ?7, ?8, ?9, ?11, ?10, ?12, ?13, ?14, ?15, ?16, ?17, ?18) \
        ON CONFLICT (workspace, id) DO NOTHING RETURNING seq";
    const INPUT: &str = "INSERT INTO job_inputs (seq, body) VALUES (?1, ?2)";
    let apart = job.input.len() > INLINE;
    let row = sqlx::query(JOB)
        .bind(workspace.as_str())
        .bind(id_bytes(job.id.bits()))
        .bind(lane(job))
        .bind(i64::from(job.priority))
        .bind(due(job.run_at, batch.now).unix_ms())
        .bind(batch.now.unix_ms())
        .bind(job.kind.as_str())
        .bind(job.connector.as_ref().map(Name::as_str))
        .bind(&job.operation)
        .bind(&job.ordering_key)
        .bind(i64::from(job.max_attempts))
        .bind(job.callback.as_ref().map(Name::as_str))
        .bind(to_json(&job.metadata)?)
        .bind(job.timeout.map(|timeout| int(timeout.as_millis())))
        .bind(&job.subject)
        .bind(&job.delivery_id)
        .bind(id_bytes(job.trace_id.bits()))
        .bind((!apart).then(|| job.input.to_vec()))
        .fetch_optional(&mut *batch.conn)
        .await?;
    let Some(row) = row else {
        return Ok(false);
    };
    let seq: i64 = row.try_get("seq")?;
    if apart {
        sqlx::query(INPUT).bind(seq).bind(job.input.to_vec()).execute(&mut *batch.conn).await?;
    }
    payloads::link(batch, workspace, job.id, &job.payloads).await?;
    batch.touched(workspace);
    batch.ready_is(seq);
    Ok(true)
}
