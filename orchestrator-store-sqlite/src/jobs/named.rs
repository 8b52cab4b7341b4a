//! Jobs by name: those that became ready, those that a worker was hinted at, and those that are to be offered again.

use std::collections::{BTreeSet, HashSet};

use orchestrator_core::queue::JobHint;
use orchestrator_core::store::{ClaimNamed, ClaimedJob};
use orchestrator_core::types::{JobId, WorkspaceId};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use crate::batch::Batch;
use crate::jobs::claim::{take, wake};
use crate::jobs::row::target_of;
use crate::op::{Failure, Op};
use crate::rows::{Unreadable, bits, int, number, parsed, readable, time, to_json, value};

pub(super) struct Take(pub(super) ClaimNamed);

impl Op for Take {
    type Answer = Vec<ClaimedJob>;

    async fn apply(&self, batch: &mut Batch<'_>) -> Result<Vec<ClaimedJob>, Failure> {
        // A queued job is held by an earlier one of its ordering key, or has a time and may run from it on.
        const FIND: &str = "SELECT j.seq FROM json_each(?1) AS named CROSS JOIN jobs j \
            ON j.workspace = named.value ->> 0 AND j.id = unhex(named.value ->> 1) \
            WHERE j.state = 'queued' AND j.ready IN (0, 1) AND j.run_at <= ?2 AND j.lost_leases = 0 ORDER BY named.key";
        let named: Vec<_> = self.0.jobs.iter().map(|(workspace, job)| (workspace, hex(*job))).collect();
        let find = sqlx::query(FIND).bind(to_json(&named)?).bind(batch.now.unix_ms());
        let rows = find.fetch_all(&mut *batch.conn).await?;
        let (mut chosen, mut known) = (Vec::with_capacity(rows.len()), HashSet::new());
        for row in &rows {
            let seq: i64 = row.try_get("seq")?;
            if known.insert(seq) {
                chosen.push(seq);
            }
        }
        if chosen.is_empty() {
            return Ok(Vec::new());
        }
        take(batch, &chosen, &self.0.owner, self.0.lease).await
    }
}

fn hex(job: JobId) -> String {
    format!("{:032x}", job.bits())
}

pub(super) struct Heads {
    pub(super) after: Option<WorkspaceId>,
    pub(super) workspaces: usize,
    pub(super) each: usize,
}

impl Op for Heads {
    type Answer = Vec<JobHint>;

    async fn apply(&self, batch: &mut Batch<'_>) -> Result<Vec<JobHint>, Failure> {
        // Distinct workspaces by jumping from one to the next, then lanes, however many jobs each has.
        const WORKSPACES: &str = "WITH RECURSIVE found(workspace) AS ( \
            SELECT (SELECT min(workspace) FROM jobs INDEXED BY jobs_ready \
              WHERE ready = 1 AND lost_leases = 0 AND workspace > ?1) \
            UNION ALL SELECT (SELECT min(j.workspace) FROM jobs j INDEXED BY jobs_ready \
              WHERE j.ready = 1 AND j.lost_leases = 0 AND j.workspace > found.workspace) \
            FROM found WHERE found.workspace IS NOT NULL) \
            SELECT workspace FROM found WHERE workspace IS NOT NULL LIMIT ?2";
        const HEADS: &str = "WITH RECURSIVE lanes(lane) AS ( \
            SELECT (SELECT min(lane) FROM jobs INDEXED BY jobs_ready \
              WHERE ready = 1 AND lost_leases = 0 AND workspace = ?1) \
            UNION ALL SELECT (SELECT min(j.lane) FROM jobs j INDEXED BY jobs_ready \
              WHERE j.ready = 1 AND j.lost_leases = 0 AND j.workspace = ?1 AND j.lane > lanes.lane) \
            FROM lanes WHERE lanes.lane IS NOT NULL) \
            SELECT j.workspace, j.id, j.lane, j.priority, j.run_at FROM lanes CROSS JOIN jobs j \
            WHERE lanes.lane IS NOT NULL AND j.seq IN (SELECT r.seq FROM jobs r INDEXED BY jobs_ready \
              WHERE r.ready = 1 AND r.lost_leases = 0 AND r.workspace = ?1 AND r.lane = lanes.lane \
              ORDER BY r.priority DESC, r.seq LIMIT ?2) \
            ORDER BY j.priority DESC, j.seq";
        wake(batch).await?;
        let after = self.after.as_ref().map_or("", WorkspaceId::as_str);
        let found = sqlx::query(WORKSPACES).bind(after).bind(int(self.workspaces));
        let workspaces = found.fetch_all(&mut *batch.conn).await?;
        let mut heads = Vec::new();
        for row in &workspaces {
            let workspace: &str = row.try_get("workspace")?;
            let rows = sqlx::query(HEADS).bind(workspace).bind(int(self.each)).fetch_all(&mut *batch.conn).await?;
            heads.extend(readable(&rows, hint));
        }
        Ok(heads)
    }
}

/// Those of these jobs that wait for nothing but their time.
pub(crate) async fn hints(conn: &mut SqliteConnection, seqs: &BTreeSet<i64>) -> Result<Vec<JobHint>, Failure> {
    const READY: &str = "SELECT j.workspace, j.id, j.lane, j.priority, j.run_at \
        FROM json_each(?1) AS hinted CROSS JOIN jobs j ON j.seq = hinted.value \
        WHERE j.state = 'queued' AND j.ready IN (0, 1) AND j.lost_leases = 0";
    let rows = sqlx::query(READY).bind(to_json(seqs)?).fetch_all(conn).await?;
    Ok(readable(&rows, hint))
}

fn hint(row: &SqliteRow) -> Result<JobHint, Unreadable> {
    let (delivery, target) = target_of(value(row, "lane")?)?;
    Ok(JobHint {
        workspace: parsed(row, "workspace")?,
        job: JobId::from_bits(bits(row, "id")?),
        delivery,
        target,
        priority: number(row, "priority")?,
        run_at: time(row, "run_at")?,
    })
}
