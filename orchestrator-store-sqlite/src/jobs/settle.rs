//! How attempts end: by settlement under the fence of their claim, or by cancellation.

use orchestrator_core::store::{Cancelled, HeldLease, JobState, NewEvent, Outcome, Settled, Settlement};
use orchestrator_core::types::{JobId, Timestamp, WorkspaceId};
use sqlx::sqlite::SqliteRow;

use crate::batch::Batch;
use crate::jobs::enqueue::{self, due};
use crate::jobs::order::{HELD, settle_key, when_due};
use crate::op::{Failure, Op};
use crate::payloads;
use crate::requests;
use crate::rows::{Unreadable, id_bytes, number, to_json, value};

pub(super) struct Settle(pub(super) Vec<Settlement>);

impl Op for Settle {
    type Answer = Vec<Settled>;

    fn weight(&self) -> usize {
        let output = |settlement: &Settlement| match &settlement.outcome {
            Outcome::Succeeded { output: Some(output) } => output.len(),
            _ => 0,
        };
        self.0
            .iter()
            .map(|settlement| 1024 + output(settlement) + settlement.delivery.as_ref().map_or(0, |job| job.input.len()))
            .sum()
    }

    async fn apply(&self, batch: &mut Batch<'_>) -> Result<Vec<Settled>, Failure> {
        let mut settled = Vec::with_capacity(self.0.len());
        for settlement in &self.0 {
            settled.push(if batch.guarded {
                guarded(batch, settlement).await?
            } else {
                settle(batch, settlement).await?
            });
        }
        Ok(settled)
    }
}

/// Settles one attempt so that its refusal is its own.
async fn guarded(batch: &mut Batch<'_>, settlement: &Settlement) -> Result<Settled, Failure> {
    let part = batch.begin_part().await?;
    match settle(batch, settlement).await {
        Ok(settled) => {
            batch.keep(part).await?;
            Ok(settled)
        }
        Err(failure) if failure.is_own() => {
            batch.undo(part).await?;
            Ok(Settled::Refused(failure.into_store_error().to_string()))
        }
        Err(failure) => Err(failure),
    }
}

async fn settle(batch: &mut Batch<'_>, settlement: &Settlement) -> Result<Settled, Failure> {
    let HeldLease { workspace, job, fence } = &settlement.lease;
    let Some(held) = Stored::find(batch, workspace, *job).await? else {
        return Ok(Settled::Stale);
    };
    if held.state != JobState::Running || held.fence != *fence {
        return Ok(Settled::Stale);
    }
    match &settlement.outcome {
        Outcome::Succeeded { output } => {
            const SUCCEED: &str = "UPDATE jobs SET state = 'succeeded', finished_at = ?2, output = ?3, error = NULL, \
                owner = NULL, lease_until = NULL WHERE seq = ?1";
            sqlx::query(SUCCEED)
                .bind(held.seq)
                .bind(batch.now.unix_ms())
                .bind(output.as_ref().map(|output| output.to_vec()))
                .execute(&mut *batch.conn)
                .await?;
        }
        Outcome::Dead { reason, error } => {
            const DIE: &str = "UPDATE jobs SET state = 'dead', finished_at = ?2, dead_reason = ?3, error = ?4, \
                owner = NULL, lease_until = NULL WHERE seq = ?1";
            sqlx::query(DIE)
                .bind(held.seq)
                .bind(batch.now.unix_ms())
                .bind(reason)
                .bind(to_json(error)?)
                .execute(&mut *batch.conn)
                .await?;
        }
        Outcome::Retry { run_at, error } => {
            const RETRY: &str = "UPDATE jobs SET error = ?2 WHERE seq = ?1";
            sqlx::query(RETRY).bind(held.seq).bind(to_json(error)?).execute(&mut *batch.conn).await?;
            held.requeue(batch, due(Some(*run_at), batch.now), Requeue::default()).await?;
        }
        Outcome::GiveBack { run_at } => {
            let how = Requeue { attempts: -1, fence: 1, lost_leases: 0 };
            held.requeue(batch, due(*run_at, batch.now), how).await?;
        }
    }
    payloads::link(batch, workspace, job, &settlement.payloads).await?;
    batch.events(workspace, &settlement.events);
    if let Some(request) = &settlement.request {
        requests::insert(batch, workspace, request).await?;
    }
    if let Some(delivery) = &settlement.delivery {
        const NOTE: &str = "UPDATE jobs SET delivery = ?2 WHERE seq = ?1";
        sqlx::query(NOTE).bind(held.seq).bind(id_bytes(delivery.id.bits())).execute(&mut *batch.conn).await?;
        enqueue::insert(batch, workspace, delivery).await?;
    }
    held.left(batch, workspace).await?;
    Ok(Settled::Applied)
}

