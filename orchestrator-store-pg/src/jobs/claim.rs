//! Claiming: workspaces in turn, lanes that are paused left out. The claim, the counting of the attempt and its event are
//! one statement.

use std::sync::PoisonError;

use orchestrator_core::queue::JobHint;
use orchestrator_core::store::{Claim, ClaimNamed, ClaimedJob};
use orchestrator_core::types::WorkspaceId;
use sqlx::Postgres;
use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use uuid::Uuid;

use crate::arrays::lane_of;
use crate::failure::Failure;
use crate::jobs::row::record;
use crate::kept::Kept;
use crate::notices::{Told, hint_of};
use crate::rows::{id, int, value};
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
    let statement = sqlx::query(CLAIM)
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
        .bind(left);
    let claimed = take(shared, statement).await?;
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
    let statement = sqlx::query(CLAIM)
        .bind(shared.now())
        .bind(&claim.owner)
        .bind(int(claim.lease.as_millis()))
        .bind(claim.jobs.iter().map(|(workspace, _)| workspace.as_str()).collect::<Vec<_>>())
        .bind(claim.jobs.iter().map(|(_, job)| id(job.bits())).collect::<Vec<Uuid>>());
    take(shared, statement).await
}

/// Takes jobs, and sets those aside that cannot be read.
async fn take(shared: &Shared, statement: Query<'_, Postgres, PgArguments>) -> Result<Vec<ClaimedJob>, Failure> {
    const SET_ASIDE: &str = "SELECT set_aside($1, $2)";
    // Claims of a node come one after the other; whoever meets another takes a connection of the pool.
    let (mut held, mut own) = (shared.claiming.try_lock(), Kept::default());
    let kept = held.as_deref_mut().unwrap_or(&mut own);
    let (mut conn, since) = kept.take(shared).await?;
    let rows = statement.fetch_all(&mut *conn).await?;
    let mut claimed = Vec::with_capacity(rows.len());
    let (mut of, mut ids) = (Vec::new(), Vec::new());
    for row in &rows {
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
    // The others are taken already, whatever becomes of these: their leases end by themselves.
    let aside = match ids.is_empty() {
        true => Ok(()),
        false => sqlx::query(SET_ASIDE).bind(of).bind(ids).execute(&mut *conn).await.map(drop),
    };
    match aside {
        Ok(()) => kept.keep(shared, conn, since),
        Err(error) => tracing::error!(%error, "what cannot be read could not be set aside"),
    }
    let mut told = Told::default();
    claimed.iter().for_each(|job| told.touched(&job.record.workspace));
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
