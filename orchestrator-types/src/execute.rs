//! `/execute`, executions and the request log.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::ids::{ExecutionId, RequestId};
use crate::names::{Name, WorkspaceId};
use crate::time::Timestamp;
use crate::trace::TraceId;

/// `POST /execute`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ExecuteRequest {
    /// The connector's name.
    pub connector: Name,
    /// The operation of its kind.
    pub operation: String,
    /// The operation's input, checked against its schema before anything is sent.
    #[serde(default)]
    pub input: Value,
    /// Shortens the policy's total deadline; never lengthens it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
}

/// The answer of a call that succeeded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ExecuteResponse {
    /// The execution.
    pub id: ExecutionId,
    /// Always `succeeded`: a failure is a problem document.
    pub status: String,
    /// What the operation answered.
    pub output: Value,
    /// How many attempts it took.
    pub attempts: u32,
    /// How long it took, waits included.
    pub duration_ms: u64,
    /// Whether the call failed, and `output` is the policy's fallback.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub fallback: bool,
    /// The trace.
    pub trace_id: TraceId,
}

/// What an upstream answered, cut and redacted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UpstreamView {
    /// Its status.
    pub status: u16,
    /// Its body: JSON if it was, else text.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub body: Value,
}

/// Why a call, job or delivery failed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ErrorView {
    /// Stable: the same codes as in problem documents.
    pub code: String,
    /// A sentence.
    pub detail: String,
    /// What the upstream answered last, where it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<UpstreamView>,
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[non_exhaustive]
pub enum AttemptOutcome {
    /// The upstream did what was asked.
    Succeeded,
    /// A final answer that must not be retried.
    Rejected,
    /// A failure that may pass.
    Failed,
    /// No answer within the attempt's or the call's deadline.
    Timeout,
    /// The upstream was not reached.
    Unreachable,
    /// The breaker was open: nothing was sent.
    BreakerOpen,
    /// The caller went away.
    Cancelled,
}

/// One attempt of a call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AttemptRecord {
    /// 1 for the first.
    pub number: u32,
    /// When it began, in milliseconds after the call did.
    pub start_ms: u64,
    /// How long was waited before it.
    pub wait_ms: u64,
    /// Why: `backoff`, `retry_after`; `hedge` for one that was sent beside the one before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_reason: Option<String>,
    /// How it ended.
    pub outcome: AttemptOutcome,
    /// The upstream's status, where it answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// How long it took.
    pub duration_ms: u64,
}

/// What a policy decided about a call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Decision {
    /// The policy: `deadline`, `rate_limit`, `concurrency`, `retry`, `hedge`, `breaker`, `timeout`, `fallback`.
    pub policy: String,
    /// What it decided: `admitted`, `waited`, `rejected`, `retried`, `gave_up`, `opened`, …
    pub decision: String,
    /// When, in milliseconds after the call began.
    pub at_ms: u64,
    /// How long it had made the call wait until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_ms: Option<u64>,
    /// In words, with the numbers it decided on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// A stretch of a call's time: a limit that it passed, a wait, or an attempt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Stage {
    /// `rate_limit`, `concurrency`, `wait`, `attempt`, `hedge`, and what ended the call: `retry`, `deadline`, `fallback`.
    pub stage: String,
    /// The attempt that it is, or that it comes before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// When it began, in milliseconds after the call did.
    pub start_ms: u64,
    /// How long it took.
    pub duration_ms: u64,
    /// How it ended: what the policy decided, why it was waited, or the attempt's outcome.
    pub outcome: String,
    /// The upstream's status, where it answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// In words; of an attempt, what the breaker was like when it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// What a request-log record is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[non_exhaustive]
pub enum RequestKind {
    /// A synchronous call.
    Execute,
    /// An attempt of a job.
    Job,
    /// A delivery to the product.
    Callback,
}

/// A record of the request log: one call through a connector or to a callback.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RequestView {
    /// The record.
    pub id: RequestId,
    /// What it is about.
    pub kind: RequestKind,
    /// The execution or job.
    pub subject: String,
    /// The connector's or callback's name.
    pub target: Name,
    /// The operation.
    pub operation: String,
    /// `succeeded` or `failed`.
    pub status: String,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorView>,
    /// How many attempts were made.
    pub attempts: u32,
    /// How long it took.
    pub duration_ms: u64,
    /// When it began.
    pub started_at: Timestamp,
    /// The config version that it ran under.
    pub config_version: u32,
    /// The trace.
    pub trace_id: TraceId,
    /// Each attempt.
    pub attempts_log: Vec<AttemptRecord>,
    /// What each policy decided.
    pub decisions: Vec<Decision>,
}

/// `GET /executions/{id}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ExecutionView {
    /// The execution.
    pub id: ExecutionId,
    /// The workspace.
    pub workspace: WorkspaceId,
    /// `succeeded` or `failed`.
    pub status: String,
    /// The connector's name.
    pub connector: Name,
    /// The operation.
    pub operation: String,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorView>,
    /// How many attempts were made.
    pub attempts: u32,
    /// How long it took, waits included.
    pub duration_ms: u64,
    /// When it began.
    pub started_at: Timestamp,
    /// The config version that it ran under.
    pub config_version: u32,
    /// The trace.
    pub trace_id: TraceId,
    /// Each attempt: its start, the wait before it and why, its outcome, status and duration.
    pub attempts_log: Vec<AttemptRecord>,
    /// What each policy decided.
    pub decisions: Vec<Decision>,
    /// Where the time went, stage by stage.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waterfall: Vec<Stage>,
}
