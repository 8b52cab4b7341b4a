//! Dead letters: moved back or removed, each once however many ask.

use std::collections::HashMap;

use orchestrator_core::store::{Moved, NewAudit, NewEvent, Owner};
use orchestrator_core::types::{EventType, InboxId, JobId, Timestamp, TraceId, WorkspaceId};
use serde_json::json;
use sqlx::postgres::PgRow;
use sqlx::{Postgres, Transaction};
use uuid::Uuid;

use crate::arrays::{EventRow, op};
use crate::control::audit::{append as append_audit, lock as lock_audit};
use crate::events::append::append;
use crate::failure::Failure;
use crate::jobs::order;
use crate::notices::Told;
use crate::payloads::links;
use crate::rows::{bits, id, text_opt, trace, value};
use crate::shared::Shared;

type Tx = Transaction<'static, Postgres>;

pub(super) async fn replay(
    shared: &Shared,
    workspace: &WorkspaceId,
    jobs: &[(JobId, Option<Timestamp>)],
    audit: &NewAudit,
) -> Result<Vec<Moved>, Failure> {
    const KEYS: &str = "SELECT DISTINCT ordering_key FROM jobs \
        WHERE workspace = $1 AND id = ANY ($2) AND ordering_key IS NOT NULL";
    const MOVE: &str = "WITH wanted AS (SELECT w.id, min(w.at) AS at FROM unnest($2::uuid[], $3::bigint[]) AS w (id, at) GROUP BY w.id), \
        moment AS MATERIALIZED (SELECT now_ms($4) AS now), \
        gone AS (DELETE FROM ended e USING wanted w WHERE e.workspace = $1 AND e.id = w.id AND e.state = 'dead' \
          RETURNING e.id, e.seq, e.fence, e.error, e.delivery, w.at) \
        INSERT INTO queue AS q (workspace, id, seq, lane, state, priority, run_at, attempt, fence, lost_leases, ordering_key, \
          error, delivery) \
        SELECT $1, g.id, g.seq, CASE WHEN j.kind = 'job' THEN 'call:' || coalesce(j.connector, '') \
          ELSE 'delivery:' || coalesce(j.callback, '') END, \
          CASE WHEN j.ordering_key IS NOT NULL THEN 2 WHEN coalesce(g.at, m.now) <= m.now THEN 1 ELSE 0 END, \
          j.priority, greatest(coalesce(g.at, m.now), m.now), 0, g.fence + 1, 0, j.ordering_key, g.error, g.delivery \
        FROM gone g JOIN jobs j ON j.workspace = $1 AND j.id = g.id CROSS JOIN moment m \
        RETURNING q.workspace, q.id, q.lane, q.priority, q.run_at, false AS lost, q.ordering_key, \
          (SELECT j.trace FROM jobs j WHERE j.workspace = q.workspace AND j.id = q.id) AS trace";
    // One that comes back may have been accepted before the one that waits: who is first is settled anew.
    const HOLD: &str =
        "UPDATE queue SET state = 2 WHERE workspace = $1 AND ordering_key = ANY ($2) AND state IN (0, 1)";
    let ids: Vec<Uuid> = jobs.iter().map(|(job, _)| id(job.bits())).collect();
    let times: Vec<Option<i64>> = jobs.iter().map(|(_, at)| at.map(Timestamp::unix_ms)).collect();
    let mut transaction = shared.begin(workspace.as_str()).await?;
    let keys: Vec<String> =
        sqlx::query_scalar(KEYS).bind(workspace.as_str()).bind(&ids).fetch_all(&mut *transaction).await?;
    order::lock(&mut transaction, workspace, &keys).await?;
    let rows = sqlx::query(MOVE)
        .bind(workspace.as_str())
        .bind(&ids)
        .bind(times)
        .bind(shared.now())
        .fetch_all(&mut *transaction)
        .await?;
    let mut told = Told::default();
    for row in &rows {
        if value::<Option<&str>>(row, "ordering_key")?.is_none() {
            told.hint(row, "id")?;
        }
    }
    if !keys.is_empty() {
        sqlx::query(HOLD).bind(workspace.as_str()).bind(&keys).execute(&mut *transaction).await?;
        order::release(shared, &mut transaction, workspace, &keys, &mut told).await?;
    }
    let jobs: Vec<JobId> = jobs.iter().map(|(job, _)| *job).collect();
    finish(shared, transaction, workspace, &jobs, moved_traces(&rows)?, EventType::JobReplayed, audit, told).await
}

