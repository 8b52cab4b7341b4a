//! Versions, the pointer, and the one way to change them.

use orchestrator_types::{
    Change, ConfigDiff, ConfigRequest, ConfigVersion, ConfigVersionSummary, EventType, FieldError, Name, Page,
    WorkspaceConfig, WorkspaceId,
};
use serde_json::{Value, json};

use super::document::{POINTER, StoredPointer, StoredVersion, content_hash, decode, encode, routes_of, version_key};
use super::resource::ResourceKind;
use super::{changes, validate};
use crate::actor::{Actor, Reason};
use crate::engine::{Engine, page_size};
use crate::error::Error;
use crate::store::{CommitError, ControlChange, Expect, NewEvent, Owner, RecordKind, RecordWrite};

/// The config versions of workspaces.
#[derive(Clone, Copy)]
pub struct Configs<'a>(pub(crate) &'a Engine);

/// The active version, and the `ETag` that a change of it names.
#[derive(Debug, Clone, PartialEq)]
pub struct Active {
    /// The version.
    pub version: ConfigVersion,
    /// Its `ETag`, quotes included.
    pub etag: String,
}

/// What a change made.
#[derive(Debug, Clone, PartialEq)]
pub struct Saved {
    /// The version that has the wanted content.
    pub version: ConfigVersion,
    /// The `ETag` of the active config after it.
    pub etag: String,
    /// Whether the version is new: the same content makes none.
    pub created: bool,
    /// How the active config is different from before.
    pub changes: Vec<Change>,
    /// What works and is likely to hurt.
    pub warnings: Vec<FieldError>,
}

/// The pointer as it was read.
pub(super) struct Pointer {
    pub(super) record: u64,
    pub(super) stored: StoredPointer,
}

