//! Reading jobs.

use orchestrator_core::store::{DeadFilter, JobFilter, JobRecord, QueueStats, StoreError};
use orchestrator_core::types::{JobId, JobStatus, Name, Timestamp, WorkspaceId};

use crate::SqliteStore;
use crate::jobs::row::{job_columns, record};
use crate::rows::{below, id_bytes, int, number, readable, time_opt, value};

pub(super) async fn job(
    store: &SqliteStore,
    workspace: &WorkspaceId,
    job: JobId,
) -> Result<Option<JobRecord>, StoreError> {
    const ONE: &str = concat!("SELECT ", job_columns!(), " FROM jobs j WHERE j.workspace = ?1 AND j.id = ?2");
    let query = sqlx::query(ONE).bind(workspace.as_str()).bind(id_bytes(job.bits()));
    let row = store.read(query.fetch_optional(store.readers())).await?;
    Ok(row.as_ref().map(record).transpose()?)
}

/// A page of jobs: which ones is said literally, so that a partial index can serve it. Each takes the time as its fourth
/// parameter, whether it needs it or not.
macro_rules! page {
    ($($which:literal)?) => {
        concat!(
            "SELECT ", job_columns!(), " FROM jobs j WHERE j.workspace = ?1 AND j.id < ?2 AND j.kind <> 'callback' ",
            "AND (?3 IS NULL OR j.connector = ?3) AND ?4 IS NOT NULL ", $($which,)? "ORDER BY j.id DESC LIMIT ?5"
        )
    };
}

pub(super) async fn jobs(
    store: &SqliteStore,
    workspace: &WorkspaceId,
    filter: &JobFilter,
    before: Option<JobId>,
    limit: usize,
) -> Result<Vec<JobRecord>, StoreError> {
    let page = match filter.status {
        None => page!(),
        Some(JobStatus::Queued) => {
            page!("AND j.finished_at IS NULL AND j.state = 'queued' AND j.attempt = 0 AND j.run_at <= ?4 ")
        }
        Some(JobStatus::Scheduled) => {
            page!("AND j.finished_at IS NULL AND j.state = 'queued' AND j.attempt = 0 AND j.run_at > ?4 ")
        }
        Some(JobStatus::Retrying) => page!("AND j.finished_at IS NULL AND j.state = 'queued' AND j.attempt > 0 "),
        Some(JobStatus::Running) => page!("AND j.finished_at IS NULL AND j.state = 'running' "),
        Some(JobStatus::Succeeded) => page!("AND j.state = 'succeeded' "),
        Some(JobStatus::Dead) => page!("AND j.state = 'dead' "),
        Some(JobStatus::Cancelled) => page!("AND j.state = 'cancelled' "),
    };
    let query = sqlx::query(page)
        .bind(workspace.as_str())
        .bind(below(before.map(JobId::bits)))
        .bind(filter.connector.as_ref().map(Name::as_str))
        .bind(store.now().unix_ms())
        .bind(int(limit));
    let rows = store.read(query.fetch_all(store.readers())).await?;
    Ok(readable(&rows, record))
}

/// Dead letters. A call is not of the callback that would have heard of its outcome.
pub(super) async fn dead(
    store: &SqliteStore,
    workspace: &WorkspaceId,
    filter: &DeadFilter,
    before: Option<JobId>,
    limit: usize,
) -> Result<Vec<JobRecord>, StoreError> {
    const PAGE: &str = concat!(
        "SELECT ",
        job_columns!(),
        " FROM jobs j WHERE j.workspace = ?1 AND j.id < ?2 AND j.state = 'dead' \
         AND (?3 IS NULL OR j.connector = ?3) AND (?4 IS NULL OR (j.callback = ?4 AND j.kind <> 'job')) \
         AND (?5 IS NULL OR j.finished_at < ?5) AND (?6 IS NULL OR j.finished_at > ?6) \
         ORDER BY j.id DESC LIMIT ?7"
    );
    let query = sqlx::query(PAGE)
        .bind(workspace.as_str())
        .bind(below(before.map(JobId::bits)))
        .bind(filter.connector.as_ref().map(Name::as_str))
        .bind(filter.callback.as_ref().map(Name::as_str))
        .bind(filter.died_before.map(Timestamp::unix_ms))
        .bind(filter.died_after.map(Timestamp::unix_ms))
        .bind(int(limit));
    let rows = store.read(query.fetch_all(store.readers())).await?;
    Ok(readable(&rows, record))
}

