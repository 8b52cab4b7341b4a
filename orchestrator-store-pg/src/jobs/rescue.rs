//! Leases: prolonged while their worker lives, taken back when it does not.

use std::time::Duration;

use orchestrator_core::store::{ClaimedJob, HeldLease, JobRecord, MAX_LOST_LEASES};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::arrays::{EventRow, op};
use crate::events::append::append;
use crate::failure::Failure;
use crate::jobs::claim::small;
use crate::jobs::row::record;
use crate::notices::Told;
use crate::rows::{id, int, value};
use crate::session::{context, name};
use crate::shared::Shared;

pub(super) async fn renew(
    shared: &Shared,
    mut held: Vec<HeldLease>,
    lease: Duration,
) -> Result<Vec<HeldLease>, Failure> {
    const RENEW: &str = "SELECT place FROM renew(\
        set_config('orchestrator.workspaces', $1, true), $2, $3, $4, $5, $6) AS place";
    if held.is_empty() {
        return Ok(held);
    }
    let places: Vec<i64> = sqlx::query_scalar(RENEW)
        .bind(context(held.iter().map(|lease| &lease.workspace)))
        .bind(shared.now())
        .bind(int(lease.as_millis()))
        .bind(held.iter().map(|lease| lease.workspace.as_str()).collect::<Vec<_>>())
        .bind(held.iter().map(|lease| id(lease.job.bits())).collect::<Vec<Uuid>>())
        .bind(held.iter().map(|lease| int(lease.fence)).collect::<Vec<i64>>())
        .fetch_all(&shared.pool)
        .await?;
    let mut kept = vec![false; held.len()];
    for place in places {
        if let Some(kept) = usize::try_from(place - 1).ok().and_then(|place| kept.get_mut(place)) {
            *kept = true;
        }
    }
    let mut kept = kept.into_iter();
    held.retain(|_| !kept.next().unwrap_or_default());
    Ok(held)
}

pub(super) async fn rescue(
    shared: &Shared,
    owner: &str,
    lease: Duration,
    limit: usize,
) -> Result<(usize, Vec<ClaimedJob>), Failure> {
    const EXPIRED: &str = "SELECT * FROM expired_jobs($1, $2)";
    const SET_ASIDE: &str = "SELECT set_aside($1, $2)";
    let mut transaction = shared.pool.begin().await?;
    let rows = sqlx::query(EXPIRED).bind(shared.now()).bind(small(limit)).fetch_all(&mut *transaction).await?;
    let (mut again, mut poison, mut unreadable) = (Vec::new(), Vec::new(), (Vec::new(), Vec::new()));
    for row in &rows {
        match record(row) {
            Ok(mut record) => {
                record.lost_leases += 1;
                record.fence += 1;
                if record.lost_leases >= MAX_LOST_LEASES { poison.push(record) } else { again.push(record) }
            }
            Err(what) => {
                let (workspace, job) = (value::<String>(row, "workspace")?, value::<Uuid>(row, "id")?);
                tracing::error!(%job, column = what.column, "a job whose lease has ended cannot be read and is set aside");
                unreadable.0.push(workspace);
                unreadable.1.push(job);
            }
        }
    }
    if !unreadable.1.is_empty() {
        sqlx::query(SET_ASIDE).bind(unreadable.0).bind(unreadable.1).execute(&mut *transaction).await?;
    }
    hand_out(shared, &mut transaction, owner, lease, &poison).await?;
    let mut told = Told::default();
    poison.iter().for_each(|record| told.touched(&record.workspace));
    if !again.is_empty() {
        requeue(shared, &mut transaction, &again, &mut told).await?;
        let mut events = Vec::with_capacity(again.len());
        for (index, record) in again.iter().enumerate() {
            if let Some(event) = record.lost_lease_event() {
                events.push(EventRow::new(op(index), &record.workspace, &event)?);
            }
        }
        name(&mut transaction, &context(again.iter().map(|record| &record.workspace))).await?;
        append(shared, &mut transaction, events).await?;
    }
    transaction.commit().await?;
    shared.tell(&told);
    Ok((again.len(), poison.into_iter().map(|record| ClaimedJob { record }).collect()))
}

fn named(records: &[JobRecord]) -> (Vec<&str>, Vec<Uuid>) {
    records.iter().map(|record| (record.workspace.as_str(), id(record.job.id.bits()))).unzip()
}

async fn requeue(
    shared: &Shared,
    conn: &mut PgConnection,
    records: &[JobRecord],
    told: &mut Told,
) -> Result<(), Failure> {
    const REQUEUE: &str = "SELECT workspace, id, lane, priority, run_at, lost FROM requeue_lost($1, $2, $3)";
    let (workspaces, ids) = named(records);
    let rows = sqlx::query(REQUEUE).bind(shared.now()).bind(workspaces).bind(ids).fetch_all(conn).await?;
    records.iter().for_each(|record| told.touched(&record.workspace));
    told.ready();
    for row in &rows {
        told.hint(row, "id")?;
    }
    Ok(())
}

/// Puts jobs under a fresh lease of `owner`, to be settled as dead.
async fn hand_out(
    shared: &Shared,
    conn: &mut PgConnection,
    owner: &str,
    lease: Duration,
    records: &[JobRecord],
) -> Result<(), Failure> {
    const HAND_OUT: &str = "SELECT hand_out($1, $2, $3, $4, $5)";
    if records.is_empty() {
        return Ok(());
    }
    let (workspaces, ids) = named(records);
    sqlx::query(HAND_OUT)
        .bind(shared.now())
        .bind(int(lease.as_millis()))
        .bind(owner)
        .bind(workspaces)
        .bind(ids)
        .execute(conn)
        .await?;
    Ok(())
}
