//! Claiming: workspaces in turn, lanes that are paused left out. The claim, the counting of the attempt and its event are
//! one transaction.

use std::sync::PoisonError;

use orchestrator_core::queue::JobHint;
use orchestrator_core::store::{Claim, ClaimNamed, ClaimedJob};
use orchestrator_core::types::WorkspaceId;
use sqlx::postgres::PgRow;
use sqlx::{Postgres, Transaction};
use uuid::Uuid;

use crate::arrays::{EventRow, lane_of, op};
use crate::events::append::append;
use crate::failure::Failure;
use crate::jobs::row::record;
use crate::notices::{Told, hint_of};
use crate::rows::{id, int, value};
use crate::session::{context, name};
use crate::shared::Shared;

pub(super) async fn claim(shared: &Shared, claim: &Claim) -> Result<Vec<ClaimedJob>, Failure> {
    const CLAIM: &str = "SELECT * FROM claim_jobs($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
    let max = if claim.quarantine { claim.max.min(1) } else { claim.max };
    let after = shared.turns.lock().unwrap_or_else(PoisonError::into_inner).of(claim.quarantine).clone();
    let lanes = claim.paused.iter().map(|lane| (lane, 0)).chain(claim.limited.iter().map(|(lane, left)| (lane, *left)));
    let (mut of, mut names, mut left) = (Vec::new(), Vec::new(), Vec::new());
    for (lane, most) in lanes {
        of.push(lane.workspace.as_str());
        names.push(lane_of(lane));
        left.push(small(most));
    }
    let mut transaction = shared.pool.begin().await?;
    let rows = sqlx::query(CLAIM)
        .bind(shared.now())
        .bind(&claim.owner)
        .bind(int(claim.lease.as_millis()))
        .bind(small(max))
        .bind(small(claim.per_workspace))
        .bind(claim.quarantine)
        .bind(after)
        .bind(claim.full.iter().map(WorkspaceId::as_str).collect::<Vec<_>>())
        .bind(of)
        .bind(names)
        .bind(left)
        .fetch_all(&mut *transaction)
        .await?;
    let claimed = start(shared, transaction, &rows).await?;
    if let Some(last) = claimed.last() {
        let mut turns = shared.turns.lock().unwrap_or_else(PoisonError::into_inner);
        last.record.workspace.as_str().clone_into(turns.of(claim.quarantine));
    }
    Ok(claimed)
}

pub(super) async fn claim_named(shared: &Shared, claim: &ClaimNamed) -> Result<Vec<ClaimedJob>, Failure> {
    const CLAIM: &str = "SELECT * FROM claim_named($1, $2, $3, $4, $5)";
    if claim.jobs.is_empty() {
        return Ok(Vec::new());
    }
    let mut transaction = shared.pool.begin().await?;
    let rows = sqlx::query(CLAIM)
        .bind(shared.now())
        .bind(&claim.owner)
        .bind(int(claim.lease.as_millis()))
        .bind(claim.jobs.iter().map(|(workspace, _)| workspace.as_str()).collect::<Vec<_>>())
        .bind(claim.jobs.iter().map(|(_, job)| id(job.bits())).collect::<Vec<Uuid>>())
        .fetch_all(&mut *transaction)
        .await?;
    start(shared, transaction, &rows).await
}

/// Tells of the attempts that begin, and commits.
async fn start(
    shared: &Shared,
    mut transaction: Transaction<'static, Postgres>,
    rows: &[PgRow],
) -> Result<Vec<ClaimedJob>, Failure> {
    const SET_ASIDE: &str = "SELECT set_aside($1, $2)";
    let mut claimed = Vec::with_capacity(rows.len());
    let (mut of, mut ids) = (Vec::new(), Vec::new());
    for row in rows {
        match record(row) {
            Ok(record) => claimed.push(ClaimedJob { record }),
            Err(unreadable) => {
                let (workspace, job) = (value::<String>(row, "workspace")?, value::<Uuid>(row, "id")?);
                tracing::error!(%job, column = unreadable.column, "a job cannot be read and is set aside");
                of.push(workspace);
                ids.push(job);
            }
        }
    }
    if !ids.is_empty() {
        sqlx::query(SET_ASIDE).bind(of).bind(ids).execute(&mut *transaction).await?;
    }
    let mut told = Told::default();
    let mut events = Vec::with_capacity(claimed.len());
    for (index, ClaimedJob { record }) in claimed.iter().enumerate() {
        told.touched(&record.workspace);
        if let Some(event) = record.started_event() {
            events.push(EventRow::new(op(index), &record.workspace, &event)?);
        }
    }
    if !events.is_empty() {
        name(&mut transaction, &context(claimed.iter().map(|job| &job.record.workspace))).await?;
        append(shared, &mut transaction, events).await?;
    }
    transaction.commit().await?;
    shared.tell(&told);
    Ok(claimed)
}

pub(super) async fn ready_heads(
    shared: &Shared,
    after: Option<&WorkspaceId>,
    workspaces: usize,
    each: usize,
) -> Result<Vec<JobHint>, Failure> {
    const HEADS: &str = "SELECT workspace, id, lane, priority, run_at FROM ready_heads($1, $2, $3, $4)";
    let rows = sqlx::query(HEADS)
        .bind(shared.now())
        .bind(after.map_or("", WorkspaceId::as_str))
        .bind(small(workspaces))
        .bind(small(each))
        .fetch_all(&shared.pool)
        .await?;
    rows.iter().map(|row| Ok(hint_of(row, "id")?)).collect()
}

pub(super) fn small(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}
