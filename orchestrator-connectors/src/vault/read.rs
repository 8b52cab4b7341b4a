//! Reading a secret.

use async_trait::async_trait;
use orchestrator_core::secrets::{Secret, SecretError, VaultPath, VaultReader, VaultValue};
use orchestrator_types::{Timestamp, WorkspaceId};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::Vault;
use super::api::VaultError;

/// What the second key-value engine answers under `data`.
#[derive(Deserialize)]
struct Kv {
    /// `null` of a version that was deleted.
    data: Option<Map<String, Value>>,
    metadata: Metadata,
}

#[derive(Deserialize)]
struct Metadata {
    version: u64,
    #[serde(default)]
    created_time: Value,
}

#[async_trait]
impl VaultReader for Vault {
    async fn read(
        &self,
        workspace: &WorkspaceId,
        path: &VaultPath,
        field: &str,
        version: Option<u64>,
    ) -> Result<VaultValue, SecretError> {
        let Ok(_turn) = self.0.reads.acquire().await else { return Err(SecretError::Unreachable) };
        match self.value(path, field, version).await {
            Ok(value) => Ok(value),
            Err(VaultError::Missing) => Err(SecretError::Missing),
            Err(error) => {
                tracing::debug!(%workspace, cause = error.cause(), "a secret of the vault cannot be read");
                Err(SecretError::Unreachable)
            }
        }
    }
}

impl Vault {
    async fn value(&self, path: &VaultPath, field: &str, version: Option<u64>) -> Result<VaultValue, VaultError> {
        let kv = self.kv(path, version).await?;
        let created_at = serde_json::from_value::<Timestamp>(kv.metadata.created_time).ok();
        match kv.data.and_then(|mut fields| fields.remove(field)) {
            None => Err(VaultError::Missing),
            Some(Value::String(text)) if text.is_empty() => Err(VaultError::Missing),
            Some(Value::String(text)) => {
                Ok(VaultValue { secret: Secret::new(text), version: kv.metadata.version, created_at })
            }
            Some(_) => Err(VaultError::Content),
        }
    }

    /// Reads, and once more if the session turns out to have been revoked.
    async fn kv(&self, path: &VaultPath, version: Option<u64>) -> Result<Kv, VaultError> {
        let sessions = &self.0.sessions;
        let session = sessions.session().await?;
        let mut read = sessions.api.read::<Kv>(path.as_str(), version, &session.token).await;
        if matches!(read, Err(VaultError::Refused)) && sessions.was_revoked(&session).await? {
            let session = sessions.session().await?;
            read = sessions.api.read(path.as_str(), version, &session.token).await;
        }
        sessions.note(read.as_ref().err().copied()).await;
        read
    }
}
