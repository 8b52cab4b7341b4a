//! Errors on the wire: problem details (RFC 9457).

use serde::{Deserialize, Serialize};

use crate::execute::UpstreamView;

/// What was wrong with one field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FieldError {
    /// Where: a JSON pointer (RFC 6901) into the body.
    pub pointer: String,
    /// What to change.
    pub detail: String,
}

impl FieldError {
    /// A problem at `pointer`.
    pub fn new(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), detail: detail.into() }
    }
}

/// The body of every error answer (`application/problem+json`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Problem {
    /// A URI that names the kind of problem.
    #[serde(rename = "type")]
    pub kind: String,
    /// A short sentence, the same for each problem of this kind.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What happened here, and what to change.
    pub detail: String,
    /// Stable: what clients switch on.
    pub code: String,
    /// The trace of the request.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub trace_id: Option<String>,
    /// Every field that was wrong, at once.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub errors: Vec<FieldError>,
    /// The execution that failed, where one was recorded.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub id: Option<String>,
    /// What the upstream answered last, where it did.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub upstream: Option<UpstreamView>,
    /// How many attempts were made, where any was.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub attempts: Option<u32>,
    /// The last step known of a request whose outcome is not.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_step: Option<String>,
}
