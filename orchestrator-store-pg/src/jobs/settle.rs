//! How attempts end: by settlement under the fence of their claim.

use std::sync::Arc;

use bytes::Bytes;
use orchestrator_core::store::{Outcome, Settled, Settlement, StoreError};
use orchestrator_core::types::Timestamp;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

use crate::arrays::{EndRow, EventRow, JobRow, RequestRow, op};
use crate::committer::{Lane, Write, about};
use crate::failure::Failure;
use crate::notices::Told;
use crate::payloads::links;
use crate::rows::{id, int, to_json};
use crate::session::{context, owned};
use crate::shared::Shared;

/// Settles attempts: with others, or by themselves if they come with what only few do.
pub(super) async fn settle(
    shared: &Arc<Shared>,
    lane: &Lane<Settle>,
    settlements: Vec<Settlement>,
) -> Result<Vec<Settled>, StoreError> {
    let mut settled: Vec<Option<Settled>> = settlements.iter().map(|_| None).collect();
    let (mut plain, mut places) = (Vec::with_capacity(settlements.len()), Vec::with_capacity(settlements.len()));
    let mut apart = Vec::new();
    for (place, settlement) in settlements.into_iter().enumerate() {
        if has_payloads(&settlement) {
            apart.push((place, settlement));
        } else {
            places.push(place);
            plain.push(settlement);
        }
    }
    let mut unavailable = None;
    let answers = places.into_iter().zip(lane.submit_all(plain).await).collect::<Vec<_>>();
    let mut note = |place: usize, answer: Result<Settled, StoreError>| match answer {
        Ok(answer) => settled[place] = Some(answer),
        Err(StoreError::Refused(why)) => settled[place] = Some(Settled::Refused(why)),
        // What it should have written cannot be read: that is its own, as a refusal is.
        Err(StoreError::Corrupt(why)) => settled[place] = Some(Settled::Refused(why)),
        Err(error) => unavailable = Some(error),
    };
    for (place, answer) in answers {
        note(place, answer);
    }
    for (place, settlement) in apart {
        let shared = shared.clone();
        note(place, owned(async move { settle_whole(&shared, &settlement).await }).await);
    }
    match unavailable {
        Some(error) => Err(error),
        None => Ok(settled.into_iter().map(|settled| settled.unwrap_or(Settled::Stale)).collect()),
    }
}

fn has_payloads(settlement: &Settlement) -> bool {
    !settlement.payloads.is_empty() || settlement.delivery.as_ref().is_some_and(|job| !job.payloads.is_empty())
}

/// Settles one attempt in a transaction of its own, with its payloads.
async fn settle_whole(shared: &Shared, settlement: &Settlement) -> Result<Settled, Failure> {
    let mut told = Told::default();
    let workspace = &settlement.lease.workspace;
    let mut transaction = shared.begin(workspace.as_str()).await?;
    let settled = write(shared, &mut transaction, &[settlement], &mut told).await?.pop().unwrap_or(Settled::Stale);
    if settled == Settled::Applied {
        let job = settlement.lease.job.to_string();
        links::link(shared, &mut transaction, workspace, &job, &settlement.payloads).await?;
        if let Some(delivery) = &settlement.delivery {
            let job = delivery.id.to_string();
            links::link(shared, &mut transaction, workspace, &job, &delivery.payloads).await?;
        }
    }
    transaction.commit().await?;
    shared.tell(&told);
    Ok(settled)
}

/// The end of an attempt, with those of others.
pub(crate) struct Settle;

impl Write for Settle {
    type Item = Settlement;
    type Answer = Settled;

    fn weight(settlement: &Settlement) -> usize {
        let output = match &settlement.outcome {
            Outcome::Succeeded { output } => output.as_ref().map_or(0, Bytes::len),
            _ => 0,
        };
        1024 + output + settlement.delivery.as_ref().map_or(0, |job| job.input.len())
    }

