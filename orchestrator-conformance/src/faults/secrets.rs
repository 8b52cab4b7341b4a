//! Secrets, vaults and keys that cannot be had.

use std::sync::Arc;

use async_trait::async_trait;
use orchestrator_core::connector::SecretSource;
use orchestrator_core::secrets::seal::KeyRing;
use orchestrator_core::secrets::{KeySource, KeySourceError, Secret, SecretError, VaultPath, VaultReader, VaultValue};
use orchestrator_core::types::WorkspaceId;

use super::Faults;

/// A source of a secret that fails by a plan, as the method `resolve`.
pub struct FaultySecrets {
    inner: Arc<dyn SecretSource>,
    faults: Faults,
}

impl FaultySecrets {
    /// Puts the faults over a source.
    #[must_use]
    pub fn new(inner: Arc<dyn SecretSource>, faults: Faults) -> Self {
        Self { inner, faults }
    }
}

fn unreachable() -> SecretError {
    SecretError::Unreachable
}

#[async_trait]
impl SecretSource for FaultySecrets {
    async fn resolve(&self) -> Result<Vec<Secret>, SecretError> {
        self.faults.strike("resolve", self.inner.resolve(), unreachable).await
    }
}

/// A vault whose reads fail by a plan, as the method `read`.
pub struct FaultyVault {
    inner: Arc<dyn VaultReader>,
    faults: Faults,
}

impl FaultyVault {
    /// Puts the faults over a vault.
    #[must_use]
    pub fn new(inner: Arc<dyn VaultReader>, faults: Faults) -> Self {
        Self { inner, faults }
    }
}

#[async_trait]
impl VaultReader for FaultyVault {
    async fn read(
        &self,
        workspace: &WorkspaceId,
        path: &VaultPath,
        field: &str,
        version: Option<u64>,
    ) -> Result<VaultValue, SecretError> {
        self.faults.strike("read", self.inner.read(workspace, path, field, version), unreachable).await
    }
}

/// Key files that fail by a plan, as the methods `read_keys` and `renew_keys`. They answer at once or not: of a reading only
/// that it fails before or after it was done can be had here, and any other fault is the latter.
pub struct FaultyKeys<S> {
    inner: S,
    faults: Faults,
}

impl<S: KeySource> FaultyKeys<S> {
    /// Puts the faults over a source of keys.
    pub fn new(inner: S, faults: Faults) -> Self {
        Self { inner, faults }
    }

    fn strike(
        &self,
        method: &'static str,
        read: impl FnOnce(&S) -> Result<KeyRing, KeySourceError>,
    ) -> Result<KeyRing, KeySourceError> {
        let failed = || KeySourceError("a fault was injected".to_owned());
        match self.faults.sync(method) {
            None => read(&self.inner),
            Some(false) => Err(failed()),
            Some(true) => read(&self.inner).and_then(|_| Err(failed())),
        }
    }
}

impl<S: KeySource> KeySource for FaultyKeys<S> {
    fn read(&self) -> Result<KeyRing, KeySourceError> {
        self.strike("read_keys", S::read)
    }

    fn renew(&self) -> Result<KeyRing, KeySourceError> {
        self.strike("renew_keys", S::renew)
    }
}
