//! Stored secrets: sealed under the workspace's data key, with versions, so that an old and a new one overlap while a
//! secret is rotated.
//!
//! ```text
//!   written ──► active ──── rotated ────► retiring ──── its time ends ────► retired: the value is gone,
//!                  └──────── replaced at once ─────────────────────────────►    number and times stay
//! ```

use std::time::Duration;

use orchestrator_types::{Name, SecretVersionState, SecretVersionView, Timestamp, WorkspaceId};
use serde::{Deserialize, Serialize};

use super::resolve::SecretResolver;
use super::seal::{DataKey, SealContext, SealError, Sealed, WrappedKey};
use super::{Secret, SecretError};
use crate::store::{CommitError, ControlChange, Expect, Owner, RecordKind, RecordWrite, StoreError};

/// How long the version before is accepted after a rotation, if nothing else is said.
pub(crate) const OVERLAP: Duration = Duration::from_secs(24 * 60 * 60);
const DATA_KEY: &str = "active";
/// So many retired versions are remembered.
const RETIRED: usize = 10;
/// So many versions are accepted at once: providers send no more signatures, and each costs one.
const ACCEPTED: usize = 8;

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
    /// Its value; gone when it is retired.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sealed: Option<Sealed>,
}

impl StoredVersion {
    fn is_accepted(&self, now: Timestamp) -> bool {
        self.sealed.is_some() && self.until.is_none_or(|until| until > now)
    }

    pub(crate) fn view(&self, now: Timestamp) -> SecretVersionView {
        let state = match self.until {
            None => SecretVersionState::Active,
            Some(_) if self.is_accepted(now) => SecretVersionState::Retiring,
            Some(_) => SecretVersionState::Retired,
        };
        SecretVersionView { version: self.version, state, created_at: self.created_at, until: self.until }
    }
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
        self.versions.iter().filter(move |version| version.is_accepted(now))
    }

    pub(crate) fn views(&self, now: Timestamp) -> Vec<SecretVersionView> {
        self.versions.iter().map(|version| version.view(now)).collect()
    }

    /// Adds a version. The one before is accepted for `overlap` longer; older ones no longer than they were.
    pub(crate) fn add(&mut self, version: StoredVersion, now: Timestamp, overlap: Duration) {
        let end = now.after(overlap);
        for old in &mut self.versions {
            old.until = Some(old.until.map_or(end, |until| until.min(end)));
        }
        for old in self.versions.iter_mut().filter(|old| old.is_accepted(now)).skip(ACCEPTED - 1) {
            old.until = Some(now);
        }
        self.versions.insert(0, version);
        self.retire(now);
    }

    /// Takes the values of those versions away whose time has ended; answers which they are. Forgets the oldest of those.
    pub(crate) fn retire(&mut self, now: Timestamp) -> Vec<u32> {
        let mut retired = Vec::new();
        for old in &mut self.versions {
            if old.sealed.is_some() && !old.is_accepted(now) {
                old.sealed = None;
                retired.push(old.version);
            }
        }
        let mut kept = 0;
        self.versions.retain(|old| {
            kept += usize::from(old.sealed.is_none());
            old.sealed.is_some() || kept <= RETIRED
        });
        retired
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
    Ok(StoredVersion { version, created_at: resolver.clock.now(), until: None, sealed: Some(sealed) })
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
        .filter_map(|version| Some((version, version.sealed.as_ref()?)))
        .map(|(version, sealed)| {
            let context = SealContext {
                environment: &resolver.environment,
                workspace,
                name,
                version: u64::from(version.version),
            };
            key.open_secret(&context, sealed).map_err(|error| unreadable(&error))
        })
        .collect::<Result<_, _>>()?;
    if opened.is_empty() { Err(SecretError::Missing) } else { Ok(opened) }
}

/// The workspace's data key, made when it is first needed.
pub(crate) async fn data_key(resolver: &SecretResolver, workspace: &WorkspaceId) -> Result<DataKey, SecretError> {
    let keys = resolver.keys.as_ref().ok_or(SecretError::Unreachable)?;
    let owner = Owner::from(workspace);
    loop {
        if let Some(record) = resolver.store.record(&owner, RecordKind::DataKey, DATA_KEY).await.map_err(unavailable)? {
            let wrapped: WrappedKey = serde_json::from_slice(&record.body).map_err(|_| SecretError::Unreachable)?;
            let ring = keys.ring_with(wrapped.key_id).await;
            return ring.unwrap(&wrapped, &resolver.environment, workspace).map_err(|error| unreadable(&error));
        }
        let key = DataKey::generate().map_err(|error| unreadable(&error))?;
        let wrapped = keys.ring().wrap(&key, &resolver.environment, workspace).map_err(|error| unreadable(&error))?;
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
