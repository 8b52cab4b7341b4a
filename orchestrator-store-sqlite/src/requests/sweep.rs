//! What has outlived its time goes, a bounded step at a time. What is unfinished stays, and what keeps it does not hide
//! what lies behind: such rows are searched beside the writer, and it checks again what it removes.

use orchestrator_core::store::{StoreError, Sweep};
use orchestrator_core::types::{InboxId, JobId, Timestamp};
use sqlx::Row;

use crate::SqliteStore;
use crate::batch::Batch;
use crate::op::{Failure, Op};
use crate::payloads;
use crate::rows::{bits, int, to_json};

/// No delivery of the entry is under way.
macro_rules! delivered {
    () => {
        "NOT EXISTS (SELECT 1 FROM jobs INDEXED BY jobs_unfinished \
         WHERE jobs.workspace = inbox.workspace AND jobs.id = inbox.job AND jobs.finished_at IS NULL)"
    };
}

/// Sweeps one workspace. Answers how much went.
pub(super) async fn sweep(store: &SqliteStore, sweep: Sweep, limit: usize) -> Result<u64, StoreError> {
    const BODIES: &str = concat!(
        "SELECT seq FROM inbox INDEXED BY inbox_kept \
         WHERE workspace = ?1 AND received_at < ?2 AND body_kept = 1 AND ",
        delivered!(),
        " ORDER BY received_at LIMIT ?3"
    );
    const TOMBSTONES: &str = concat!(
        "SELECT seq FROM inbox INDEXED BY inbox_age WHERE workspace = ?1 AND received_at < ?2 AND ",
        delivered!(),
        " ORDER BY received_at LIMIT ?3"
    );
    let bodies = due(store, BODIES, &sweep, sweep.inbox_before, limit).await?;
    let tombstones = due(store, TOMBSTONES, &sweep, sweep.tombstones_before, limit).await?;
    store.write(Remove { sweep, limit: int(limit), bodies, tombstones }).await
}

async fn due(
    store: &SqliteStore,
    statement: &'static str,
    sweep: &Sweep,
    before: Timestamp,
    limit: usize,
) -> Result<Vec<i64>, StoreError> {
    let query = sqlx::query(statement).bind(sweep.workspace.as_str()).bind(before.unix_ms()).bind(int(limit));
    let rows = store.read(query.fetch_all(store.readers())).await?;
    rows.iter().map(|row| row.try_get("seq").map_err(crate::op::store_error)).collect()
}

struct Remove {
    sweep: Sweep,
    limit: i64,
    bodies: Vec<i64>,
    tombstones: Vec<i64>,
}

impl Op for Remove {
    type Answer = u64;

    async fn apply(&self, batch: &mut Batch<'_>) -> Result<u64, Failure> {
        const REQUESTS: &str = "DELETE FROM requests WHERE rowid IN \
            (SELECT rowid FROM requests WHERE workspace = ?1 AND started_at < ?2 ORDER BY started_at LIMIT ?3)";
        // From the beginning only, so that what remains has no hole.
        const EVENTS: &str = "DELETE FROM events WHERE workspace = ?1 AND number < \
            (SELECT coalesce(min(CASE WHEN time >= ?2 THEN number END), max(number) + 1) FROM \
              (SELECT number, time FROM events WHERE workspace = ?1 ORDER BY number LIMIT ?3))";
        const KEYS: &str = "DELETE FROM idempotency WHERE rowid IN \
            (SELECT rowid FROM idempotency WHERE workspace = ?1 AND expires_at <= ?2 ORDER BY expires_at LIMIT ?3)";
        let sweep = &self.sweep;
        let mut removed = 0;
        for (statement, before) in [(REQUESTS, sweep.requests_before), (EVENTS, sweep.events_before), (KEYS, batch.now)]
        {
            let done = sqlx::query(statement)
                .bind(sweep.workspace.as_str())
                .bind(before.unix_ms())
                .bind(self.limit)
                .execute(&mut *batch.conn)
                .await?;
            removed += done.rows_affected();
        }
        removed += self.jobs(batch).await?;
        removed += self.inbox_bodies(batch).await?;
        removed += self.inbox(batch).await?;
        Ok(removed)
    }
}

impl Remove {
    async fn jobs(&self, batch: &mut Batch<'_>) -> Result<u64, Failure> {
        const ENDED: &str = "DELETE FROM jobs WHERE seq IN (SELECT seq FROM jobs INDEXED BY jobs_ended \
            WHERE workspace = ?1 AND finished_at < ?2 AND finished_at IS NOT NULL AND state <> 'dead' \
            ORDER BY finished_at LIMIT ?3) RETURNING seq, id";
        const INPUTS: &str = "DELETE FROM job_inputs WHERE seq IN (SELECT value FROM json_each(?1))";
        let rows = sqlx::query(ENDED)
            .bind(self.sweep.workspace.as_str())
            .bind(self.sweep.jobs_before.unix_ms())
            .bind(self.limit)
            .fetch_all(&mut *batch.conn)
            .await?;
        let seqs = rows.iter().map(|row| row.try_get::<i64, _>("seq")).collect::<Result<Vec<_>, _>>()?;
        let ids = rows.iter().map(|row| bits(row, "id").map(JobId::from_bits)).collect::<Result<Vec<_>, _>>()?;
        payloads::unlink(batch, &self.sweep.workspace, ids).await?;
        if !seqs.is_empty() {
            sqlx::query(INPUTS).bind(to_json(&seqs)?).execute(&mut *batch.conn).await?;
        }
        Ok(rows.len() as u64)
    }

    async fn inbox_bodies(&self, batch: &mut Batch<'_>) -> Result<u64, Failure> {
        const KEPT: &str = concat!(
            "UPDATE inbox SET body_kept = 0 \
             WHERE seq IN (SELECT value FROM json_each(?1)) AND body_kept = 1 AND ",
            delivered!(),
            " RETURNING seq, id"
        );
        self.drop_bodies(batch, KEPT, &self.bodies).await
    }

    async fn inbox(&self, batch: &mut Batch<'_>) -> Result<u64, Failure> {
        const ENTRIES: &str = concat!(
            "DELETE FROM inbox WHERE seq IN (SELECT value FROM json_each(?1)) AND ",
            delivered!(),
            " RETURNING seq, id"
        );
        self.drop_bodies(batch, ENTRIES, &self.tombstones).await
    }

    async fn drop_bodies(
        &self,
        batch: &mut Batch<'_>,
        statement: &'static str,
        candidates: &[i64],
    ) -> Result<u64, Failure> {
        const BODIES: &str = "DELETE FROM inbox_bodies WHERE seq IN (SELECT value FROM json_each(?1))";
        if candidates.is_empty() {
            return Ok(0);
        }
        let rows = sqlx::query(statement).bind(to_json(&candidates)?).fetch_all(&mut *batch.conn).await?;
        let seqs = rows.iter().map(|row| row.try_get::<i64, _>("seq")).collect::<Result<Vec<_>, _>>()?;
        let ids = rows.iter().map(|row| bits(row, "id").map(InboxId::from_bits)).collect::<Result<Vec<_>, _>>()?;
        payloads::unlink(batch, &self.sweep.workspace, ids).await?;
        sqlx::query(BODIES).bind(to_json(&seqs)?).execute(&mut *batch.conn).await?;
        Ok(seqs.len() as u64)
    }
}
