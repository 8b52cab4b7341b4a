//! Leases: prolonged while their worker lives, taken back when it does not.

use std::time::Duration;

use orchestrator_core::store::{ClaimedJob, HeldLease, MAX_LOST_LEASES};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::batch::Batch;
use crate::jobs::row::{job_columns, record};
use crate::jobs::settle::{Requeue, Stored};
use crate::op::{Failure, Op};
use crate::rows::{Unreadable, id_bytes, int};

/// How long a job that cannot be read is left alone, so that it does not stand in front of the others.
const LEFT_ALONE: Duration = Duration::from_secs(60 * 60);

pub(super) struct Renew {
    pub(super) held: Vec<HeldLease>,
    pub(super) lease: Duration,
}

impl Op for Renew {
    type Answer = Vec<HeldLease>;

    async fn apply(&self, batch: &mut Batch<'_>) -> Result<Vec<HeldLease>, Failure> {
        const RENEW: &str = "UPDATE jobs SET lease_until = ?4 \
            WHERE workspace = ?1 AND id = ?2 AND fence = ?3 AND state = 'running'";
        let until = batch.now.after(self.lease).unix_ms();
        let mut lost = Vec::new();
        for held in &self.held {
            let renewed = sqlx::query(RENEW)
                .bind(held.workspace.as_str())
                .bind(id_bytes(held.job.bits()))
                .bind(int(held.fence))
                .bind(until)
                .execute(&mut *batch.conn)
                .await?;
            if renewed.rows_affected() == 0 {
                lost.push(held.clone());
            }
        }
        Ok(lost)
    }
}

pub(super) struct Rescue {
    pub(super) owner: String,
    pub(super) lease: Duration,
    pub(super) limit: usize,
}

impl Op for Rescue {
    type Answer = (usize, Vec<ClaimedJob>);

    async fn apply(&self, batch: &mut Batch<'_>) -> Result<Self::Answer, Failure> {
        const EXPIRED: &str = concat!(
            "SELECT ",
            job_columns!(),
            " FROM jobs j INDEXED BY jobs_leases \
             WHERE j.state = 'running' AND j.lease_until <= ?1 ORDER BY j.lease_until LIMIT ?2"
        );
        const LEAVE: &str = "UPDATE jobs SET lease_until = ?2 WHERE seq = ?1";
        let expired = sqlx::query(EXPIRED).bind(batch.now.unix_ms()).bind(int(self.limit));
        let rows = expired.fetch_all(&mut *batch.conn).await?;
        let mut ready = 0;
        let mut poison = Vec::new();
        for row in &rows {
            match self.rescue(batch, row).await {
                Ok(None) => ready += 1,
                Ok(Some(claimed)) => poison.push(claimed),
                Err(Failure::Unreadable(Unreadable { column })) => {
                    let seq: i64 = row.try_get("seq")?;
                    tracing::error!(seq, column, "a job whose lease has ended cannot be read and is left alone");
                    let until = batch.now.after(LEFT_ALONE).unix_ms();
                    sqlx::query(LEAVE).bind(seq).bind(until).execute(&mut *batch.conn).await?;
                }
                Err(failure) => return Err(failure),
            }
        }
        Ok((ready, poison))
    }
}

impl Rescue {
    /// Makes one job ready, or hands it out if it is the cause of what happened to its workers.
    async fn rescue(&self, batch: &mut Batch<'_>, row: &SqliteRow) -> Result<Option<ClaimedJob>, Failure> {
        const HAND_OUT: &str = "UPDATE jobs SET fence = fence + 1, lost_leases = lost_leases + 1, owner = ?2, \
            lease_until = ?3 WHERE seq = ?1";
        let mut record = record(row)?;
        let stored = Stored::read(row)?;
        record.lost_leases += 1;
        record.fence += 1;
        batch.touched(&record.workspace);
        if record.lost_leases >= MAX_LOST_LEASES {
            sqlx::query(HAND_OUT)
                .bind(stored.seq)
                .bind(&self.owner)
                .bind(batch.now.after(self.lease).unix_ms())
                .execute(&mut *batch.conn)
                .await?;
            return Ok(Some(ClaimedJob { record }));
        }
        stored.requeue(batch, batch.now, Requeue { attempts: 0, fence: 1, lost_leases: 1 }).await?;
        if let Some(event) = record.lost_lease_event() {
            batch.event(&record.workspace, event);
        }
        stored.left(batch, &record.workspace).await?;
        Ok(None)
    }
}
