//! Writing stored secrets, and how every secret of a workspace stands.

use orchestrator_types::{EventType, Name, SecretHealth, SecretRef, SecretStatus, SecretView, WorkspaceId};
use serde_json::json;

use super::stored::{self, OVERLAP, StoredSecret};
use super::{Secret, SecretError};
use crate::actor::Actor;
use crate::engine::Engine;
use crate::error::Error;
use crate::store::{CommitError, ControlChange, Expect, NewEvent, Owner, RecordKind, RecordWrite};

const MAX_BYTES: usize = 64 * 1024;

/// The secrets of workspaces: write-only.
#[derive(Clone, Copy)]
pub struct Secrets<'a>(pub(crate) &'a Engine);

/// How a write treats the version before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replace {
    /// The new value is the only one from now on.
    AtOnce,
    /// Both are accepted for 24 h.
    Overlapping,
}

impl Secrets<'_> {
    /// Writes a new version of a stored secret.
    ///
    /// # Errors
    /// No such workspace, an empty or too large value, a rotation of what is not there, or the store.
    pub async fn write(
        &self,
        actor: &Actor,
        workspace: &WorkspaceId,
        name: &Name,
        value: Secret,
        replace: Replace,
    ) -> Result<SecretView, Error> {
        self.0.workspace(workspace).await?;
        if value.expose().is_empty() || value.expose().len() > MAX_BYTES {
            return Err(Error::invalid("/value", "a secret has 1 to 65,536 bytes"));
        }
        let owner = Owner::from(workspace);
        loop {
            let record = self.0.store.record(&owner, RecordKind::Secret, name.as_str()).await?;
            let (mut secret, expect) = match &record {
                Some(record) => (StoredSecret::parse(&record.body)?, Expect::Version(record.version)),
                None if replace == Replace::Overlapping => return Err(Error::not_found("secret")),
                None => (StoredSecret::default(), Expect::Absent),
            };
            let (now, number) = (self.0.clock.now(), secret.newest() + 1);
            let version =
                stored::seal(&self.0.secrets, workspace, name, number, &value).await.map_err(Error::Secret)?;
            let overlap = if replace == Replace::Overlapping { OVERLAP } else { std::time::Duration::ZERO };
            secret.add(version, now, overlap);
            let body = serde_json::to_vec(&secret).map_err(|error| Error::Internal(error.to_string()))?;
            let mut change = ControlChange::of(owner.clone());
            change.writes.push(RecordWrite::put(RecordKind::Secret, name.as_str(), expect, body));
            let action = if replace == Replace::Overlapping { "secret.rotate" } else { "secret.write" };
            change.audit.push(actor.audit(action, name).change(None, Some(json!({"version": number}))));
            if number > 1 {
                let data = json!({"version": number});
                change.events.push(NewEvent::new(EventType::SecretRotated, name, actor.trace_id, data));
            }
            match self.0.store.commit(change).await {
                Ok(_) => {
                    self.0.secrets.forget(workspace, name);
                    return Ok(view(name, &secret, now));
                }
                Err(CommitError::Conflict { .. }) => {}
                Err(error) => return Err(self.0.commit_error(error)),
            }
        }
    }

    /// Every secret reference of the active config, and every stored secret that none points to, each read anew.
    ///
    /// # Errors
    /// No such workspace, or the store.
    pub async fn status(&self, workspace: &WorkspaceId) -> Result<Vec<SecretStatus>, Error> {
        let live = self.0.live(workspace).await?;
        let owner = Owner::from(workspace);
        let mut stored = std::collections::BTreeMap::new();
        for record in self.0.store.records(&owner, RecordKind::Secret, None, 1_000).await? {
            if let (Ok(name), Ok(secret)) = (record.key.parse::<Name>(), StoredSecret::parse(&record.body)) {
                stored.insert(name, secret.newest());
            }
        }
        let mut statuses = Vec::new();
        let mut pointed_to = std::collections::BTreeSet::new();
        for (name, reference) in &live.config.secret_refs {
            let version = match reference {
                SecretRef::Stored { name } => {
                    pointed_to.insert(name.clone());
                    stored.get(name).copied()
                }
                _ => None,
            };
            statuses.push(self.one(workspace, name, reference, version).await);
        }
        for (name, version) in stored.iter().filter(|(name, _)| !pointed_to.contains(*name)) {
            let reference = SecretRef::Stored { name: name.clone() };
            statuses.push(self.one(workspace, name, &reference, Some(*version)).await);
        }
        Ok(statuses)
    }

    async fn one(
        &self,
        workspace: &WorkspaceId,
        name: &Name,
        reference: &SecretRef,
        version: Option<u32>,
    ) -> SecretStatus {
        let health = match self.0.secrets.read(workspace, reference).await {
            Ok(_) => SecretHealth::Ok,
            Err(SecretError::Missing) => SecretHealth::Missing,
            Err(SecretError::Unreachable) => SecretHealth::Unreachable,
        };
        let source = match reference {
            SecretRef::Env { .. } => "env",
            SecretRef::File { .. } => "file",
            SecretRef::Stored { .. } => "stored",
            _ => "vault",
        };
        let checked_at = self.0.clock.now();
        SecretStatus { name: name.clone(), source: source.to_owned(), health, version, checked_at }
    }
}

fn view(name: &Name, secret: &StoredSecret, now: orchestrator_types::Timestamp) -> SecretView {
    SecretView {
        name: name.clone(),
        version: secret.newest(),
        active_versions: secret.accepted(now).map(|version| version.version).collect(),
        updated_at: secret.versions.first().map_or(now, |version| version.created_at),
    }
}
