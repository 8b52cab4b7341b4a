//! The work of a rotation.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use orchestrator_types::{KeyRotationStatus, WorkspaceId};
use tokio::time::{Instant, sleep};

use super::record::{self, Rotation};
use super::usage::install_secrets;
use crate::config::document::encode;
use crate::engine::Engine;
use crate::error::Error;
use crate::secrets::install::SECRET;
use crate::secrets::keys::InstallKeys;
use crate::secrets::seal::{InstallSealed, SealError, WrappedKey};
use crate::store::{CommitError, ControlChange, Expect, Owner, Record, RecordKind, RecordWrite, StoreError};

/// Every node has looked at what is announced by then: they look twice a second.
const OBJECTIONS: Duration = Duration::from_secs(3);
/// Every node seals with the new key by then: a pass that begins later finds all that the old one sealed.
const SETTLED: Duration = Duration::from_secs(3);
const PAGE: usize = 100;

/// Works until the rotation has ended one way or the other, or the engine stops: then another node takes it up, or this
/// one when it starts again.
pub(super) async fn run(engine: Arc<Engine>, rotation: Rotation, expect: Expect) {
    let mut work = Work { engine: &engine, rotation, expect };
    tokio::select! {
        biased;
        ended = work.go() => match ended {
            Ok(()) => {
                let Rotation { key, status, resealed, failed, .. } = &work.rotation;
                tracing::info!(%key, ?status, resealed, failed, "the rotation of the install's key has ended");
            }
            Err(Stop::Elsewhere) => {}
            Err(Stop::Error(error)) => tracing::warn!(%error, "the rotation of the install's key broke off"),
        },
        () = engine.stopping.cancelled() => {}
    }
}

/// Why the work stops before its end.
enum Stop {
    /// A node objects, or another one works on it.
    Elsewhere,
    /// The store does not answer: the rotation is taken up later.
    Error(Error),
}

impl<E: Into<Error>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Error(error.into())
    }
}

struct Work<'a> {
    engine: &'a Engine,
    rotation: Rotation,
    expect: Expect,
}

impl Work<'_> {
    async fn go(&mut self) -> Result<(), Stop> {
        let Some(keys) = self.engine.secrets.keys.clone() else { return Err(Stop::Elsewhere) };
        if self.rotation.status == KeyRotationStatus::Announced {
            sleep(OBJECTIONS).await;
            self.rotation.status = KeyRotationStatus::Running;
            self.write().await?;
        }
        if !keys.promote(self.rotation.key).await {
            return Err(Stop::Elsewhere);
        }
        let begun = Instant::now();
        loop {
            let settled = begun.elapsed() >= SETTLED;
            let resealed = self.pass(&keys).await?;
            if self.rotation.failed > 0 {
                let detail = "something is sealed by a key that no node has, or was altered: it is left as it was";
                self.rotation.fail(detail);
                return self.write().await;
            }
            if settled && resealed == 0 {
                self.rotation.status = KeyRotationStatus::Done;
                return self.write().await;
            }
            sleep(SETTLED.saturating_sub(begun.elapsed())).await;
        }
    }

    /// Goes over everything once; answers how much was sealed again.
    async fn pass(&mut self, keys: &InstallKeys) -> Result<u64, Stop> {
        let before = self.rotation.resealed;
        (self.rotation.seen, self.rotation.failed) = (0, 0);
        for record in install_secrets(self.engine.store.as_ref()).await? {
            self.one(keys, Owner::Install, RecordKind::Install, record).await?;
        }
        let mut after: Option<WorkspaceId> = None;
        loop {
            let names = self.engine.store.workspaces(after.as_ref(), PAGE).await?;
            let Some(last) = names.last() else { return Ok(self.rotation.resealed - before) };
            after = Some(last.clone());
            for name in names {
                let owner = Owner::from(&name);
                for record in self.engine.store.records(&owner, RecordKind::DataKey, None, PAGE).await? {
                    self.one(keys, owner.clone(), RecordKind::DataKey, record).await?;
                }
            }
            self.write().await?;
        }
    }

    async fn one(&mut self, keys: &InstallKeys, owner: Owner, kind: RecordKind, record: Record) -> Result<(), Stop> {
        self.rotation.seen += 1;
        let again = match resealed(self.engine, keys, &owner, &record).await {
            Ok(None) => return Ok(()),
            Ok(Some(again)) => again,
            Err(error) => {
                tracing::warn!(owner = owner.as_str(), key = record.key, cause = error.cause(), "not sealed again");
                self.rotation.failed += 1;
                return Ok(());
            }
        };
        let mut change = ControlChange::of(owner);
        change.writes.push(RecordWrite::put(kind, record.key, Expect::Version(record.version), again));
        match self.engine.store.commit(change).await {
            Ok(_) => self.rotation.resealed += 1,
            // Somebody else did, or it is gone: the next pass sees.
            Err(CommitError::Conflict { .. }) => {}
            Err(error) => return Err(Stop::Error(self.engine.commit_error(error))),
        }
        Ok(())
    }

    async fn write(&mut self) -> Result<(), Stop> {
        match record::write(self.engine, &mut self.rotation, self.expect, None).await? {
            Some(expect) => self.expect = expect,
            None => return Err(Stop::Elsewhere),
        }
        Ok(())
    }
}

/// The record sealed by the current key; `None` if it is.
async fn resealed(
    engine: &Engine,
    keys: &InstallKeys,
    owner: &Owner,
    record: &Record,
) -> Result<Option<Bytes>, SealError> {
    let body = &record.body;
    let written = |again: Result<Bytes, StoreError>| again.map(Some).map_err(|_| SealError::Malformed);
    match owner {
        Owner::Workspace(workspace) => {
            let wrapped: WrappedKey = serde_json::from_slice(body).map_err(|_| SealError::Malformed)?;
            let ring = keys.ring_with(wrapped.key_id).await;
            let again = ring.rewrap(&wrapped, &engine.environment, workspace)?;
            again.map_or(Ok(None), |again| written(encode(&again)))
        }
        Owner::Install => {
            let sealed: InstallSealed = serde_json::from_slice(body).map_err(|_| SealError::Malformed)?;
            let ring = keys.ring_with(sealed.key_id).await;
            let name = record.key.strip_prefix(SECRET).unwrap_or(&record.key);
            let again = ring.reseal_install(&engine.environment, name, &sealed)?;
            again.map_or(Ok(None), |again| written(encode(&again)))
        }
    }
}
