//! Secrets without their values, and the keys that seal the stored ones.

use serde::{Deserialize, Serialize};

use crate::names::Name;
use crate::time::Timestamp;

/// `PUT /workspaces/{ws}/secrets/{name}`.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SecretRequest {
    /// The secret. Written once, never read back.
    pub value: String,
}

/// `POST /workspaces/{ws}/secrets/{name}/rotate`.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RotateSecretRequest {
    /// The secret. Written once, never read back.
    pub value: String,
    /// How long the version before is accepted beside the new one; a day if absent, 30 days at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overlap_s: Option<u64>,
}

impl std::fmt::Debug for RotateSecretRequest {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("RotateSecretRequest").field("overlap_s", &self.overlap_s).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for SecretRequest {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("SecretRequest([redacted])")
    }
}

/// Whether a secret can be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum SecretHealth {
    /// It resolves.
    Ok,
    /// Nothing is there.
    Missing,
    /// Its source does not answer, or does not open.
    Unreachable,
}

/// Where a version of a stored secret stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum SecretVersionState {
    /// The newest.
    Active,
    /// Accepted beside the newest until its time ends.
    Retiring,
    /// Not accepted any more; its value is gone.
    Retired,
}

/// A version of a stored secret, without its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SecretVersionView {
    /// Its number.
    pub version: u32,
    /// Where it stands.
    pub state: SecretVersionState,
    /// When it was written.
    pub created_at: Timestamp,
    /// Until when it is or was accepted; absent for the newest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

/// A stored secret, without its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SecretView {
    /// Its name.
    pub name: Name,
    /// The newest version.
    pub version: u32,
    /// The versions that are accepted.
    pub active_versions: Vec<u32>,
    /// Its versions, the newest first; of those that are retired, the last few.
    #[serde(default)]
    pub versions: Vec<SecretVersionView>,
    /// When the newest was written.
    pub updated_at: Timestamp,
}

/// How a secret reference stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SecretStatus {
    /// The reference, or the stored secret that none points to.
    pub name: Name,
    /// `env`, `file`, `stored` or `vault`.
    pub source: String,
    /// Whether it can be had.
    pub health: SecretHealth,
    /// The newest version, where there are versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    /// The versions of a stored secret, the newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub versions: Vec<SecretVersionView>,
    /// When that was found out.
    pub checked_at: Timestamp,
}

/// `POST /secrets/rotate-kek`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RotateKekRequest {
    /// Why: 3 to 500 characters, kept in the audit trail.
    pub reason: String,
    /// Whether the server draws a new key and writes it into its key file. Without it the key that stands first in the
    /// key file, which is read anew, becomes the sealing one: the way for an install of several nodes.
    #[serde(default)]
    pub generate: bool,
}

/// What a key of the install is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum InstallKeyState {
    /// It seals, and opens.
    Sealing,
    /// It opens what it sealed once.
    Opening,
    /// Something is sealed by it, and this node does not have it.
    Missing,
}

/// A key of the install, by its name, which tells nothing of the key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct InstallKeyView {
    /// Its name: a short hash.
    pub id: String,
    /// What it is good for.
    pub state: InstallKeyState,
    /// How many workspaces' data keys it wraps.
    pub data_keys: u64,
    /// How many values of the install itself it seals.
    pub install_secrets: u64,
}

/// Where a rotation of the install's key stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum KeyRotationStatus {
    /// Every node is being asked whether it has the new key; nothing is sealed by it yet.
    Announced,
    /// What other keys sealed is being sealed by the new one.
    Running,
    /// Nothing is left that another key sealed.
    Done,
    /// A node lacks the new key, or something could not be opened: that is left as it was. Asking again tries again.
    Failed,
}

/// A rotation of the install's key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct KeyRotationView {
    /// The key that everything is to be sealed by.
    pub key: String,
    /// Where it stands.
    pub status: KeyRotationStatus,
    /// When it was asked for.
    pub started_at: Timestamp,
    /// When that was last known.
    pub updated_at: Timestamp,
    /// How much was looked at.
    pub seen: u64,
    /// How much was sealed again.
    pub resealed: u64,
    /// How much could not be opened.
    pub failed: u64,
    /// Why it failed, in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// `GET /secrets/keys`: which key of the install seals how much.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct InstallKeysView {
    /// The keys that this node has, and those that it lacks; the sealing one first.
    pub keys: Vec<InstallKeyView>,
    /// The last rotation, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation: Option<KeyRotationView>,
}
