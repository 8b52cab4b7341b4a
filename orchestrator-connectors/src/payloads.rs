//! Payloads in inputs and outputs, as documents.

use orchestrator_core::types::{PayloadId, PayloadRef};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Names a payload of the workspace, as `{"id": "pay_…"}`. The rest of a reference may stand beside the id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[schemars(rename = "PayloadName")]
pub(crate) struct PayloadName {
    /// Its id.
    #[schemars(with = "String", regex(pattern = "^pay_[0-7][0-9a-hjkmnp-tv-z]{25}$"))]
    pub(crate) id: PayloadId,
}

/// Refers to a payload: `GET /payloads/{id}` reads it.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "PayloadReference")]
pub(crate) struct PayloadReference {
    /// The payload.
    #[schemars(with = "String")]
    id: PayloadId,
    /// Its bytes.
    size: u64,
    /// The SHA-256 of its bytes, in hex.
    sha256: String,
    /// What it is.
    content_type: String,
}

impl From<PayloadRef> for PayloadReference {
    fn from(PayloadRef { id, size, sha256, content_type }: PayloadRef) -> Self {
        Self { id, size, sha256, content_type }
    }
}
