//! What many callers write, as one parameter: arrays of the database's own row types.
//!
//! `op` tells whose it is: the place of the caller in the batch, counted from 1.

use orchestrator_core::store::{JobKind, LaneKey, NewEvent, NewJob};
use orchestrator_core::types::{Name, RequestView, Timestamp, WorkspaceId};
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::types::PgRecordEncoder;
use sqlx::postgres::{PgArgumentBuffer, PgHasArrayType, PgTypeInfo};
use sqlx::{Encode, Postgres, Type};
use uuid::Uuid;

use crate::failure::Failure;
use crate::rows::{id, int, to_json};
use crate::text::stored;

macro_rules! row_type {
    ($row:ident, $name:literal, |$this:ident, $to:ident| $fields:expr) => {
        impl Type<Postgres> for $row<'_> {
            fn type_info() -> PgTypeInfo {
                PgTypeInfo::with_name($name)
            }
        }

        impl PgHasArrayType for $row<'_> {
            fn array_type_info() -> PgTypeInfo {
                PgTypeInfo::array_of($name)
            }
        }

        impl Encode<'_, Postgres> for $row<'_> {
            fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
                let $this = self;
                let mut record = PgRecordEncoder::new(buffer);
                {
                    let $to = &mut record;
                    $fields;
                }
                record.finish();
                Ok(IsNull::No)
            }
        }
    };
}

/// A job to be.
pub(crate) struct JobRow<'a> {
    op: i32,
    workspace: &'a WorkspaceId,
    job: &'a NewJob,
    lane: String,
    metadata: String,
}

impl<'a> JobRow<'a> {
    pub(crate) fn new(op: i32, workspace: &'a WorkspaceId, job: &'a NewJob) -> Result<Self, Failure> {
        Ok(Self { op, workspace, job, lane: lane(job), metadata: to_json(&job.metadata)? })
    }
}

row_type!(JobRow, "new_job", |row, to| {
    let job = row.job;
    to.encode(row.op)?
        .encode(row.workspace.as_str())?
        .encode(id(job.id.bits()))?
        .encode(job.kind.as_str())?
        .encode(row.lane.as_str())?
        .encode(job.connector.as_ref().map(Name::as_str))?
        .encode(stored(&job.operation).as_ref())?
        .encode(i16::from(job.priority))?
        .encode(job.run_at.map(Timestamp::unix_ms))?
        .encode(i64::from(job.max_attempts))?
        .encode(job.ordering_key.as_deref().map(stored).as_deref())?
        .encode(job.callback.as_ref().map(Name::as_str))?
        .encode(row.metadata.as_str())?
        .encode(job.timeout.map(|timeout| int(timeout.as_millis())))?
        .encode(job.subject.as_deref().map(stored).as_deref())?
        .encode(job.delivery_id.as_deref().map(stored).as_deref())?
        .encode(id(job.trace_id.bits()))?
        .encode(job.input.as_ref())?
});

/// An event to be.
pub(crate) struct EventRow<'a> {
    op: i32,
    job: Option<Uuid>,
    workspace: &'a WorkspaceId,
    kind: &'static str,
    subject: String,
    trace: Uuid,
    data: String,
}

impl<'a> EventRow<'a> {
    /// An event that is due whatever becomes of jobs.
    pub(crate) fn new(op: i32, workspace: &'a WorkspaceId, event: &NewEvent) -> Result<Self, Failure> {
        Ok(Self {
            op,
            job: None,
            workspace,
            kind: event.kind.as_str(),
            subject: stored(&event.subject).into_owned(),
            trace: id(event.trace_id.bits()),
            data: to_json(&event.data)?,
        })
    }

    /// The event of a job's acceptance: due if the job is new.
    pub(crate) fn queued(op: i32, workspace: &'a WorkspaceId, job: &NewJob) -> Result<Option<Self>, Failure> {
        let Some(event) = job.queued_event() else { return Ok(None) };
        let row = Self::new(op, workspace, &event)?;
        Ok(Some(Self { job: Some(id(job.id.bits())), subject: String::new(), ..row }))
    }
}

row_type!(EventRow, "new_event", |row, to| {
    to.encode(row.op)?
        .encode(row.job)?
        .encode(row.workspace.as_str())?
        .encode(row.kind)?
        .encode(row.subject.as_str())?
        .encode(row.trace)?
        .encode(row.data.as_str())?
});

/// A record of the request log.
pub(crate) struct RequestRow<'a> {
    op: i32,
    workspace: &'a WorkspaceId,
    request: &'a RequestView,
    view: String,
}

impl<'a> RequestRow<'a> {
    pub(crate) fn new(op: i32, workspace: &'a WorkspaceId, request: &'a RequestView) -> Result<Self, Failure> {
        Ok(Self { op, workspace, request, view: to_json(request)? })
    }
}

row_type!(RequestRow, "new_request", |row, to| {
    to.encode(row.op)?
        .encode(row.workspace.as_str())?
        .encode(id(row.request.id.bits()))?
        .encode(stored(&row.request.subject).as_ref())?
        .encode(row.request.started_at.unix_ms())?
        .encode(row.view.as_str())?
});

/// The end of an attempt.
pub(crate) struct EndRow<'a> {
    pub(crate) op: i32,
    pub(crate) workspace: &'a WorkspaceId,
    pub(crate) job: Uuid,
    pub(crate) fence: i64,
    pub(crate) outcome: &'static str,
    pub(crate) run_at: Option<i64>,
    pub(crate) reason: Option<&'a str>,
    pub(crate) error: Option<String>,
    pub(crate) output: Option<&'a [u8]>,
    pub(crate) delivery: Option<Uuid>,
}

row_type!(EndRow, "new_end", |row, to| {
    to.encode(row.op)?
        .encode(row.workspace.as_str())?
        .encode(row.job)?
        .encode(row.fence)?
        .encode(row.outcome)?
        .encode(row.run_at)?
        .encode(row.reason.map(stored).as_deref())?
        .encode(row.error.as_deref())?
        .encode(row.output)?
        .encode(row.delivery)?
});

/// The place of a caller in its batch.
pub(crate) fn op(index: usize) -> i32 {
    i32::try_from(index + 1).unwrap_or(i32::MAX)
}

/// The lane of a job, as it is stored.
fn lane(job: &NewJob) -> String {
    let (delivery, target) = match job.kind {
        JobKind::Call => (false, &job.connector),
        _ => (true, &job.callback),
    };
    stored_lane(delivery, target.as_ref().map_or("", Name::as_str))
}

/// A lane that a claim names, as it is stored.
pub(crate) fn lane_of(key: &LaneKey) -> String {
    stored_lane(key.delivery, key.target.as_str())
}

fn stored_lane(delivery: bool, target: &str) -> String {
    format!("{}:{target}", if delivery { "delivery" } else { "call" })
}
