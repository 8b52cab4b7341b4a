//! The audit trail.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::ids::AuditId;
use crate::names::WorkspaceId;
use crate::time::Timestamp;

/// Who did what, when, through whom and why. Chained: each record carries the hash of the one before it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AuditRecord {
    /// The record.
    pub id: AuditId,
    /// Its number in its chain: 1, 2, 3, … without a gap.
    pub number: u64,
    /// The workspace; absent in the install's own chain.
    pub workspace: Option<WorkspaceId>,
    /// Who: the subject of the token.
    pub actor: String,
    /// Through whom, where somebody acted for them.
    pub via: Option<String>,
    /// What: `config.activate`, `dlq.replay`, `secret.write`, …
    pub action: String,
    /// To what.
    pub target: String,
    /// Why.
    pub reason: Option<String>,
    /// What was there before.
    pub before: Option<Value>,
    /// What is there after.
    pub after: Option<Value>,
    /// When.
    pub time: Timestamp,
    /// The trace of the request.
    pub trace_id: String,
    /// The hash of the record before it, in hex; of the first, 64 zeros.
    pub previous_hash: String,
    /// SHA-256 over the record and the hash before it, in hex.
    pub hash: String,
}

/// The answer to a verification of the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AuditVerification {
    /// Whether the chain is whole.
    pub intact: bool,
    /// How many records it has.
    pub records: u64,
    /// The hash of the last: compare it with what was logged or shipped, to see that the tail was not cut.
    pub head: String,
    /// The number of the first record that does not fit.
    pub broken_at: Option<u64>,
}
