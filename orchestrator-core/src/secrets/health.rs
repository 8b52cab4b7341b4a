//! Whether the secrets of the workspaces can be had: looked at from time to time by every node, told when it changes.
//!
//! One rule: a node tells only what changed for itself, and of several that see the same change one writes it down. So a
//! variable that one node alone lacks is told once, and not again with each look of the others.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use orchestrator_types::{EventType, Name, SecretHealth, SecretRef, Timestamp, TraceId, WorkspaceId};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::time::{sleep, timeout};

use super::SecretError;
use super::resolve::SecretResolver;
use super::stored::StoredSecret;
use crate::config::document::{decode, encode};
use crate::engine::Engine;
use crate::error::Error;
use crate::store::{CommitError, ControlChange, Expect, NewEvent, Owner, RecordKind, RecordWrite};

/// So many secrets of a workspace are looked at at once.
pub(super) const AT_ONCE: usize = 8;
/// A source that takes longer is away.
const ANSWERS: Duration = Duration::from_secs(5);
const FIRST: Duration = Duration::from_secs(2);
const EVERY: Duration = Duration::from_secs(60);
/// The pace: a look at all secrets of a large install takes as long as it takes.
const EACH: Duration = Duration::from_millis(5);
const WORKSPACES: usize = 200;
const SECRETS: usize = 200;
const RECORD: &str = "self";

/// How many secret references can be had.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SecretCounts {
    /// They resolve.
    pub ok: u64,
    /// Nothing is there.
    pub missing: u64,
    /// Their source does not answer, or does not open.
    pub unreachable: u64,
}

/// How the secrets of each workspace stood when this node last looked.
#[derive(Default)]
pub(crate) struct SecretBoard(Mutex<HashMap<WorkspaceId, BTreeMap<Name, SecretHealth>>>);

/// What is written down of a workspace's secrets: those that cannot be had, and since when.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Told(BTreeMap<Name, Bad>);

#[derive(Debug, Serialize, Deserialize)]
struct Bad {
    health: SecretHealth,
    since: Timestamp,
}

impl SecretBoard {
    /// Over all workspaces.
    pub(crate) fn counts(&self) -> SecretCounts {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut counts = SecretCounts::default();
        for health in all.values().flat_map(BTreeMap::values) {
            match health {
                SecretHealth::Ok => counts.ok += 1,
                SecretHealth::Missing => counts.missing += 1,
                SecretHealth::Unreachable => counts.unreachable += 1,
            }
        }
        counts
    }

    fn last(&self, workspace: &WorkspaceId) -> Option<BTreeMap<Name, SecretHealth>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(workspace).cloned()
    }

    fn note(&self, workspace: &WorkspaceId, now: BTreeMap<Name, SecretHealth>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if now.is_empty() {
            all.remove(workspace);
        } else {
            all.insert(workspace.clone(), now);
        }
    }
}

/// The source's name in the contract.
pub(super) fn source(reference: &SecretRef) -> &'static str {
    match reference {
        SecretRef::Env { .. } => "env",
        SecretRef::File { .. } => "file",
        SecretRef::Stored { .. } => "stored",
        _ => "vault",
    }
}

/// Whether a secret can be had now: its source is asked.
pub(super) async fn of(secrets: &SecretResolver, workspace: &WorkspaceId, reference: &SecretRef) -> SecretHealth {
    match timeout(ANSWERS, secrets.read(workspace, reference)).await {
        Ok(Ok(_)) => SecretHealth::Ok,
        Ok(Err(SecretError::Missing)) => SecretHealth::Missing,
        Ok(Err(SecretError::Unreachable)) | Err(_) => SecretHealth::Unreachable,
    }
}

/// Looks at every secret from time to time, and takes away what is retired, until the engine stops.
pub(crate) async fn watch(engine: Arc<Engine>) {
    let mut wait = FIRST;
    loop {
        tokio::select! {
            biased;
            () = sleep(wait.mul_f64(0.5 + fastrand::f64())) => {}
            () = engine.stopping.cancelled() => return,
        }
        wait = EVERY;
        engine.secrets.purge();
        tokio::select! {
            biased;
            looked = look(&engine) => {
                if let Err(error) = looked {
                    tracing::warn!(%error, "the secrets were not looked at");
                }
            }
            () = engine.stopping.cancelled() => return,
        }
    }
}

async fn look(engine: &Engine) -> Result<(), Error> {
    let mut after: Option<WorkspaceId> = None;
    loop {
        let names = engine.store.workspaces(after.as_ref(), WORKSPACES).await?;
        let Some(last) = names.last() else { return Ok(()) };
        after = Some(last.clone());
        for name in names {
            // One workspace that cannot be read does not hide the others.
            if let Err(error) = look_at(engine, &name).await {
                tracing::warn!(workspace = %name, %error, "the secrets of a workspace were not looked at");
            }
        }
    }
}

