//! A job's row and what it means.

use std::time::Duration;

use bytes::Bytes;
use orchestrator_core::store::{JobKind, JobRecord, JobState, NewJob, PayloadLinks};
use orchestrator_core::types::JobId;
use sqlx::postgres::PgRow;

use crate::rows::{
    Unreadable, bits, bits_opt, document, document_opt, number, parsed, parsed_opt, text, text_opt, time, time_opt,
    trace, value,
};

/// What [`record`] reads: of `jobs j`, `queue q` and `ended e`.
macro_rules! job_columns {
    () => {
        "j.workspace, j.id, CASE WHEN e.state IS NOT NULL THEN e.state WHEN q.state = 3 THEN 'running' ELSE 'queued' END \
           AS state, j.priority, coalesce(q.run_at, e.run_at) AS run_at, coalesce(q.attempt, e.attempt) AS attempt, \
         coalesce(q.fence, e.fence) AS fence, coalesce(q.lost_leases, e.lost_leases) AS lost_leases, j.created_at, \
         e.finished_at, j.kind, j.connector, j.operation, j.max_attempts, j.ordering_key, j.callback, j.metadata, \
         j.timeout_ms, j.subject, j.delivery_id, j.trace, e.dead_reason, coalesce(e.error, q.error) AS error, \
         coalesce(e.delivery, q.delivery) AS delivery, e.output, j.input"
    };
}
pub(super) use job_columns;

/// The job of a row.
pub(super) fn record(row: &PgRow) -> Result<JobRecord, Unreadable> {
    let run_at = time(row, "run_at")?;
    let job = NewJob {
        id: JobId::from_bits(bits(row, "id")?),
        kind: JobKind::parse(value(row, "kind")?).ok_or(Unreadable { column: "kind" })?,
        connector: parsed_opt(row, "connector")?,
        operation: text(row, "operation")?,
        input: value::<Vec<u8>>(row, "input").map(Bytes::from)?,
        priority: u8::try_from(value::<i16>(row, "priority")?).map_err(|_| Unreadable { column: "priority" })?,
        run_at: Some(run_at),
        max_attempts: number(row, "max_attempts")?,
        ordering_key: text_opt(row, "ordering_key")?,
        callback: parsed_opt(row, "callback")?,
        metadata: document(row, "metadata")?,
        timeout: match value::<Option<i64>>(row, "timeout_ms")? {
            None => None,
            Some(ms) => {
                Some(Duration::from_millis(u64::try_from(ms).map_err(|_| Unreadable { column: "timeout_ms" })?))
            }
        },
        subject: text_opt(row, "subject")?,
        delivery_id: text_opt(row, "delivery_id")?,
        trace_id: trace(row, "trace")?,
        payloads: PayloadLinks::default(),
    };
    Ok(JobRecord {
        workspace: parsed(row, "workspace")?,
        job,
        state: JobState::parse(value(row, "state")?).ok_or(Unreadable { column: "state" })?,
        attempt: number(row, "attempt")?,
        fence: number(row, "fence")?,
        lost_leases: number(row, "lost_leases")?,
        created_at: time(row, "created_at")?,
        run_at,
        finished_at: time_opt(row, "finished_at")?,
        output: value::<Option<Vec<u8>>>(row, "output")?.map(Bytes::from),
        error: document_opt(row, "error")?,
        dead_reason: text_opt(row, "dead_reason")?,
        delivery: bits_opt(row, "delivery")?.map(JobId::from_bits),
    })
}
