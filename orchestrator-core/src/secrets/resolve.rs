//! Resolves secret references: environment, files, the encrypted store.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use orchestrator_types::{Environment, Name, SecretRef, WorkspaceId};
use quick_cache::sync::Cache;
use tokio::time::Instant;

use super::{EnvSecrets, FileSecrets, Secret, SecretError, check_env, check_file, stored};
use crate::clock::Clock;
use crate::connector::SecretSource;
use crate::secrets::seal::KeyRing;
use crate::store::Store;

/// A resolved secret is kept so long before its source is asked again.
const FRESH: Duration = Duration::from_secs(5);
const CACHED: usize = 16_384;

type Resolved = (Arc<[Secret]>, Instant);

/// Where secrets come from.
pub(crate) struct SecretResolver {
    pub(super) environment: Environment,
    pub(super) store: Arc<dyn Store>,
    pub(super) ring: Option<Arc<KeyRing>>,
    pub(super) clock: Arc<dyn Clock>,
    env: EnvSecrets,
    files: Option<FileSecrets>,
    cache: Cache<(WorkspaceId, SecretRef), Resolved>,
}

impl SecretResolver {
    pub(crate) fn new(
        environment: Environment,
        store: Arc<dyn Store>,
        ring: Option<Arc<KeyRing>>,
        clock: Arc<dyn Clock>,
        env: EnvSecrets,
        files: Option<FileSecrets>,
    ) -> Self {
        Self { environment, store, ring, clock, env, files, cache: Cache::new(CACHED) }
    }

    /// What is wrong with a reference, in a sentence.
    pub(crate) fn check(&self, workspace: &WorkspaceId, reference: &SecretRef) -> Result<(), String> {
        match reference {
            SecretRef::Env { key } => check_env(workspace, key),
            SecretRef::File { path } if self.files.is_some() => check_file(workspace, path),
            SecretRef::File { .. } => Err("this install reads no secret files: set `secrets.dir`".to_owned()),
            SecretRef::Stored { .. } if self.ring.is_some() => Ok(()),
            SecretRef::Stored { .. } => Err("this install has no key to open stored secrets with".to_owned()),
            _ => Err("this install knows no such source of secrets".to_owned()),
        }
    }

    /// Every version that is accepted now, the newest first. Never empty.
    pub(crate) async fn resolve(
        &self,
        workspace: &WorkspaceId,
        reference: &SecretRef,
    ) -> Result<Arc<[Secret]>, SecretError> {
        let key = (workspace.clone(), reference.clone());
        if let Some((secrets, read_at)) = self.cache.get(&key)
            && read_at.elapsed() < FRESH
        {
            return Ok(secrets);
        }
        let secrets = self.read(workspace, reference).await?;
        self.cache.insert(key, (secrets.clone(), Instant::now()));
        Ok(secrets)
    }

    /// The same, asking the source anew.
    pub(crate) async fn read(
        &self,
        workspace: &WorkspaceId,
        reference: &SecretRef,
    ) -> Result<Arc<[Secret]>, SecretError> {
        match reference {
            SecretRef::Env { key } => Ok(Arc::new([self.env.resolve(workspace, key).await?])),
            SecretRef::File { path } => match &self.files {
                Some(files) => Ok(Arc::new([files.resolve(workspace, path).await?])),
                None => Err(SecretError::Unreachable),
            },
            SecretRef::Stored { name } => stored::open(self, workspace, name).await.map(Into::into),
            _ => Err(SecretError::Unreachable),
        }
    }

    /// Forgets what was read of a stored secret, so that the next call sees the new one.
    pub(crate) fn forget(&self, workspace: &WorkspaceId, name: &Name) {
        self.cache.remove(&(workspace.clone(), SecretRef::Stored { name: name.clone() }));
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
