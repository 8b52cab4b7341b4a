//! Accepting jobs.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use orchestrator_core::store::{Enqueue, Enqueued, NewJob, Owner, StoreError};
use orchestrator_core::types::WorkspaceId;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Postgres, Transaction};

use crate::arrays::{EventRow, JobRow, op};
use crate::committer::{Lane, Write, about};
use crate::control::audit::{append as append_audit, lock as lock_audit};
use crate::failure::Failure;
use crate::notices::Told;
use crate::payloads::links;
use crate::rows::{Unreadable, value};
use crate::session::{context, owned};
use crate::shared::Shared;

/// About how many bytes these jobs take.
pub(crate) fn jobs_weight(jobs: &[NewJob]) -> usize {
    jobs.iter().map(|job| job.input.len() + 256).sum()
}

/// The jobs, each id once.
pub(crate) fn distinct(jobs: &[NewJob]) -> impl Iterator<Item = &NewJob> {
    let mut seen = HashSet::new();
    jobs.iter().filter(move |job| seen.insert(job.id))
}

/// Accepts jobs: with others, or by themselves if they come with what only few do.
pub(super) async fn enqueue(
    shared: &Arc<Shared>,
    lane: &Lane<Accept>,
    workspace: WorkspaceId,
    enqueue: Enqueue,
) -> Result<Enqueued, StoreError> {
    if enqueue.audit.is_none() && enqueue.jobs.iter().all(|job| job.payloads.is_empty()) {
        return lane.submit((workspace, enqueue)).await;
    }
    let shared = shared.clone();
    owned(async move {
        let mut told = Told::default();
        let mut transaction = shared.begin(workspace.as_str()).await?;
        let accepted = accept_whole(&shared, &mut transaction, &workspace, &enqueue, &mut told).await?;
        transaction.commit().await?;
        shared.tell(&told);
        Ok(accepted.0)
    })
    .await
}

/// Accepts jobs in a transaction of their own, with their audit record and payloads. Answers also whether anything is new.
pub(crate) async fn accept_whole(
    shared: &Shared,
    transaction: &mut Transaction<'static, Postgres>,
    workspace: &WorkspaceId,
    enqueue: &Enqueue,
    told: &mut Told,
) -> Result<(Enqueued, bool), Failure> {
    let owner = Owner::from(workspace);
    if enqueue.audit.is_some() {
        lock_audit(transaction, &owner).await?;
    }
    let item = (workspace.clone(), enqueue.clone());
    let mut accepted = write(shared, transaction, &[&item], told).await?;
    let (enqueued, fresh) = accepted.pop().ok_or_else(|| Failure::Refused("it was not accepted".to_owned()))?;
    if fresh {
        for job in &enqueue.jobs {
            links::link(shared, transaction, workspace, &job.id.to_string(), &job.payloads).await?;
        }
        if let Some(audit) = &enqueue.audit {
            append_audit(shared, transaction, &owner, audit.clone()).await?;
        }
    }
    Ok((enqueued, fresh))
}

/// Jobs to accept, with those of others.
pub(crate) struct Accept;

impl Write for Accept {
    type Item = (WorkspaceId, Enqueue);
    type Answer = Enqueued;

    fn weight((_, enqueue): &Self::Item) -> usize {
        jobs_weight(&enqueue.jobs)
    }

    fn keys((workspace, enqueue): &Self::Item, keys: &mut Vec<u64>) {
        keys.extend(enqueue.idempotency.iter().map(|kept| about((workspace, kept.key.as_str()))));
        keys.extend(enqueue.jobs.iter().map(|job| about((workspace, job.id))));
    }

    async fn write(
        shared: &Shared,
        conn: &mut PgConnection,
        items: &[&Self::Item],
        told: &mut Told,
    ) -> Result<Vec<Enqueued>, Failure> {
        let accepted = write(shared, conn, items, told).await?;
        Ok(accepted.into_iter().map(|(enqueued, _)| enqueued).collect())
    }
}

async fn write(
    shared: &Shared,
    conn: &mut PgConnection,
    items: &[&(WorkspaceId, Enqueue)],
    told: &mut Told,
) -> Result<Vec<(Enqueued, bool)>, Failure> {
    const ENQUEUE: &str = "SELECT op, outcome, answer, fresh, workspace, job, lane, priority, run_at, lost FROM enqueue(\
        set_config('orchestrator.workspaces', $1, true), $2, $3, $4, $5, $6, $7, $8, $9)";
    let (mut jobs, mut events) = (Vec::with_capacity(items.len()), Vec::with_capacity(items.len()));
    for (index, (workspace, enqueue)) in items.iter().enumerate() {
        let op = op(index);
        for event in &enqueue.events {
            events.push(EventRow::new(op, workspace, event)?);
        }
        for job in distinct(&enqueue.jobs) {
            jobs.push(JobRow::new(op, workspace, job)?);
            events.extend(EventRow::queued(op, workspace, job)?);
        }
    }
    let keys = items.iter().any(|(_, enqueue)| enqueue.idempotency.is_some());
    let kept = || items.iter().map(|(_, enqueue)| enqueue.idempotency.as_ref());
    let rows = sqlx::query(ENQUEUE)
        .bind(context(items.iter().map(|(workspace, _)| workspace)))
        .bind(shared.now())
        .bind(items.iter().map(|(workspace, _)| workspace.as_str()).collect::<Vec<_>>())
        .bind(keys.then(|| kept().map(|kept| kept.map(|kept| kept.key.as_str())).collect::<Vec<_>>()))
        .bind(keys.then(|| kept().map(|kept| kept.map(|kept| kept.request_hash.to_vec())).collect::<Vec<_>>()))
        .bind(keys.then(|| kept().map(|kept| kept.map(|kept| kept.answer.to_vec())).collect::<Vec<_>>()))
        .bind(keys.then(|| kept().map(|kept| kept.map(|kept| kept.expires_at.unix_ms())).collect::<Vec<_>>()))
        .bind(jobs)
        .bind(events)
        .fetch_all(conn)
        .await?;
    let mut answers: Vec<Option<(Enqueued, bool)>> = items.iter().map(|_| None).collect();
    for row in &rows {
        let Some((index, answer)) = read(row)? else {
            told.hint(row, "job")?;
            continue;
        };
        if let Some((slot, (workspace, enqueue))) = answers.get_mut(index).zip(items.get(index)) {
            if answer.1 && !(enqueue.jobs.is_empty() && enqueue.events.is_empty()) {
                told.touched(workspace);
            }
            *slot = Some(answer);
        }
    }
    // A key that was swept away in between: the caller asks again.
    let lost = || Failure::Sql(sqlx::Error::RowNotFound);
    answers.into_iter().map(|answer| answer.ok_or_else(lost)).collect()
}

/// Which caller, and what became of it: whether anything was written.
type Answered = (usize, (Enqueued, bool));

/// What became of a caller, if the row tells that.
fn read(row: &PgRow) -> Result<Option<Answered>, Unreadable> {
    let Some(op) = value::<Option<i32>>(row, "op")? else { return Ok(None) };
    let enqueued = match value::<&str>(row, "outcome")? {
        "accepted" => Enqueued::Accepted,
        "mismatch" => Enqueued::Mismatch,
        _ => Enqueued::Replayed(Bytes::from(value::<Option<Vec<u8>>>(row, "answer")?.unwrap_or_default())),
    };
    let index = usize::try_from(op - 1).map_err(|_| Unreadable { column: "op" })?;
    Ok(Some((index, (enqueued, value::<Option<bool>>(row, "fresh")?.unwrap_or_default()))))
}
