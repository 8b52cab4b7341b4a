//! A job's row and what it means.

use std::time::Duration;

use bytes::Bytes;
use orchestrator_core::store::{JobKind, JobRecord, JobState, LaneKey, NewJob, PayloadLinks};
use orchestrator_core::types::{JobId, Name};
use sqlx::sqlite::SqliteRow;

use crate::rows::{
    Unreadable, bits, bits_opt, document, document_opt, number, parsed, parsed_opt, time, time_opt, trace, value,
};

/// What [`record`] reads, of the table `jobs` under the name `j`.
macro_rules! job_columns {
    () => {
        "j.seq, j.workspace, j.id, j.state, j.ready, j.priority, j.run_at, j.attempt, j.fence, j.lost_leases, \
         j.created_at, j.finished_at, j.kind, j.connector, j.operation, j.max_attempts, j.ordering_key, j.callback, \
         j.metadata, j.timeout_ms, j.subject, j.delivery_id, j.trace, j.dead_reason, j.error, j.delivery, j.output, \
         coalesce(j.input, (SELECT i.body FROM job_inputs i WHERE i.seq = j.seq)) AS input"
    };
}
pub(super) use job_columns;

/// The job of a row.
pub(super) fn record(row: &SqliteRow) -> Result<JobRecord, Unreadable> {
    let run_at = time(row, "run_at")?;
    let job = NewJob {
        id: JobId::from_bits(bits(row, "id")?),
        kind: JobKind::parse(value(row, "kind")?).ok_or(Unreadable { column: "kind" })?,
        connector: parsed_opt(row, "connector")?,
        operation: value(row, "operation")?,
        input: value::<Option<Vec<u8>>>(row, "input")?.map(Bytes::from).ok_or(Unreadable { column: "input" })?,
        priority: number(row, "priority")?,
        run_at: Some(run_at),
        max_attempts: number(row, "max_attempts")?,
        ordering_key: value(row, "ordering_key")?,
        callback: parsed_opt(row, "callback")?,
        metadata: document(row, "metadata")?,
        timeout: match value::<Option<i64>>(row, "timeout_ms")? {
            None => None,
            Some(ms) => {
                Some(Duration::from_millis(u64::try_from(ms).map_err(|_| Unreadable { column: "timeout_ms" })?))
            }
        },
        subject: value(row, "subject")?,
        delivery_id: value(row, "delivery_id")?,
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
        dead_reason: value(row, "dead_reason")?,
        delivery: bits_opt(row, "delivery")?.map(JobId::from_bits),
    })
}

/// The lane of a job, as it is stored.
pub(super) fn lane(job: &NewJob) -> String {
    let (delivery, target) = match job.kind {
        JobKind::Call => (false, &job.connector),
        _ => (true, &job.callback),
    };
    stored_lane(delivery, target.as_ref().map_or("", Name::as_str))
}

/// A lane that a claim names, as it is stored.
pub(super) fn lane_of(key: &LaneKey) -> String {
    stored_lane(key.delivery, key.target.as_str())
}

fn stored_lane(delivery: bool, target: &str) -> String {
    format!("{}:{target}", if delivery { "delivery" } else { "call" })
}

/// Whether a stored lane is of deliveries, and its target.
pub(super) fn target_of(lane: &str) -> Result<(bool, Option<Name>), Unreadable> {
    let unreadable = Unreadable { column: "lane" };
    let (kind, target) = lane.split_once(':').ok_or(unreadable)?;
    let target = (!target.is_empty()).then(|| target.parse().map_err(|_| unreadable)).transpose()?;
    Ok((kind == "delivery", target))
}