pub(super) async fn next_due(store: &SqliteStore) -> Result<Option<Timestamp>, StoreError> {
    const NEXT: &str = "SELECT \
        (SELECT min(run_at) FROM jobs INDEXED BY jobs_timers WHERE ready = 0 AND run_at > ?1) AS next, \
        EXISTS (SELECT 1 FROM jobs INDEXED BY jobs_timers WHERE ready = 0 AND run_at <= ?1) AS due";
    let query = sqlx::query(NEXT).bind(store.now().unix_ms());
    let row = store.read(query.fetch_one(store.readers())).await?;
    // What became due since the last claim waits for no time any more: who sleeps until the next one must hear of it.
    if let Some(writer) = store.writer().filter(|_| value(&row, "due").unwrap_or(false)) {
        writer.tell(|watch| watch.ready(&[]));
    }
    Ok(time_opt(&row, "next")?)
}

pub(super) async fn queue_stats(store: &SqliteStore) -> Result<QueueStats, StoreError> {
    // Each part counts in an index of its own.
    const STATS: &str = "SELECT \
        (SELECT count(*) FROM jobs INDEXED BY jobs_ready WHERE ready = 1 AND lost_leases = 0) \
        + (SELECT count(*) FROM jobs INDEXED BY jobs_quarantine WHERE ready = 1 AND lost_leases > 0) \
        + (SELECT count(*) FROM jobs INDEXED BY jobs_timers WHERE ready = 0 AND run_at <= ?1) AS ready, \
        (SELECT count(*) FROM jobs INDEXED BY jobs_timers WHERE ready = 0 AND run_at > ?1) \
        + (SELECT count(*) FROM jobs INDEXED BY jobs_held WHERE ready = 2) AS waiting, \
        (SELECT count(*) FROM jobs INDEXED BY jobs_leases WHERE state = 'running') AS running, \
        (SELECT count(*) FROM jobs INDEXED BY jobs_dead WHERE state = 'dead') AS dead, \
        (SELECT min(oldest) FROM ( \
          SELECT min(run_at) AS oldest FROM jobs INDEXED BY jobs_ready WHERE ready = 1 AND lost_leases = 0 UNION ALL \
          SELECT min(run_at) FROM jobs INDEXED BY jobs_quarantine WHERE ready = 1 AND lost_leases > 0 UNION ALL \
          SELECT min(run_at) FROM jobs INDEXED BY jobs_timers WHERE ready = 0 AND run_at <= ?1)) AS oldest_ready, \
        (SELECT min(lease_until) FROM jobs INDEXED BY jobs_leases WHERE state = 'running' AND lease_until <= ?1) \
          AS oldest_lease";
    let now = store.now();
    let row = store.read(sqlx::query(STATS).bind(now.unix_ms()).fetch_one(store.readers())).await?;
    let since = |moment: Option<Timestamp>| moment.map(|moment| now.since(moment)).unwrap_or_default();
    Ok(QueueStats {
        ready: number(&row, "ready")?,
        waiting: number(&row, "waiting")?,
        running: number(&row, "running")?,
        dead: number(&row, "dead")?,
        oldest_ready: since(time_opt(&row, "oldest_ready")?),
        // A lease that was voided when the store was opened has been over since then.
        oldest_expired_lease: since(time_opt(&row, "oldest_lease")?.map(|until| until.max(store.opened_at()))),
    })
}
