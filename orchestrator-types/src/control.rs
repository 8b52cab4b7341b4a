//! The control API: workspaces, config versions, bundles.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::access::Role;
use crate::config::WorkspaceConfig;
use crate::names::WorkspaceId;
use crate::problem::FieldError;
use crate::time::Timestamp;

/// `POST /workspaces`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WorkspaceRequest {
    /// `<product>-<environment>`.
    pub name: WorkspaceId,
    /// The template of its first config; the environment's if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
}

/// Whether a workspace is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum WorkspaceStatus {
    /// Served.
    Active,
    /// Refused at the exec API; its webhooks are still taken in.
    Suspended,
    /// Deleted; the name is not given again.
    Deleted,
}

/// A workspace.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WorkspaceView {
    /// Its name.
    pub name: WorkspaceId,
    /// Whether it is served.
    pub status: WorkspaceStatus,
    /// The environment.
    pub environment: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// The active config version.
    pub config_version: u32,
}

/// A body that needs a reason and nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ReasonRequest {
    /// Why: 3 to 500 characters, kept in the audit trail.
    pub reason: String,
}

/// `POST /workspaces/{ws}/configs`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ConfigRequest {
    /// The whole config.
    pub config: WorkspaceConfig,
    /// What changed, and why.
    #[serde(default)]
    pub message: String,
    /// Whether it becomes the active one at once; `true` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activate: Option<bool>,
}

/// A config version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ConfigVersion {
    /// 1, 2, 3, …
    pub version: u32,
    /// SHA-256 of the canonical document, in hex.
    pub hash: String,
    /// Who made it.
    pub author: String,
    /// What changed, and why.
    pub message: String,
    /// When.
    pub created_at: Timestamp,
    /// Whether it is the active one.
    pub active: bool,
    /// The document.
    pub config: WorkspaceConfig,
}

/// A config version without its document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ConfigVersionSummary {
    /// 1, 2, 3, …
    pub version: u32,
    /// SHA-256 of the canonical document, in hex.
    pub hash: String,
    /// Who made it.
    pub author: String,
    /// What changed, and why.
    pub message: String,
    /// When.
    pub created_at: Timestamp,
    /// Whether it is the active one.
    pub active: bool,
}

/// `PUT /workspaces/{ws}/config-pointer`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PointerRequest {
    /// The version to activate.
    pub version: u32,
    /// Why.
    pub reason: String,
}

/// `GET /config`: the product's own documents.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ProductConfig {
    /// The active version.
    pub version: u32,
    /// The documents.
    pub settings: BTreeMap<String, Value>,
}

/// How a part of a config changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum ChangeKind {
    /// It is new.
    Added,
    /// It is gone.
    Removed,
    /// It is another.
    Changed,
}

/// One difference between two configs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Change {
    /// Where: a JSON pointer into the config.
    pub pointer: String,
    /// How.
    pub kind: ChangeKind,
    /// What was there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// What is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
}

/// The differences between two versions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ConfigDiff {
    /// From this version
    pub from: u32,
    /// to this one.
    pub to: u32,
    /// Each difference, in the order of their pointers.
    pub changes: Vec<Change>,
}

/// A workspace as one document: what `GET …/bundle` exports and `PUT …/bundle` imports. Without secrets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Bundle {
    /// The format: 1.
    pub format: u32,
    /// The workspace; equals the path's.
    pub workspace: WorkspaceId,
    /// The config.
    pub config: WorkspaceConfig,
    /// Operators and their roles; left as they are if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operators: Option<Vec<BundleOperator>>,
}

/// An operator in a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BundleOperator {
    /// The subject of their tokens.
    pub sub: String,
    /// Their role.
    pub role: Role,
}

/// The answer to an import.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BundleResult {
    /// The workspace.
    pub workspace: WorkspaceId,
    /// Whether nothing was changed because only the plan was asked for.
    pub dry_run: bool,
    /// Whether the workspace is (or would be) new.
    pub created: bool,
    /// The active config version after it.
    pub version: u32,
    /// What is (or would be) different.
    pub changes: Vec<Change>,
    /// Whose role is (or would be) another.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub operators: Vec<Change>,
    /// What was made another in the bundle itself, because it came from another workspace.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub renamed: Vec<Change>,
    /// What is allowed but likely to hurt.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<FieldError>,
}