async fn look_at(engine: &Engine, workspace: &WorkspaceId) -> Result<(), Error> {
    // Read, not compiled: to be looked at is no use of a workspace.
    let references = match engine.stored(workspace).await {
        Ok(stored) => stored.version.config.secret_refs,
        Err(Error::NotFound { .. }) => {
            engine.secret_board.note(workspace, BTreeMap::new());
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    retire(engine, workspace).await?;
    let looks = references.clone().into_iter().map(|(name, reference)| async move {
        let health = of(&engine.secrets, workspace, &reference).await;
        (name, health)
    });
    let now: BTreeMap<Name, SecretHealth> = stream::iter(looks).buffer_unordered(AT_ONCE).collect().await;
    let before = match engine.secret_board.last(workspace) {
        Some(before) => before,
        None => told(engine, workspace).await?.0.0.into_iter().map(|(name, bad)| (name, bad.health)).collect(),
    };
    let was = |name: &Name| before.get(name).copied().unwrap_or(SecretHealth::Ok);
    let changed: BTreeMap<Name, SecretHealth> = now
        .iter()
        .filter(|(name, health)| was(name) != **health)
        .map(|(name, health)| (name.clone(), *health))
        .collect();
    if !changed.is_empty() {
        tell(engine, workspace, &references, &changed).await?;
    }
    sleep(EACH * u32::try_from(now.len()).unwrap_or(u32::MAX)).await;
    engine.secret_board.note(workspace, now);
    Ok(())
}

async fn told(engine: &Engine, workspace: &WorkspaceId) -> Result<(Told, Expect), Error> {
    let record = engine.store.record(&Owner::from(workspace), RecordKind::SecretHealth, RECORD).await?;
    match record {
        Some(record) => Ok((decode(&record.body)?, Expect::Version(record.version))),
        None => Ok((Told::default(), Expect::Absent)),
    }
}

/// Writes down what changed, with its events, unless another node has.
async fn tell(
    engine: &Engine,
    workspace: &WorkspaceId,
    references: &BTreeMap<Name, SecretRef>,
    changed: &BTreeMap<Name, SecretHealth>,
) -> Result<(), Error> {
    loop {
        let (mut told, expect) = told(engine, workspace).await?;
        let (mut change, now) = (ControlChange::of(workspace.into()), engine.clock.now());
        told.0.retain(|name, _| references.contains_key(name));
        for (name, reference) in references {
            let Some(health) = changed.get(name).copied() else { continue };
            let was = told.0.get(name).map_or(SecretHealth::Ok, |bad| bad.health);
            if was == health {
                continue;
            }
            let kind = if health == SecretHealth::Ok { EventType::SecretHealthy } else { EventType::SecretUnhealthy };
            let data = json!({"source": source(reference), "health": health, "was": was});
            change.events.push(NewEvent::new(kind, name, TraceId::new(), data));
            if health == SecretHealth::Ok {
                told.0.remove(name);
                tracing::info!(%workspace, reference = %name, source = source(reference), "a secret can be had again");
            } else {
                told.0.insert(name.clone(), Bad { health, since: now });
                tracing::warn!(%workspace, reference = %name, source = source(reference), ?health, "a secret cannot be had");
            }
        }
        if change.events.is_empty() {
            return Ok(());
        }
        change.writes.push(RecordWrite::put(RecordKind::SecretHealth, RECORD, expect, encode(&told)?));
        match engine.store.commit(change).await {
            Ok(_) => return Ok(()),
            Err(CommitError::Conflict { .. }) => {}
            Err(error) => return Err(engine.commit_error(error)),
        }
    }
}

/// Takes the values away of versions whose time has ended.
async fn retire(engine: &Engine, workspace: &WorkspaceId) -> Result<(), Error> {
    let (owner, mut after) = (Owner::from(workspace), None::<String>);
    loop {
        let records = engine.store.records(&owner, RecordKind::Secret, after.as_deref(), SECRETS).await?;
        let Some(last) = records.last() else { return Ok(()) };
        after = Some(last.key.clone());
        for record in records {
            let Ok(mut secret) = StoredSecret::parse(&record.body) else { continue };
            let retired = secret.retire(engine.clock.now());
            if retired.is_empty() {
                continue;
            }
            let mut change = ControlChange::of(owner.clone());
            let body = encode(&secret)?;
            let expect = Expect::Version(record.version);
            change.events = retired
                .into_iter()
                .map(|version| {
                    let data = json!({"version": version});
                    NewEvent::new(EventType::SecretRetired, &record.key, TraceId::new(), data)
                })
                .collect();
            change.writes.push(RecordWrite::put(RecordKind::Secret, record.key, expect, body));
            match engine.store.commit(change).await {
                // Another node did it, or a new version was written: the next look sees to what is left.
                Ok(_) | Err(CommitError::Conflict { .. }) => {}
                Err(error) => return Err(engine.commit_error(error)),
            }
        }
    }
}