impl Configs<'_> {
    /// The active version.
    ///
    /// # Errors
    /// No such workspace, or the store.
    pub async fn active(&self, workspace: &WorkspaceId) -> Result<Active, Error> {
        let pointer = self.pointer(workspace).await?;
        let version = self.stored(workspace, pointer.stored.version).await?;
        Ok(Active { version: version.view(pointer.stored.version), etag: pointer.stored.etag() })
    }

    /// One version.
    ///
    /// # Errors
    /// No such workspace or version, or the store.
    pub async fn version(&self, workspace: &WorkspaceId, version: u32) -> Result<ConfigVersion, Error> {
        let pointer = self.pointer(workspace).await?;
        Ok(self.stored(workspace, version).await?.view(pointer.stored.version))
    }

    /// Versions in the order of their numbers, from after `cursor`.
    ///
    /// # Errors
    /// No such workspace, a crooked cursor, or the store.
    pub async fn versions(
        &self,
        workspace: &WorkspaceId,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Page<ConfigVersionSummary>, Error> {
        let limit = page_size(limit);
        let pointer = self.pointer(workspace).await?;
        let after = match cursor {
            Some(cursor) => {
                Some(version_key(cursor.parse().map_err(|_| Error::invalid("/cursor", "not a cursor of this list"))?))
            }
            None => None,
        };
        let owner = Owner::from(workspace);
        let records = self.0.store.records(&owner, RecordKind::Config, after.as_deref(), limit + 1).await?;
        let more = records.len() > limit;
        let mut items = Vec::with_capacity(limit);
        for record in records.iter().take(limit) {
            items.push(decode::<StoredVersion>(&record.body)?.summary(pointer.stored.version));
        }
        let next_cursor = items.last().filter(|_| more).map(|last: &ConfigVersionSummary| last.version.to_string());
        Ok(Page { items, next_cursor })
    }

    /// The differences between two versions.
    ///
    /// # Errors
    /// No such workspace or version, or the store.
    pub async fn diff(&self, workspace: &WorkspaceId, from: u32, to: u32) -> Result<ConfigDiff, Error> {
        self.pointer(workspace).await?;
        let (before, after) = (self.stored(workspace, from).await?, self.stored(workspace, to).await?);
        Ok(ConfigDiff { from, to, changes: changes(&before.config, &after.config) })
    }

    /// Checks a config and makes it the next version, activated unless the request says otherwise.
    ///
    /// # Errors
    /// The config is not valid, a route is taken, `if_match` is not the active one's `ETag`, or the store.
    pub async fn add(
        &self,
        actor: &Actor,
        workspace: &WorkspaceId,
        request: ConfigRequest,
        if_match: Option<&str>,
    ) -> Result<Saved, Error> {
        let activate = request.activate.unwrap_or(true);
        let (config, message) = (request.config, request.message);
        self.save(actor, workspace, if_match, &message, activate, |current| {
            *current = config.clone();
            Ok(())
        })
        .await
    }

    /// Sets one part of the active config: a new version with that one change, activated.
    ///
    /// # Errors
    /// As [`add`](Self::add), and a document that is none of its kind.
    pub async fn put(
        &self,
        actor: &Actor,
        workspace: &WorkspaceId,
        kind: ResourceKind,
        name: &Name,
        document: Value,
        if_match: Option<&str>,
    ) -> Result<Saved, Error> {
        let message = format!("set {} {name}", kind.what());
        self.save(actor, workspace, if_match, &message, true, |config| kind.put(config, name, document.clone())).await
    }

    /// Removes one part of the active config: a new version without it, activated.
    ///
    /// # Errors
    /// As [`add`](Self::add); there is no such part, or something else still names it.
    pub async fn remove(
        &self,
        actor: &Actor,
        workspace: &WorkspaceId,
        kind: ResourceKind,
        name: &Name,
        if_match: Option<&str>,
    ) -> Result<Saved, Error> {
        let message = format!("remove {} {name}", kind.what());
        self.save(actor, workspace, if_match, &message, true, |config| kind.remove(config, name)).await
    }

    /// Makes a version the active one.
    ///
    /// # Errors
    /// No such version; it cannot work any more, or a route of it is taken (nothing has moved then); `if_match` is not
    /// the active one's `ETag`; or the store.
    pub async fn activate(
        &self,
        actor: &Actor,
        workspace: &WorkspaceId,
        version: u32,
        reason: &Reason,
        if_match: Option<&str>,
    ) -> Result<Active, Error> {
        self.point(actor, workspace, reason, if_match, "config.activate", EventType::ConfigActivated, |_| Ok(version))
            .await
    }

    /// Makes the version that was active before the active one: one action.
    ///
    /// # Errors
    /// As [`activate`](Self::activate); or none was active before.
    pub async fn rollback(
        &self,
        actor: &Actor,
        workspace: &WorkspaceId,
        reason: &Reason,
        if_match: Option<&str>,
    ) -> Result<Active, Error> {
        let before = |pointer: &StoredPointer| {
            pointer.previous.ok_or(Error::WrongState {
                code: "nothing_to_roll_back",
                detail: "no other version has been active before this one".to_owned(),
            })
        };
        self.point(actor, workspace, reason, if_match, "config.rollback", EventType::ConfigRolledBack, before).await
    }

    #[allow(clippy::too_many_arguments, reason = "the two callers above are its whole use")]
    async fn point(
        &self,
        actor: &Actor,
        workspace: &WorkspaceId,
        reason: &Reason,
        if_match: Option<&str>,
        action: &'static str,
        event: EventType,
        choose: impl Fn(&StoredPointer) -> Result<u32, Error>,
    ) -> Result<Active, Error> {
        loop {
            let mut pointer = self.pointer(workspace).await?;
            matches_etag(&pointer, if_match)?;
            let (from, to) = (pointer.stored.version, choose(&pointer.stored)?);
            let version = self.stored(workspace, to).await?;
            let checked = validate(workspace, &version.config, &self.0.kinds, &self.0.secrets);
            if !checked.errors.is_empty() {
                return Err(Error::InvalidConfig(checked.errors));
            }
            pointer.stored.activate(to);
            let mut change = self.activation(actor, workspace, &pointer, &version)?;
            let audit = actor.audit(action, format!("config {to}")).because(reason);
            change.audit.push(audit.change(Some(json!({"version": from})), Some(json!({"version": to}))));
            change.events.push(NewEvent::new(event, workspace, actor.trace_id, json!({"from": from, "to": to})));
            match self.0.store.commit(change).await {
                Ok(_) => {
                    self.0.snapshots.forget(workspace);
                    return Ok(Active { version: version.view(to), etag: pointer.stored.etag() });
                }
                // Read again: if it is the ETag that moved, that is what the caller is told.
                Err(CommitError::Conflict { .. }) => {}
                Err(error) => return Err(self.0.commit_error(error)),
            }
        }
    }

    /// The one way in which versions are made: what `edit` makes of the active config, checked whole.
    pub(super) async fn save(
        &self,
        actor: &Actor,
        workspace: &WorkspaceId,
        if_match: Option<&str>,
        message: &str,
        activate: bool,
        edit: impl Fn(&mut WorkspaceConfig) -> Result<(), Error>,
    ) -> Result<Saved, Error> {
        loop {
            let mut pointer = self.pointer(workspace).await?;
            matches_etag(&pointer, if_match)?;
            let active = self.stored(workspace, pointer.stored.version).await?;
            let mut config = active.config.clone();
            edit(&mut config)?;
            let checked = validate(workspace, &config, &self.0.kinds, &self.0.secrets);
            if !checked.errors.is_empty() {
                return Err(Error::InvalidConfig(checked.errors));
            }
            let hash = content_hash(&config)?;
            let changes = changes(&active.config, &config);
            let newest = self.stored(workspace, pointer.stored.newest).await?;
            let same = [&active, &newest].into_iter().find(|known| known.hash == hash).cloned();
            let created = same.is_none();
            let version = same.unwrap_or_else(|| StoredVersion {
                version: pointer.stored.newest + 1,
                hash,
                author: actor.subject.clone(),
                message: message.to_owned(),
                created_at: self.0.clock.now(),
                config,
            });
            let moves = activate && version.version != pointer.stored.version;
            if !created && !moves {
                let (etag, active) = (pointer.stored.etag(), pointer.stored.version);
                let changes = if activate { changes } else { Vec::new() };
                return Ok(Saved { version: version.view(active), etag, created, changes, warnings: checked.warnings });
            }
            let from = pointer.stored.version;
            pointer.stored.newest = pointer.stored.newest.max(version.version);
            let mut change = if moves {
                pointer.stored.activate(version.version);
                self.activation(actor, workspace, &pointer, &version)?
            } else {
                let mut change = ControlChange::of(Owner::from(workspace));
                change.writes.push(pointer.write()?);
                change
            };
            if created {
                change.writes.push(RecordWrite::put(
                    RecordKind::Config,
                    version_key(version.version),
                    Expect::Absent,
                    encode(&version)?,
                ));
            }
            let audit = actor.audit("config.change", format!("config {}", version.version));
            let listed: Vec<_> = changes.iter().map(|change| change.pointer.as_str()).take(100).collect();
            let after = json!({"version": version.version, "activated": moves, "message": message, "changed": listed});
            change.audit.push(audit.change(Some(json!({"version": from})), Some(after)));
            if moves {
                let data = json!({"from": from, "to": version.version});
                change.events.push(NewEvent::new(EventType::ConfigActivated, workspace, actor.trace_id, data));
            }
            match self.0.store.commit(change).await {
                Ok(_) => {
                    self.0.snapshots.forget(workspace);
                    let (etag, active) = (pointer.stored.etag(), pointer.stored.version);
                    let version = version.view(active);
                    return Ok(Saved { version, etag, created, changes, warnings: checked.warnings });
                }
                // Read again: if it is the ETag that moved, that is what the caller is told.
                Err(CommitError::Conflict { .. }) => {}
                Err(error) => return Err(self.0.commit_error(error)),
            }
        }
    }

    /// The writes that make `version` the live one: the pointer and the route index, together.
    fn activation(
        &self,
        actor: &Actor,
        workspace: &WorkspaceId,
        pointer: &Pointer,
        version: &StoredVersion,
    ) -> Result<ControlChange, Error> {
        let mut change = ControlChange::of(Owner::from(workspace));
        change.writes.push(pointer.write()?);
        change.routes = Some(routes_of(&version.config));
        change.take_routes = actor.install_admin && actor.takes_routes;
        Ok(change)
    }

    pub(super) async fn pointer(&self, workspace: &WorkspaceId) -> Result<Pointer, Error> {
        self.0.workspace(workspace).await?;
        let record = self.0.store.record(&Owner::from(workspace), RecordKind::Pointer, POINTER).await?;
        let record = record.ok_or(Error::not_found("workspace"))?;
        Ok(Pointer { record: record.version, stored: decode(&record.body)? })
    }

    pub(super) async fn stored(&self, workspace: &WorkspaceId, version: u32) -> Result<StoredVersion, Error> {
        let key = version_key(version);
        let record = self.0.store.record(&Owner::from(workspace), RecordKind::Config, &key).await?;
        Ok(decode(&record.ok_or(Error::not_found("config version"))?.body)?)
    }
}

impl Pointer {
    fn write(&self) -> Result<RecordWrite, Error> {
        Ok(RecordWrite::put(RecordKind::Pointer, POINTER, Expect::Version(self.record), encode(&self.stored)?))
    }
}

fn matches_etag(pointer: &Pointer, if_match: Option<&str>) -> Result<(), Error> {
    match if_match {
        Some(wanted) if wanted.trim() != "*" => {
            let etag = pointer.stored.etag();
            let fits = wanted.split(',').any(|one| one.trim() == etag);
            if fits { Ok(()) } else { Err(Error::Stale) }
        }
        _ => Ok(()),
    }
}
