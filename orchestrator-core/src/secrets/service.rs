//! Writing stored secrets, and how every secret of a workspace stands.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use orchestrator_types::{
    EventType, Name, SecretRef, SecretStatus, SecretVersionView, SecretView, Timestamp, WorkspaceId,
};
use serde_json::json;

use super::Secret;
use super::health::{self, AT_ONCE};
use super::stored::{self, OVERLAP, StoredSecret};
use crate::actor::Actor;
use crate::engine::Engine;
use crate::error::Error;
use crate::store::{CommitError, ControlChange, Expect, NewEvent, Owner, RecordKind, RecordWrite};

const MAX_BYTES: usize = 64 * 1024;
const MAX_OVERLAP: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// A workspace has so many stored secrets: what is listed at once is bounded.
const MAX_SECRETS: usize = 1_000;

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
    /// Both are accepted for so long: 30 days at most.
    OverlappingFor(Duration),
}

impl Replace {
    /// How long the version before stays accepted; `None` if there need not be one.
    fn overlap(self) -> Option<Duration> {
        match self {
            Self::AtOnce => None,
            Self::Overlapping => Some(OVERLAP),
            Self::OverlappingFor(overlap) => Some(overlap),
        }
    }
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
        let overlap = replace.overlap();
        if overlap.is_some_and(|overlap| overlap > MAX_OVERLAP) {
            return Err(Error::invalid("/overlap_s", "30 days at most"));
        }
        let owner = Owner::from(workspace);
        loop {
            let record = self.0.store.record(&owner, RecordKind::Secret, name.as_str()).await?;
            let (mut secret, expect) = match &record {
                Some(record) => (StoredSecret::parse(&record.body)?, Expect::Version(record.version)),
                None if overlap.is_some() => return Err(Error::not_found("secret")),
                None => (StoredSecret::default(), Expect::Absent),
            };
            let (now, number) = (self.0.clock.now(), secret.newest() + 1);
            let version =
                stored::seal(&self.0.secrets, workspace, name, number, &value).await.map_err(Error::Secret)?;
            secret.add(version, now, overlap.unwrap_or_default());
            let body = serde_json::to_vec(&secret).map_err(|error| Error::Internal(error.to_string()))?;
            let mut change = ControlChange::of(owner.clone());
            change.writes.push(RecordWrite::put(RecordKind::Secret, name.as_str(), expect, body));
            let action = if overlap.is_some() { "secret.rotate" } else { "secret.write" };
            change.audit.push(actor.audit(action, name).change(None, Some(json!({"version": number}))));
            if number > 1 {
                let until = secret.versions.get(1).and_then(|before| before.until).filter(|until| *until > now);
                let data = json!({"version": number, "previous_until": until});
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
        let now = self.0.clock.now();
        let stored: BTreeMap<Name, Vec<SecretVersionView>> = self.stored(workspace, now).await?;
        let mut pointed_to = BTreeSet::new();
        let mut asked: Vec<(Name, SecretRef)> = Vec::new();
        for (name, reference) in &live.config.secret_refs {
            if let SecretRef::Stored { name } = reference {
                pointed_to.insert(name.clone());
            }
            asked.push((name.clone(), reference.clone()));
        }
        let spare = stored.keys().filter(|name| !pointed_to.contains(*name));
        asked.extend(spare.map(|name| (name.clone(), SecretRef::Stored { name: name.clone() })));
        let none = Vec::new();
        let checks = asked.into_iter().map(|(name, reference)| {
            let versions = match &reference {
                SecretRef::Stored { name } => stored.get(name).unwrap_or(&none).clone(),
                _ => Vec::new(),
            };
            async move {
                let health = health::of(&self.0.secrets, workspace, &reference).await;
                SecretStatus {
                    name,
                    source: health::source(&reference).to_owned(),
                    health,
                    version: versions.first().map(|newest| newest.version),
                    versions,
                    checked_at: self.0.clock.now(),
                }
            }
        });
        Ok(stream::iter(checks).buffered(AT_ONCE).collect().await)
    }

    async fn stored(
        &self,
        workspace: &WorkspaceId,
        now: Timestamp,
    ) -> Result<BTreeMap<Name, Vec<SecretVersionView>>, Error> {
        let records = self.0.store.records(&Owner::from(workspace), RecordKind::Secret, None, MAX_SECRETS).await?;
        let named = records.iter().filter_map(|record| {
            // What cannot be read is not hidden: as a reference it shows as unreachable.
            let secret = StoredSecret::parse(&record.body).ok()?;
            Some((record.key.parse().ok()?, secret.views(now)))
        });
        Ok(named.collect())
    }
}

fn view(name: &Name, secret: &StoredSecret, now: Timestamp) -> SecretView {
    SecretView {
        name: name.clone(),
        version: secret.newest(),
        active_versions: secret.accepted(now).map(|version| version.version).collect(),
        versions: secret.views(now),
        updated_at: secret.versions.first().map_or(now, |version| version.created_at),
    }
}
