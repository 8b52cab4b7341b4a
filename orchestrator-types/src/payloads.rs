//! Bodies that are stored apart, and how documents refer to them.

use serde::{Deserialize, Serialize};

use crate::ids::PayloadId;
use crate::time::Timestamp;

/// Refers to a stored body. In a document it stands as `{"payload_ref": {…}}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PayloadRef {
    /// The payload: `GET /payloads/{id}` reads it.
    pub id: PayloadId,
    /// Its bytes.
    pub size: u64,
    /// The SHA-256 of its bytes, in hex.
    pub sha256: String,
    /// What it is.
    pub content_type: String,
}

/// Where a body would stand: a reference to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PayloadOut {
    /// The reference.
    pub payload_ref: PayloadRef,
}

/// The answer of `POST /payloads`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PayloadUploaded {
    /// To be named by an input.
    pub payload_ref: PayloadRef,
    /// When it goes, if no job names it by then.
    pub expires_at: Timestamp,
}
