//! Dead letters: list, replay, purge.

use serde::{Deserialize, Serialize};

use crate::execute::ErrorView;
use crate::ids::JobId;
use crate::names::Name;
use crate::time::Timestamp;
use crate::trace::TraceId;

/// A job or delivery that was given up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DeadLetter {
    /// The job.
    pub id: JobId,
    /// `job`, `webhook` or `callback`.
    pub kind: String,
    /// The connector's name, of a job.
    pub connector: Option<Name>,
    /// The callback's name, of a delivery.
    pub callback: Option<Name>,
    /// The operation.
    pub operation: String,
    /// What it delivers or who caused it: the id of a job or inbox entry.
    pub subject: Option<String>,
    /// How many attempts were made.
    pub attempts: u32,
    /// Why it was given up: `exhausted`, `rejected`, `poison`, `invalid`, …
    pub reason: String,
    /// The last error.
    pub error: Option<ErrorView>,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// When it died.
    pub died_at: Timestamp,
    /// The trace.
    pub trace_id: TraceId,
}

/// Which dead letters. Empty means all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DlqFilter {
    /// Of this connector.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connector: Option<Name>,
    /// Of this callback.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub callback: Option<Name>,
    /// Dead before this time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub died_before: Option<Timestamp>,
    /// Dead after this time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub died_after: Option<Timestamp>,
}

/// `POST …/dlq/replay` and `…/purge`: either ids or a filter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DlqRequest {
    /// Just these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ids: Option<Vec<JobId>>,
    /// All that match, at most 10,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<DlqFilter>,
    /// Why: 3 to 500 characters, kept in the audit trail.
    #[serde(default)]
    pub reason: String,
}

/// One that was not moved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DlqSkipped {
    /// The job.
    pub id: JobId,
    /// Why not: `not_found`, `not_dead`.
    pub reason: String,
}

/// What was replayed or purged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DlqResult {
    /// How many were moved.
    pub count: usize,
    /// Which.
    pub ids: Vec<JobId>,
    /// Which were not, and why.
    pub skipped: Vec<DlqSkipped>,
}
