//! Stored secrets: sealed under the workspace's data key, with versions, so that an old and a new one overlap while a
//! secret is rotated.

use std::time::Duration;

use bytes::Bytes;
use orchestrator_types::{Name, Timestamp, WorkspaceId};
use serde::{Deserialize, Serialize};

use super::resolve::SecretResolver;
use super::seal::{DataKey, SealContext, SealError, Sealed, WrappedKey};
use super::{Secret, SecretError};
use crate::store::{CommitError, ControlChange, Expect, Owner, RecordKind, RecordWrite, StoreError};

/// How long the version before is accepted after a rotation.
pub(crate) const OVERLAP: Duration = Duration::from_secs(24 * 60 * 60);
const DATA_KEY: &str = "active";

/// The record of a stored secret.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct StoredSecret {
    /// The newest first.
    pub(crate) versions: Vec<StoredVersion>,
}

/// One version of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct StoredVersion {
    pub(crate) version: u32,
    pub(crate) created_at: Timestamp,
    /// Until when it is accepted; without end for the newest.
    pub(crate) until: Option<Timestamp>,
    sealed: Sealed,
}

impl StoredSecret {
    /// The record of `bytes`; what cannot be read is not there.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, StoreError> {
        serde_json::from_slice(bytes).map_err(|error| StoreError::Corrupt(format!("a secret record: {error}")))
    }

    pub(crate) fn newest(&self) -> u32 {
        self.versions.first().map_or(0, |version| version.version)
    }

    pub(crate) fn accepted(&self, now: Timestamp) -> impl Iterator<Item = &StoredVersion> {
        self.versions.iter().filter(move |version| version.until.is_none_or(|until| until > now))
    }

    /// Adds a version. The one before is accepted for `overlap` longer; older ones no longer than they were.
    pub(crate) fn add(&mut self, version: StoredVersion, now: Timestamp, overlap: Duration) {
        let end = now.after(overlap);
        for old in &mut self.versions {
            old.until = Some(old.until.map_or(end, |until| until.min(end)));
        }
        self.versions.retain(|old| old.until.is_none_or(|until| until > now));
        self.versions.insert(0, version);
    }
}

/// Seals a value as a version of a secret.
pub(crate) async fn seal(
    resolver: &SecretResolver,
    workspace: &WorkspaceId,
    name: &Name,
    version: u32,
    value: &Secret,
) -> Result<StoredVersion, SecretError> {
    let key = data_key(resolver, workspace).await?;
    let context = SealContext { environment: &resolver.environment, workspace, name, version: u64::from(version) };
    let sealed = key.seal(&context, value.expose().as_bytes()).map_err(|error| unreadable(&error))?;
    Ok(StoredVersion { version, created_at: resolver.clock.now(), until: None, sealed })
}

/// Opens every accepted version, the newest first.
pub(super) async fn open(
    resolver: &SecretResolver,
    workspace: &WorkspaceId,
    name: &Name,
) -> Result<Vec<Secret>, SecretError> {
    let owner = Owner::from(workspace);
    let record = resolver.store.record(&owner, RecordKind::Secret, name.as_str()).await.map_err(unavailable)?;
    let secret = StoredSecret::parse(&record.ok_or(SecretError::Missing)?.body).map_err(unavailable)?;
    let key = data_key(resolver, workspace).await?;
    let opened: Vec<Secret> = secret
        .accepted(resolver.clock.now())
        .map(|version| {
            let context = SealContext {
                environment: &resolver.environment,
                workspace,
                name,
                version: u64::from(version.version),
            };
            key.open_secret(&context, &version.sealed).map_err(|error| unreadable(&error))
        })
        .collect::<Result<_, _>>()?;
    if opened.is_empty() { Err(SecretError::Missing) } else { Ok(opened) }
}

/// The workspace's data key, made when it is first needed.
pub(crate) async fn data_key(resolver: &SecretResolver, workspace: &WorkspaceId) -> Result<DataKey, SecretError> {
    let ring = resolver.ring.as_ref().ok_or(SecretError::Unreachable)?;
    let owner = Owner::from(workspace);
    let open = |body: &Bytes| -> Result<DataKey, SecretError> {
        let wrapped: WrappedKey = serde_json::from_slice(body).map_err(|_| SecretError::Unreachable)?;
        ring.unwrap(&wrapped, &resolver.environment, workspace).map_err(|error| unreadable(&error))
    };
    loop {
        if let Some(record) = resolver.store.record(&owner, RecordKind::DataKey, DATA_KEY).await.map_err(unavailable)? {
            return open(&record.body);
        }
        let key = DataKey::generate().map_err(|error| unreadable(&error))?;
        let wrapped = ring.wrap(&key, &resolver.environment, workspace).map_err(|error| unreadable(&error))?;
        let body = serde_json::to_vec(&wrapped).map_err(|_| SecretError::Unreachable)?;
        let mut change = ControlChange::of(owner.clone());
        change.writes.push(RecordWrite::put(RecordKind::DataKey, DATA_KEY, Expect::Absent, body));
        match resolver.store.commit(change).await {
            Ok(_) => return Ok(key),
            // Somebody else made it first: theirs is the one.
            Err(CommitError::Conflict { .. }) => {}
            Err(_) => return Err(SecretError::Unreachable),
        }
    }
}

fn unreadable(error: &SealError) -> SecretError {
    tracing::warn!(cause = error.cause(), "a sealed secret does not open");
    SecretError::Unreachable
}

fn unavailable(error: StoreError) -> SecretError {
    tracing::warn!(%error, "a stored secret cannot be read");
    SecretError::Unreachable
}
