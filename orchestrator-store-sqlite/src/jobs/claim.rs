//! Claiming: workspaces in turn, lanes that are paused left out, each step a look-up in an index of ready jobs.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use orchestrator_core::store::{Claim, ClaimedJob, JobState};
use sqlx::Row;

use crate::batch::Batch;
use crate::jobs::row::{job_columns, lane_of, record};
use crate::op::{Failure, Op};
use crate::rows::{int, to_json};

/// How many jobs whose time has come one claim makes ready.
const DUE: i64 = 2_000;
/// How many workspaces one claim looks at. The next one goes on from there.
const LOOKED_AT: usize = 2_000;

/// Whose turn it is: the workspace that was served last, in each queue.
#[derive(Debug, Default)]
pub(crate) struct Turn {
    served: String,
    quarantined: String,
}

pub(super) struct Take(pub(super) Claim);

/// The statements of a queue. They differ in the index that they name.
struct Queue {
    workspaces: &'static str,
    jobs: &'static str,
}

macro_rules! queue {
    ($index:literal, $is:literal) => {
        Queue {
            // Distinct workspaces by jumping from one to the next, however many jobs each has.
            workspaces: concat!(
                "WITH RECURSIVE found(workspace) AS (",
                "SELECT (SELECT min(workspace) FROM jobs INDEXED BY ",
                $index,
                " WHERE ready = 1 AND ",
                $is,
                " AND workspace > ?1) UNION ALL ",
                "SELECT (SELECT min(j.workspace) FROM jobs j INDEXED BY ",
                $index,
                " WHERE j.ready = 1 AND j.",
                $is,
                " AND j.workspace > found.workspace) FROM found WHERE found.workspace IS NOT NULL) ",
                "SELECT workspace FROM found WHERE workspace IS NOT NULL AND (?2 IS NULL OR workspace <= ?2) ",
                "AND workspace NOT IN (SELECT value FROM json_each(?3)) LIMIT ?4"
            ),
            // The first few of each lane that is not paused, and of these the first few.
            jobs: concat!(
                "WITH RECURSIVE lanes(lane) AS (",
                "SELECT (SELECT min(lane) FROM jobs INDEXED BY ",
                $index,
                " WHERE ready = 1 AND ",
                $is,
                " AND workspace = ?1) UNION ALL ",
                "SELECT (SELECT min(j.lane) FROM jobs j INDEXED BY ",
                $index,
                " WHERE j.ready = 1 AND j.",
                $is,
                " AND j.workspace = ?1 AND j.lane > lanes.lane) FROM lanes WHERE lanes.lane IS NOT NULL) ",
                "SELECT j.seq, j.lane FROM lanes CROSS JOIN jobs j WHERE lanes.lane IS NOT NULL ",
                "AND lanes.lane NOT IN (SELECT value FROM json_each(?2)) ",
                "AND j.seq IN (SELECT r.seq FROM jobs r INDEXED BY ",
                $index,
                " WHERE r.ready = 1 AND r.",
                $is,
                " AND r.workspace = ?1 AND r.lane = lanes.lane ORDER BY r.priority DESC, r.seq LIMIT ?3) ",
                "ORDER BY j.priority DESC, j.seq LIMIT ?4"
            ),
        }
    };
}

const READY: Queue = queue!("jobs_ready", "lost_leases = 0");
const QUARANTINE: Queue = queue!("jobs_quarantine", "lost_leases > 0");

impl Op for Take {
    type Answer = Vec<ClaimedJob>;

    async fn apply(&self, batch: &mut Batch<'_>) -> Result<Vec<ClaimedJob>, Failure> {
        wake(batch).await?;
        let max = if self.0.quarantine { self.0.max.min(1) } else { self.0.max };
        let chosen = self.choose(batch, max).await?;
        if chosen.is_empty() {
            return Ok(Vec::new());
        }
        take(batch, &chosen, &self.0.owner, self.0.lease).await
    }
}

/// Makes jobs ready whose time has come.
pub(super) async fn wake(batch: &mut Batch<'_>) -> Result<(), Failure> {
    const WAKE: &str = "UPDATE jobs SET ready = 1 WHERE seq IN \
        (SELECT seq FROM jobs INDEXED BY jobs_timers WHERE ready = 0 AND run_at <= ?1 ORDER BY run_at LIMIT ?2)";
    let woken = sqlx::query(WAKE).bind(batch.now.unix_ms()).bind(DUE).execute(&mut *batch.conn).await?;
    if woken.rows_affected() > 0 {
        batch.ready();
    }
    Ok(())
}

/// The jobs of a workspace that are looked at, first ones first.
struct Waiting {
    workspace: String,
    jobs: VecDeque<i64>,
}

impl Take {
    /// Chooses up to `max` jobs: one of each workspace in turn, until all have given what they may.
    async fn choose(&self, batch: &mut Batch<'_>, max: usize) -> Result<Vec<i64>, Failure> {
        let mut waiting = self.look(batch, max).await?;
        let mut chosen = Vec::new();
        let mut left = true;
        while left {
            left = false;
            for workspace in &mut waiting {
                if chosen.len() >= max {
                    return Ok(chosen);
                }
                if let Some(seq) = workspace.jobs.pop_front() {
                    chosen.push(seq);
                    self.served(batch.turn, &workspace.workspace);
                    left = true;
                }
            }
        }
        Ok(chosen)
    }

