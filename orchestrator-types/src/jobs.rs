//! `/jobs`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::execute::ErrorView;
use crate::ids::JobId;
use crate::names::Name;
use crate::time::Timestamp;
use crate::trace::TraceId;

/// `POST /jobs`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JobRequest {
    /// The connector's name.
    pub connector: Name,
    /// The operation of its kind.
    pub operation: String,
    /// The operation's input.
    #[serde(default)]
    pub input: Value,
    /// Shortens the policy's total deadline of each attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// Not before this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_at: Option<Timestamp>,
    /// Not before so many milliseconds from now. Not together with `run_at`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay_ms: Option<u64>,
    /// 0 to 9, higher first; 5 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<u8>,
    /// The callback that the outcome is delivered to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub callback: Option<Name>,
    /// Jobs of one key run one at a time, in order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ordering_key: Option<String>,
    /// Overrides the policy's number of attempts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_attempts: Option<u32>,
    /// Handed to the callback.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
}

/// `POST /jobs/batch`: all or none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JobBatchRequest {
    /// Up to 1,000 jobs.
    pub jobs: Vec<JobRequest>,
}

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum JobStatus {
    /// May run now.
    Queued,
    /// Waits for its time.
    Scheduled,
    /// Runs.
    Running,
    /// Failed, and waits for its next attempt.
    Retrying,
    /// Done.
    Succeeded,
    /// Given up: in the dead-letter queue.
    Dead,
    /// Cancelled before it ended.
    Cancelled,
}

impl JobStatus {
    /// Whether it will not change by itself any more.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Succeeded | Self::Dead | Self::Cancelled)
    }

    /// As it is spelled on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Scheduled => "scheduled",
            Self::Running => "running",
            Self::Retrying => "retrying",
            Self::Succeeded => "succeeded",
            Self::Dead => "dead",
            Self::Cancelled => "cancelled",
        }
    }
}

/// A job that is durable.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JobAccepted {
    /// The job.
    pub id: JobId,
    /// `queued` or `scheduled`.
    pub status: JobStatus,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// The trace.
    pub trace_id: TraceId,
}

/// A batch that is durable.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JobBatchAccepted {
    /// The jobs, in the order of the request.
    pub jobs: Vec<JobAccepted>,
    /// The trace of the request.
    pub trace_id: TraceId,
}

/// How the delivery of an outcome stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CallbackView {
    /// The callback.
    pub name: Name,
    /// `waiting`, `pending`, `delivered` or `dead`.
    pub status: String,
    /// How many deliveries were tried.
    pub attempts: u32,
}

/// `GET /jobs/{id}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JobView {
    /// The job.
    pub id: JobId,
    /// Where it stands.
    pub status: JobStatus,
    /// The connector's name; `null` for the delivery of a webhook.
    pub connector: Option<Name>,
    /// The operation.
    pub operation: String,
    /// How many attempts have begun.
    pub attempt: u32,
    /// How many may.
    pub max_attempts: u32,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// When it may run, or may run again.
    pub run_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// What the operation answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Value>,
    /// Why the last attempt failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorView>,
    /// The delivery of the outcome.
    pub callback: Option<CallbackView>,
    /// The trace.
    pub trace_id: TraceId,
    /// As given.
    pub metadata: BTreeMap<String, String>,
}
