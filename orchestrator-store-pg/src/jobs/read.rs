//! Reading jobs.

use orchestrator_core::store::{DeadFilter, JobFilter, JobRecord, QueueStats};
use orchestrator_core::types::{JobId, JobStatus, Name, Timestamp, WorkspaceId};

use crate::failure::Failure;
use crate::jobs::row::{job_columns, record};
use crate::notices::Told;
use crate::rows::{below, id, int, number, readable, time, time_opt, value};
use crate::shared::Shared;

pub(super) async fn job(shared: &Shared, workspace: &WorkspaceId, job: JobId) -> Result<Option<JobRecord>, Failure> {
    const ONE: &str = concat!(
        "SELECT ",
        job_columns!(),
        " FROM jobs j LEFT JOIN queue q USING (workspace, id) LEFT JOIN ended e USING (workspace, id) \
         WHERE j.workspace = $1 AND j.id = $2"
    );
    let mut transaction = shared.begin(workspace.as_str()).await?;
    let one = sqlx::query(ONE).bind(workspace.as_str()).bind(id(job.bits()));
    let row = one.fetch_optional(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(row.as_ref().map(record).transpose()?)
}

/// A page of jobs: which ones is said by the tables that it begins with, so that each is a walk along an index.
macro_rules! page {
    ($from:literal, $which:literal) => {
        concat!(
            "SELECT ",
            job_columns!(),
            " FROM ",
            $from,
            " WHERE j.workspace = $1 AND j.id < $2 AND j.kind <> 'callback' AND ($3::text IS NULL OR j.connector = $3) \
             AND $4::bigint IS NOT DISTINCT FROM $4 AND ",
            $which,
            " ORDER BY j.id DESC LIMIT $5"
        )
    };
}

macro_rules! unfinished {
    ($which:literal) => {
        page!("queue q JOIN jobs j USING (workspace, id) LEFT JOIN ended e USING (workspace, id)", $which)
    };
}

macro_rules! finished {
    ($which:literal) => {
        page!("ended e JOIN jobs j USING (workspace, id) LEFT JOIN queue q USING (workspace, id)", $which)
    };
}

pub(super) async fn jobs(
    shared: &Shared,
    workspace: &WorkspaceId,
    filter: &JobFilter,
    before: Option<JobId>,
    limit: usize,
) -> Result<Vec<JobRecord>, Failure> {
    let page = match filter.status {
        None => page!("jobs j LEFT JOIN queue q USING (workspace, id) LEFT JOIN ended e USING (workspace, id)", "true"),
        Some(JobStatus::Queued) => unfinished!("q.state <> 3 AND q.attempt = 0 AND q.run_at <= now_ms($4)"),
        Some(JobStatus::Scheduled) => unfinished!("q.state <> 3 AND q.attempt = 0 AND q.run_at > now_ms($4)"),
        Some(JobStatus::Retrying) => unfinished!("q.state <> 3 AND q.attempt > 0"),
        Some(JobStatus::Running) => unfinished!("q.state = 3"),
        Some(JobStatus::Succeeded) => finished!("e.state = 'succeeded'"),
        Some(JobStatus::Dead) => finished!("e.state = 'dead'"),
        Some(JobStatus::Cancelled) => finished!("e.state = 'cancelled'"),
    };
    let mut transaction = shared.begin(workspace.as_str()).await?;
    let rows = sqlx::query(page)
        .bind(workspace.as_str())
        .bind(below(before.map(JobId::bits)))
        .bind(filter.connector.as_ref().map(Name::as_str))
        .bind(shared.now())
        .bind(int(limit))
        .fetch_all(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok(readable(&rows, record))
}

/// Dead letters. A call is not of the callback that would have heard of its outcome.
pub(super) async fn dead(
    shared: &Shared,
    workspace: &WorkspaceId,
    filter: &DeadFilter,
    before: Option<JobId>,
    limit: usize,
) -> Result<Vec<JobRecord>, Failure> {
    const PAGE: &str = concat!(
        "SELECT ",
        job_columns!(),
        " FROM ended e JOIN jobs j USING (workspace, id) LEFT JOIN queue q USING (workspace, id) \
         WHERE e.workspace = $1 AND e.id < $2 AND e.state = 'dead' \
         AND ($3::text IS NULL OR j.connector = $3) AND ($4::text IS NULL OR (j.callback = $4 AND j.kind <> 'job')) \
         AND ($5::bigint IS NULL OR e.finished_at < $5) AND ($6::bigint IS NULL OR e.finished_at > $6) \
         ORDER BY e.id DESC LIMIT $7"
    );
    let mut transaction = shared.begin(workspace.as_str()).await?;
    let rows = sqlx::query(PAGE)
        .bind(workspace.as_str())
        .bind(below(before.map(JobId::bits)))
        .bind(filter.connector.as_ref().map(Name::as_str))
        .bind(filter.callback.as_ref().map(Name::as_str))
        .bind(filter.died_before.map(Timestamp::unix_ms))
        .bind(filter.died_after.map(Timestamp::unix_ms))
        .bind(int(limit))
        .fetch_all(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok(readable(&rows, record))
}

pub(super) async fn next_due(shared: &Shared) -> Result<Option<Timestamp>, Failure> {
    const NEXT: &str = "SELECT next, due FROM next_due($1)";
    let row = sqlx::query(NEXT).bind(shared.now()).fetch_one(&shared.pool).await?;
    // What became due since the last claim waits for no time any more: who sleeps until the next one must hear of it.
    if value::<bool>(&row, "due")? {
        let mut told = Told::default();
        told.ready();
        shared.tell_here(&told);
    }
    Ok(time_opt(&row, "next")?)
}

pub(super) async fn queue_stats(shared: &Shared) -> Result<QueueStats, Failure> {
    const STATS: &str = "SELECT * FROM queue_stats($1)";
    let row = sqlx::query(STATS).bind(shared.now()).fetch_one(&shared.pool).await?;
    let now = time(&row, "now")?;
    let since = |moment: Option<Timestamp>| moment.map(|moment| now.since(moment)).unwrap_or_default();
    Ok(QueueStats {
        ready: number(&row, "ready")?,
        waiting: number(&row, "waiting")?,
        running: number(&row, "running")?,
        dead: number(&row, "dead")?,
        oldest_ready: since(time_opt(&row, "oldest_ready")?),
        oldest_expired_lease: since(time_opt(&row, "oldest_lease")?),
    })
}