    /// The workspaces whose turn it is, each with what it has for this claim.
    async fn look(&self, batch: &mut Batch<'_>, max: usize) -> Result<Vec<Waiting>, Failure> {
        let claim = &self.0;
        let queue = if claim.quarantine { &QUARANTINE } else { &READY };
        let full = to_json(&claim.full)?;
        let each = max.min(claim.per_workspace);
        let last = if claim.quarantine { batch.turn.quarantined.clone() } else { batch.turn.served.clone() };
        let mut waiting = Vec::new();
        let mut looked_at = 0;
        // From after the last one to the end, then from the beginning to the last one.
        for (mut after, until) in [(last.clone(), None), (String::new(), Some(last))] {
            loop {
                let wanted = max - waiting.len();
                if wanted == 0 || each == 0 {
                    return Ok(waiting);
                }
                let rows = sqlx::query(queue.workspaces)
                    .bind(&after)
                    .bind(&until)
                    .bind(&full)
                    .bind(int(wanted))
                    .fetch_all(&mut *batch.conn)
                    .await?;
                for row in &rows {
                    after = row.try_get("workspace")?;
                    let jobs = self.jobs_of(batch, queue, &after, each).await?;
                    if !jobs.is_empty() {
                        waiting.push(Waiting { workspace: after.clone(), jobs });
                    }
                }
                looked_at += rows.len();
                if looked_at >= LOOKED_AT && waiting.is_empty() {
                    self.served(batch.turn, &after);
                    return Ok(waiting);
                }
                if rows.len() < wanted || looked_at >= LOOKED_AT {
                    break;
                }
            }
        }
        Ok(waiting)
    }

    async fn jobs_of(
        &self,
        batch: &mut Batch<'_>,
        queue: &Queue,
        workspace: &str,
        each: usize,
    ) -> Result<VecDeque<i64>, Failure> {
        let paused = self.0.paused.iter().filter(|lane| lane.workspace.as_str() == workspace);
        let mut paused: Vec<String> = paused.map(lane_of).collect();
        let limited = self.0.limited.iter().filter(|(lane, _)| lane.workspace.as_str() == workspace);
        let mut limited: HashMap<String, usize> = limited.map(|(lane, left)| (lane_of(lane), *left)).collect();
        paused.extend(limited.extract_if(|_, left| *left == 0).map(|(lane, _)| lane));
        // Of each limited lane up to `each` may be passed over.
        let looked_at = each.saturating_mul(limited.len() + 1);
        let rows = sqlx::query(queue.jobs)
            .bind(workspace)
            .bind(to_json(&paused)?)
            .bind(int(each))
            .bind(int(looked_at))
            .fetch_all(&mut *batch.conn)
            .await?;
        let mut jobs = VecDeque::with_capacity(rows.len().min(each));
        for row in &rows {
            if jobs.len() >= each {
                break;
            }
            match limited.get_mut(row.try_get::<&str, _>("lane")?) {
                Some(0) => continue,
                Some(left) => *left -= 1,
                None => {}
            }
            jobs.push_back(row.try_get("seq")?);
        }
        Ok(jobs)
    }

    fn served(&self, turn: &mut Turn, workspace: &str) {
        let last = if self.0.quarantine { &mut turn.quarantined } else { &mut turn.served };
        workspace.clone_into(last);
    }
}

/// Puts the chosen jobs under a lease.
pub(super) async fn take(
    batch: &mut Batch<'_>,
    chosen: &[i64],
    owner: &str,
    lease: Duration,
) -> Result<Vec<ClaimedJob>, Failure> {
    const READ: &str = concat!(
        "SELECT ",
        job_columns!(),
        " FROM json_each(?1) AS chosen CROSS JOIN jobs j ON j.seq = chosen.value \
         ORDER BY chosen.key"
    );
    const TAKE: &str = "UPDATE jobs SET state = 'running', ready = NULL, attempt = attempt + 1, \
        fence = fence + 1, owner = ?2, lease_until = ?3 WHERE seq IN (SELECT value FROM json_each(?1))";
    const SET_ASIDE: &str = "UPDATE jobs SET ready = 3 WHERE seq = ?1";
    let rows = sqlx::query(READ).bind(to_json(&chosen)?).fetch_all(&mut *batch.conn).await?;
    let mut taken = Vec::with_capacity(rows.len());
    let mut seqs: Vec<i64> = Vec::with_capacity(rows.len());
    for row in &rows {
        let seq = row.try_get("seq")?;
        match record(row) {
            Ok(mut record) => {
                record.state = JobState::Running;
                record.attempt += 1;
                record.fence += 1;
                batch.touched(&record.workspace);
                if let Some(event) = record.started_event() {
                    batch.event(&record.workspace, event);
                }
                seqs.push(seq);
                taken.push(ClaimedJob { record });
            }
            Err(unreadable) => {
                // It must not stand in front of the others for ever. Opening the store gives it another chance.
                tracing::error!(seq, column = unreadable.column, "a job cannot be read and is set aside");
                sqlx::query(SET_ASIDE).bind(seq).execute(&mut *batch.conn).await?;
            }
        }
    }
    sqlx::query(TAKE)
        .bind(to_json(&seqs)?)
        .bind(owner)
        .bind(batch.now.after(lease).unix_ms())
        .execute(&mut *batch.conn)
        .await?;
    Ok(taken)
}