pub(super) async fn purge(
    shared: &Shared,
    workspace: &WorkspaceId,
    jobs: &[JobId],
    audit: &NewAudit,
) -> Result<Vec<Moved>, Failure> {
    const REMOVE: &str = "WITH gone AS (DELETE FROM ended WHERE workspace = $1 AND id = ANY ($2) AND state = 'dead' RETURNING id) \
        DELETE FROM jobs j USING gone g WHERE j.workspace = $1 AND j.id = g.id RETURNING j.id, j.subject, j.trace";
    const GIVE_UP: &str = "UPDATE inbox i SET given_up = true FROM unnest($2::uuid[], $3::uuid[]) AS g (entry, job) \
        WHERE i.workspace = $1 AND i.id = g.entry AND i.job = g.job";
    let ids: Vec<Uuid> = jobs.iter().map(|job| id(job.bits())).collect();
    let mut transaction = shared.begin(workspace.as_str()).await?;
    let rows = sqlx::query(REMOVE).bind(workspace.as_str()).bind(&ids).fetch_all(&mut *transaction).await?;
    let (mut entries, mut their_jobs, mut owners) = (Vec::new(), Vec::new(), Vec::new());
    for row in &rows {
        let job = bits(row, "id")?;
        owners.push(JobId::from_bits(job).to_string());
        if let Some(entry) = text_opt(row, "subject")?.and_then(|subject| subject.parse::<InboxId>().ok()) {
            entries.push(id(entry.bits()));
            their_jobs.push(id(job));
        }
    }
    if !entries.is_empty() {
        let give_up = sqlx::query(GIVE_UP).bind(workspace.as_str()).bind(entries).bind(their_jobs);
        give_up.execute(&mut *transaction).await?;
    }
    links::unlink(&mut transaction, workspace, owners).await?;
    let told = Told::default();
    finish(shared, transaction, workspace, jobs, moved_traces(&rows)?, EventType::JobPurged, audit, told).await
}

fn moved_traces(rows: &[PgRow]) -> Result<HashMap<JobId, TraceId>, Failure> {
    rows.iter().map(|row| Ok((JobId::from_bits(bits(row, "id")?), trace(row, "trace")?))).collect()
}

/// Tells what moved, and commits.
#[allow(clippy::too_many_arguments, reason = "what both moves end with")]
async fn finish(
    shared: &Shared,
    mut transaction: Tx,
    workspace: &WorkspaceId,
    jobs: &[JobId],
    mut traces: HashMap<JobId, TraceId>,
    kind: EventType,
    audit: &NewAudit,
    mut told: Told,
) -> Result<Vec<Moved>, Failure> {
    const KNOWN: &str = "SELECT id FROM jobs WHERE workspace = $1 AND id = ANY ($2)";
    let ids: Vec<Uuid> = jobs.iter().map(|job| id(job.bits())).collect();
    let known: Vec<Uuid> =
        sqlx::query_scalar(KNOWN).bind(workspace.as_str()).bind(&ids).fetch_all(&mut *transaction).await?;
    let mut events = Vec::new();
    let mut moved = Vec::with_capacity(jobs.len());
    for (index, job) in jobs.iter().enumerate() {
        moved.push(match traces.remove(job) {
            Some(trace) => {
                let data = json!({"actor": audit.actor, "reason": audit.reason});
                events.push(EventRow::new(op(index), workspace, &NewEvent::new(kind, *job, trace, data))?);
                Moved::Done
            }
            None if known.contains(&id(job.bits())) => Moved::NotDead,
            None => Moved::NotFound,
        });
    }
    if events.is_empty() {
        transaction.rollback().await?;
        return Ok(moved);
    }
    let owner = Owner::from(workspace);
    lock_audit(&mut transaction, &owner).await?;
    append_audit(shared, &mut transaction, &owner, audit.clone()).await?;
    append(shared, &mut transaction, events).await?;
    transaction.commit().await?;
    told.touched(workspace);
    shared.tell(&told);
    Ok(moved)
}