    fn keys(settlement: &Settlement, keys: &mut Vec<u64>) {
        let lease = &settlement.lease;
        keys.push(about((&lease.workspace, lease.job)));
        keys.extend(settlement.delivery.iter().map(|job| about((&lease.workspace, job.id))));
        keys.extend(settlement.request.iter().map(|request| about((&lease.workspace, request.id))));
    }

    async fn write(
        shared: &Shared,
        conn: &mut PgConnection,
        items: &[&Settlement],
        told: &mut Told,
    ) -> Result<Vec<Settled>, Failure> {
        write(shared, conn, items, told).await
    }
}

async fn write(
    shared: &Shared,
    conn: &mut PgConnection,
    items: &[&Settlement],
    told: &mut Told,
) -> Result<Vec<Settled>, Failure> {
    const SETTLE: &str = "SELECT op, workspace, job, lane, priority, run_at, lost FROM settle(\
        set_config('orchestrator.workspaces', $1, true), $2, $3, $4, $5, $6)";
    let (mut ends, mut jobs) = (Vec::with_capacity(items.len()), Vec::new());
    let (mut requests, mut events) = (Vec::with_capacity(items.len()), Vec::with_capacity(items.len()));
    for (index, settlement) in items.iter().enumerate() {
        let (op, workspace) = (op(index), &settlement.lease.workspace);
        ends.push(end(op, settlement)?);
        for event in &settlement.events {
            events.push(EventRow::new(op, workspace, event)?);
        }
        if let Some(request) = &settlement.request {
            requests.push(RequestRow::new(op, workspace, request)?);
        }
        if let Some(delivery) = &settlement.delivery {
            jobs.push(JobRow::new(op, workspace, delivery)?);
            events.extend(EventRow::queued(op, workspace, delivery)?);
        }
    }
    let rows = sqlx::query(SETTLE)
        .bind(context(items.iter().map(|settlement| &settlement.lease.workspace)))
        .bind(shared.now())
        .bind(ends)
        .bind(jobs)
        .bind(requests)
        .bind(events)
        .fetch_all(conn)
        .await?;
    let mut settled = vec![Settled::Stale; items.len()];
    for row in &rows {
        match applied(row)? {
            Some(index) => {
                let Some((slot, settlement)) = settled.get_mut(index).zip(items.get(index)) else { continue };
                *slot = Settled::Applied;
                told.touched(&settlement.lease.workspace);
            }
            None => told.hint(row, "job")?,
        }
    }
    Ok(settled)
}

fn end(op: i32, settlement: &Settlement) -> Result<EndRow<'_>, Failure> {
    let lease = &settlement.lease;
    let mut row = EndRow {
        op,
        workspace: &lease.workspace,
        job: id(lease.job.bits()),
        fence: int(lease.fence),
        outcome: "succeeded",
        run_at: None,
        reason: None,
        error: None,
        output: None,
        delivery: settlement.delivery.as_ref().map(|job| id(job.id.bits())),
    };
    match &settlement.outcome {
        Outcome::Succeeded { output } => row.output = output.as_deref(),
        Outcome::Dead { reason, error } => {
            row.outcome = "dead";
            row.reason = Some(reason);
            row.error = Some(to_json(error)?);
        }
        Outcome::Retry { run_at, error } => {
            row.outcome = "retry";
            row.run_at = Some(run_at.unix_ms());
            row.error = Some(to_json(error)?);
        }
        Outcome::GiveBack { run_at } => {
            row.outcome = "give_back";
            row.run_at = run_at.map(Timestamp::unix_ms);
        }
    }
    Ok(row)
}

/// Whose end was written, if the row tells that.
fn applied(row: &PgRow) -> Result<Option<usize>, Failure> {
    let op: Option<i32> = row.try_get("op")?;
    Ok(op.and_then(|op| usize::try_from(op - 1).ok()))
}
