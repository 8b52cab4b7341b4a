//! Connectors: the kinds that a server has, and how a connector of a workspace stands.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::execute::ErrorView;
use crate::names::Name;
use crate::time::Timestamp;
use crate::trace::TraceId;

/// A connector kind that this server has.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ConnectorKindView {
    /// Its name.
    pub kind: Name,
    /// What it is for.
    pub description: String,
    /// JSON Schema of its settings.
    pub settings_schema: Value,
    /// The slots that secrets fill.
    pub secret_slots: Vec<Name>,
    /// Its operations.
    pub operations: Vec<OperationView>,
}

/// An operation of a connector kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OperationView {
    /// Its name.
    pub name: String,
    /// What it does.
    pub description: String,
    /// Whether it may be made twice.
    #[serde(default)]
    pub idempotency: Idempotency,
    /// JSON Schema of its input.
    pub input_schema: Value,
    /// JSON Schema of its output.
    pub output_schema: Value,
}

/// Whether making a call of an operation twice is as good as once: only then is a call repeated that the upstream may
/// have seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[non_exhaustive]
pub enum Idempotency {
    /// It is, by what the operation does.
    Always,
    /// It is: each call carries a key upstream, under which it is done once.
    ByKey,
    /// It depends on the input or on the connector's settings.
    #[default]
    Depends,
    /// It is not.
    Never,
}

/// How a connector stands, found out by asking its upstream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ConnectorCheck {
    /// The connector.
    pub connector: Name,
    /// Its kind.
    pub kind: Name,
    /// How it stands.
    pub health: ConnectorHealth,
    /// Why it would not serve a call, if it would not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorView>,
    /// How long asking took.
    pub duration_ms: u64,
    /// When it was asked.
    pub checked_at: Timestamp,
    /// The trace that went out with the question.
    pub trace_id: TraceId,
}

/// Whether a connector would serve a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[non_exhaustive]
pub enum ConnectorHealth {
    /// Its upstream was reached with the credentials of a call, and is well.
    Ok,
    /// It was not, or is not.
    Failed,
    /// The kind, or the connector's settings, give no way to ask.
    NotSupported,
}
