//! How versions and pointers are stored.

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use data_encoding::HEXLOWER;
use orchestrator_types::{ConfigVersion, ConfigVersionSummary, Timestamp, WorkspaceConfig};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::store::{Route, RouteKey, StoreError};

/// The key of the one pointer record.
pub(crate) const POINTER: &str = "active";

/// A stored version.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct StoredVersion {
    pub(crate) version: u32,
    pub(crate) hash: String,
    pub(crate) author: String,
    pub(crate) message: String,
    pub(crate) created_at: Timestamp,
    pub(crate) config: WorkspaceConfig,
}

impl StoredVersion {
    pub(crate) fn view(self, active: u32) -> ConfigVersion {
        ConfigVersion {
            version: self.version,
            hash: self.hash,
            author: self.author,
            message: self.message,
            created_at: self.created_at,
            active: self.version == active,
            config: self.config,
        }
    }

    pub(crate) fn summary(self, active: u32) -> ConfigVersionSummary {
        ConfigVersionSummary {
            version: self.version,
            hash: self.hash,
            author: self.author,
            message: self.message,
            created_at: self.created_at,
            active: self.version == active,
        }
    }
}

/// Which version is active.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct StoredPointer {
    /// The active version.
    pub(crate) version: u32,
    /// The one that was active before it.
    pub(crate) previous: Option<u32>,
    /// The newest that was made.
    pub(crate) newest: u32,
    /// Grows with each activation: with the version it is the `ETag`.
    pub(crate) activation: u64,
}

impl StoredPointer {
    /// The first pointer of a workspace.
    pub(crate) fn first() -> Self {
        Self { version: 1, previous: None, newest: 1, activation: 1 }
    }

    /// The `ETag` of the active config.
    pub(crate) fn etag(&self) -> String {
        format!("\"{}-{}\"", self.version, self.activation)
    }

    /// Makes a version the active one.
    pub(crate) fn activate(&mut self, version: u32) {
        if version != self.version {
            self.previous = Some(self.version);
        }
        self.version = version;
        self.activation += 1;
    }
}

/// Versions are listed in the order of their numbers.
pub(crate) fn version_key(version: u32) -> String {
    format!("{version:010}")
}

/// SHA-256 of the canonical document: maps are sorted, defaults are written out.
pub(crate) fn content_hash(config: &WorkspaceConfig) -> Result<String, StoreError> {
    Ok(HEXLOWER.encode(digest(&SHA256, &encode(config)?).as_ref()))
}

/// The stored form of a document.
pub(crate) fn encode(document: &impl Serialize) -> Result<Bytes, StoreError> {
    serde_json::to_vec(document).map(Bytes::from).map_err(|error| StoreError::Refused(error.to_string()))
}

/// The document of a stored form.
pub(crate) fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(body).map_err(|error| StoreError::Corrupt(error.to_string()))
}

/// The routes that a config claims.
pub(crate) fn routes_of(config: &WorkspaceConfig) -> Vec<Route> {
    config
        .webhook_routes
        .iter()
        .map(|(name, route)| Route {
            name: name.clone(),
            provider: route.provider.clone(),
            key: match (&route.account, &route.route_key) {
                (Some(account), _) => RouteKey::Account(account.clone()),
                (None, Some(key)) => RouteKey::Key(key.clone()),
                (None, None) => RouteKey::Default,
            },
        })
        .collect()
}
