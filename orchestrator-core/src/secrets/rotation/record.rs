//! Where a rotation stands, for every node to read.

use std::time::Duration;

use orchestrator_types::{KeyRotationStatus, KeyRotationView, Timestamp};
use serde::{Deserialize, Serialize};

use crate::config::document::{decode, encode};
use crate::engine::Engine;
use crate::error::Error;
use crate::secrets::seal::KeyId;
use crate::store::{CommitError, ControlChange, Expect, NewAudit, Owner, RecordKind, RecordWrite};

const RECORD: &str = "kek-rotation";
/// Who works on a rotation says so more often; after that anybody takes it up.
const ABANDONED: Duration = Duration::from_secs(30);

/// A rotation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Rotation {
    pub(super) key: KeyId,
    pub(super) status: KeyRotationStatus,
    /// The node that works on it.
    pub(super) node: String,
    pub(super) started_at: Timestamp,
    pub(super) updated_at: Timestamp,
    pub(super) seen: u64,
    pub(super) resealed: u64,
    pub(super) failed: u64,
    pub(super) detail: Option<String>,
}

impl Rotation {
    pub(super) fn announced(engine: &Engine, key: KeyId) -> Self {
        let now = engine.clock.now();
        Self {
            key,
            status: KeyRotationStatus::Announced,
            node: engine.node.clone(),
            started_at: now,
            updated_at: now,
            seen: 0,
            resealed: 0,
            failed: 0,
            detail: None,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        matches!(self.status, KeyRotationStatus::Announced | KeyRotationStatus::Running)
    }

    /// Whether nobody works on it any more.
    pub(super) fn is_abandoned(&self, now: Timestamp) -> bool {
        self.is_open() && self.updated_at.after(ABANDONED) < now
    }

    pub(super) fn fail(&mut self, detail: impl Into<String>) {
        self.status = KeyRotationStatus::Failed;
        self.detail = Some(detail.into());
    }

    pub(super) fn view(&self) -> KeyRotationView {
        KeyRotationView {
            key: self.key.to_string(),
            status: self.status,
            started_at: self.started_at,
            updated_at: self.updated_at,
            seen: self.seen,
            resealed: self.resealed,
            failed: self.failed,
            detail: self.detail.clone(),
        }
    }
}

/// The last rotation, and what to expect of its record when it is written.
pub(super) async fn read(engine: &Engine) -> Result<(Option<Rotation>, Expect), Error> {
    match engine.store.record(&Owner::Install, RecordKind::Install, RECORD).await? {
        Some(record) => Ok((Some(decode(&record.body)?), Expect::Version(record.version))),
        None => Ok((None, Expect::Absent)),
    }
}

/// Writes it down; `None` if somebody else did meanwhile, else what to expect when it is written next.
pub(super) async fn write(
    engine: &Engine,
    rotation: &mut Rotation,
    expect: Expect,
    audit: Option<NewAudit>,
) -> Result<Option<Expect>, Error> {
    rotation.updated_at = engine.clock.now();
    let mut change = ControlChange::of(Owner::Install);
    change.writes.push(RecordWrite::put(RecordKind::Install, RECORD, expect, encode(&*rotation)?));
    change.audit.extend(audit);
    match engine.store.commit(change).await {
        Ok(committed) => Ok(committed.versions.first().map(|version| Expect::Version(*version))),
        Err(CommitError::Conflict { .. }) => Ok(None),
        Err(error) => Err(engine.commit_error(error)),
    }
}
