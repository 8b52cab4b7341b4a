//! Ordering keys: of the unfinished jobs of a key at most one runs or may run, and it is the one accepted first.

use orchestrator_core::types::WorkspaceId;

use crate::batch::Batch;
use crate::op::Failure;
use crate::rows::value;

/// As the value of `ready`: waits for an earlier job of its key.
pub(super) const HELD: i64 = 2;

/// As the value of `ready`: waits for its time, or may run.
pub(super) const fn when_due(due: bool) -> i64 {
    if due { 1 } else { 0 }
}

/// Lets the first unfinished job of a key go, if none of it runs, and holds every other. To be called whenever a job of
/// the key stopped running, ended, or came back.
pub(super) async fn settle_key(batch: &mut Batch<'_>, workspace: &WorkspaceId, key: &str) -> Result<(), Failure> {
    const RUNNING: &str = "SELECT 1 FROM jobs INDEXED BY jobs_ordering_running \
        WHERE workspace = ?1 AND ordering_key = ?2 AND ordering_key IS NOT NULL AND state = 'running' LIMIT 1";
    const FIRST: &str = "SELECT seq, ready, run_at FROM jobs INDEXED BY jobs_ordering \
        WHERE workspace = ?1 AND ordering_key = ?2 AND ordering_key IS NOT NULL AND finished_at IS NULL \
        ORDER BY seq LIMIT 1";
    const RELEASE: &str = "UPDATE jobs SET ready = ?2, run_at = ?3 WHERE seq = ?1";
    let name = workspace.as_str();
    if sqlx::query(RUNNING).bind(name).bind(key).fetch_optional(&mut *batch.conn).await?.is_some() {
        return Ok(());
    }
    let Some(first) = sqlx::query(FIRST).bind(name).bind(key).fetch_optional(&mut *batch.conn).await? else {
        return Ok(());
    };
    if value::<Option<i64>>(&first, "ready")? != Some(HELD) {
        return Ok(());
    }
    let (now, seq) = (batch.now.unix_ms(), value::<i64>(&first, "seq")?);
    let run_at = value::<i64>(&first, "run_at")?.max(now);
    sqlx::query(RELEASE).bind(seq).bind(when_due(run_at <= now)).bind(run_at).execute(&mut *batch.conn).await?;
    batch.touched(workspace);
    batch.ready_is(seq);
    Ok(())
}

/// A held job of the key has come back that may have been accepted before the one that waits: settles who is first.
pub(super) async fn rejoin(batch: &mut Batch<'_>, workspace: &WorkspaceId, key: &str) -> Result<(), Failure> {
    // The only one that is not held was the first until now, so it is one of the first two.
    const HOLD: &str = "UPDATE jobs SET ready = 2 WHERE ready IN (0, 1) AND seq IN \
        (SELECT seq FROM jobs INDEXED BY jobs_ordering \
        WHERE workspace = ?1 AND ordering_key = ?2 AND ordering_key IS NOT NULL AND finished_at IS NULL \
        ORDER BY seq LIMIT 2)";
    sqlx::query(HOLD).bind(workspace.as_str()).bind(key).execute(&mut *batch.conn).await?;
    settle_key(batch, workspace, key).await
}