/// What transitions need to know of a job.
pub(super) struct Stored {
    pub(super) seq: i64,
    pub(super) state: JobState,
    pub(super) fence: u64,
    ordering_key: Option<String>,
}

/// How a job's counters change when it is queued again.
#[derive(Default)]
pub(super) struct Requeue {
    pub(super) attempts: i64,
    pub(super) fence: i64,
    pub(super) lost_leases: i64,
}

impl Stored {
    pub(super) async fn find(
        batch: &mut Batch<'_>,
        workspace: &WorkspaceId,
        job: JobId,
    ) -> Result<Option<Self>, Failure> {
        const FIND: &str = "SELECT seq, state, fence, ordering_key FROM jobs WHERE workspace = ?1 AND id = ?2";
        let find = sqlx::query(FIND).bind(workspace.as_str()).bind(id_bytes(job.bits()));
        let row = find.fetch_optional(&mut *batch.conn).await?;
        Ok(row.as_ref().map(Self::read).transpose()?)
    }

    pub(super) fn read(row: &SqliteRow) -> Result<Self, Unreadable> {
        Ok(Self {
            seq: value(row, "seq")?,
            state: JobState::parse(value(row, "state")?).ok_or(Unreadable { column: "state" })?,
            fence: number(row, "fence")?,
            ordering_key: value(row, "ordering_key")?,
        })
    }

    /// Queues a job again that ran. If it has an ordering key it is held until [`left`](Self::left) settles its turn.
    pub(super) async fn requeue(&self, batch: &mut Batch<'_>, run_at: Timestamp, how: Requeue) -> Result<(), Failure> {
        const REQUEUE: &str = "UPDATE jobs SET state = 'queued', ready = ?2, run_at = ?3, attempt = attempt + ?4, \
            fence = fence + ?5, lost_leases = lost_leases + ?6, owner = NULL, lease_until = NULL WHERE seq = ?1";
        let ready = if self.ordering_key.is_some() { HELD } else { when_due(run_at <= batch.now) };
        sqlx::query(REQUEUE)
            .bind(self.seq)
            .bind(ready)
            .bind(run_at.unix_ms())
            .bind(how.attempts)
            .bind(how.fence)
            .bind(how.lost_leases)
            .execute(&mut *batch.conn)
            .await?;
        batch.ready_is(self.seq);
        Ok(())
    }

    /// The job no longer runs: whoever is first of its ordering key now may go.
    pub(super) async fn left(&self, batch: &mut Batch<'_>, workspace: &WorkspaceId) -> Result<(), Failure> {
        batch.touched(workspace);
        match &self.ordering_key {
            Some(key) => settle_key(batch, workspace, key).await,
            None => Ok(()),
        }
    }

    /// The ordering key.
    pub(super) fn ordering_key(&self) -> Option<&str> {
        self.ordering_key.as_deref()
    }
}

pub(super) struct Cancel {
    pub(super) workspace: WorkspaceId,
    pub(super) job: JobId,
    pub(super) event: NewEvent,
}

impl Op for Cancel {
    type Answer = Cancelled;

    async fn apply(&self, batch: &mut Batch<'_>) -> Result<Cancelled, Failure> {
        const CANCEL: &str = "UPDATE jobs SET state = 'cancelled', ready = NULL, finished_at = ?2, fence = fence + 1, \
            owner = NULL, lease_until = NULL WHERE seq = ?1";
        let Some(found) = Stored::find(batch, &self.workspace, self.job).await? else {
            return Ok(Cancelled::NotFound);
        };
        if found.state.is_terminal() {
            return Ok(Cancelled::Ended(found.state));
        }
        sqlx::query(CANCEL).bind(found.seq).bind(batch.now.unix_ms()).execute(&mut *batch.conn).await?;
        batch.event(&self.workspace, self.event.clone());
        found.left(batch, &self.workspace).await?;
        Ok(Cancelled::Done)
    }
}
