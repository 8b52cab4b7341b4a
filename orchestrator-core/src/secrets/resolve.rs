//! Resolves secret references: environment, files, the encrypted store, a vault.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use orchestrator_types::{Environment, Name, SecretRef, WorkspaceId};

use super::cache::{Answer, SecretCache};
use super::vault::VaultSecrets;
use super::{EnvSecrets, FileSecrets, InstallKeys, Secret, SecretError, check_env, check_file, stored};
use crate::clock::Clock;
use crate::connector::SecretSource;
use crate::store::Store;

/// A resolved secret is kept so long before its source is asked again.
const FRESH: Duration = Duration::from_secs(5);
/// The same for a source that is a network away.
const FRESH_FROM_VAULT: Duration = Duration::from_secs(30);

/// Where secrets come from.
pub(crate) struct SecretResolver {
    pub(super) environment: Environment,
    pub(super) store: Arc<dyn Store>,
    pub(super) keys: Option<Arc<InstallKeys>>,
    pub(super) clock: Arc<dyn Clock>,
    env: EnvSecrets,
    files: Option<FileSecrets>,
    vault: Option<VaultSecrets>,
    cache: SecretCache,
}

/// Where secrets come from besides the store.
pub(crate) struct SecretOrigins {
    pub(crate) env: EnvSecrets,
    pub(crate) files: Option<FileSecrets>,
    pub(crate) vault: Option<VaultSecrets>,
}

impl SecretResolver {
    pub(crate) fn new(
        environment: Environment,
        store: Arc<dyn Store>,
        keys: Option<Arc<InstallKeys>>,
        clock: Arc<dyn Clock>,
        sources: SecretOrigins,
    ) -> Self {
        let SecretOrigins { env, files, vault } = sources;
        Self { environment, store, keys, clock, env, files, vault, cache: SecretCache::new() }
    }

    /// What is wrong with a reference, in a sentence.
    pub(crate) fn check(&self, workspace: &WorkspaceId, reference: &SecretRef) -> Result<(), String> {
        match reference {
            SecretRef::Env { key } => check_env(workspace, key),
            SecretRef::File { path } if self.files.is_some() => check_file(workspace, path),
            SecretRef::File { .. } => Err("this install reads no secret files: set `secrets.dir`".to_owned()),
            SecretRef::Stored { .. } if self.keys.is_some() => Ok(()),
            SecretRef::Stored { .. } => Err("this install has no key to open stored secrets with".to_owned()),
            SecretRef::Vault { path, field, version } => match &self.vault {
                Some(_) if *version == Some(0) => Err("the versions of a vault's secret are 1, 2, 3, …".to_owned()),
                Some(vault) => vault.check(workspace, path, field),
                None => Err("this install has no vault: set `secrets.vault_url`".to_owned()),
            },
            _ => Err("this install knows no such source of secrets".to_owned()),
        }
    }

    /// Every version that is accepted now, the newest first. Never empty.
    pub(crate) async fn resolve(&self, workspace: &WorkspaceId, reference: &SecretRef) -> Answer {
        let fresh = match reference {
            SecretRef::Vault { .. } => FRESH_FROM_VAULT,
            _ => FRESH,
        };
        let key = (workspace.clone(), reference.clone());
        self.cache.get(&key, fresh, || self.read(workspace, reference)).await
    }

    /// The same, asking the source anew.
    pub(crate) async fn read(&self, workspace: &WorkspaceId, reference: &SecretRef) -> Answer {
        match reference {
            SecretRef::Env { key } => Ok(Arc::new([self.env.resolve(workspace, key).await?])),
            SecretRef::File { path } => match &self.files {
                Some(files) => Ok(Arc::new([files.resolve(workspace, path).await?])),
                None => Err(SecretError::Unreachable),
            },
            SecretRef::Stored { name } => stored::open(self, workspace, name).await.map(Into::into),
            SecretRef::Vault { path, field, version } => match &self.vault {
                Some(vault) => {
                    let at = (path.as_str(), field.as_str(), *version);
                    vault.resolve(workspace, at, self.clock.as_ref()).await.map(Into::into)
                }
                None => Err(SecretError::Unreachable),
            },
            _ => Err(SecretError::Unreachable),
        }
    }

    /// Forgets what was read of a stored secret, so that the next call sees the new one.
    pub(crate) fn forget(&self, workspace: &WorkspaceId, name: &Name) {
        self.cache.forget(&(workspace.clone(), SecretRef::Stored { name: name.clone() }));
    }

    /// Forgets what nobody uses any more.
    pub(crate) fn purge(&self) {
        self.cache.purge();
    }
}

/// A reference of one workspace, as connectors see it.
pub(crate) struct Reference {
    pub(crate) resolver: Arc<SecretResolver>,
    pub(crate) workspace: WorkspaceId,
    pub(crate) reference: SecretRef,
}

#[async_trait]
impl SecretSource for Reference {
    async fn resolve(&self) -> Result<Vec<Secret>, SecretError> {
        self.resolver.resolve(&self.workspace, &self.reference).await.map(|secrets| secrets.to_vec())
    }
}
