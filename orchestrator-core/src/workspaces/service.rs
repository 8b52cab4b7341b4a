//! The service.

use orchestrator_types::{
    EventType, Page, Timestamp, WorkspaceConfig, WorkspaceId, WorkspaceRequest, WorkspaceStatus, WorkspaceView,
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::actor::{Actor, Reason};
use crate::config::{StoredPointer, StoredVersion, content_hash, document, routes_of, template, validate, version_key};
use crate::engine::{Engine, page_size};
use crate::error::Error;
use crate::store::{CommitError, ControlChange, Expect, NewEvent, Owner, RecordKind, RecordWrite};

/// The key of the one workspace record.
pub(crate) const SELF: &str = "self";

/// The stored form of a workspace.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct StoredWorkspace {
    pub(crate) status: WorkspaceStatus,
    pub(crate) created_at: Timestamp,
    pub(crate) template: String,
}

/// The workspaces of the install.
#[derive(Clone, Copy)]
pub struct Workspaces<'a>(pub(crate) &'a Engine);

impl Workspaces<'_> {
    /// Creates a workspace with its environment's default policy as config version 1, active.
    ///
    /// # Errors
    /// The name is of another environment or taken, there is no such template, or the store.
    pub async fn create(&self, actor: &Actor, request: &WorkspaceRequest) -> Result<WorkspaceView, Error> {
        let environment = self.0.environment_of(&request.name)?;
        let wanted = request.template.as_deref().unwrap_or(environment);
        let fallback = || request.template.is_none().then(|| template("prod")).flatten();
        let config = template(wanted).or_else(fallback).ok_or_else(|| {
            Error::invalid("/template", "there is no such template: `dev`, `staging`, `test`, `prod`")
        })?;
        self.create_with(actor, &request.name, config, "the default policy").await
    }

    /// Creates a workspace with this config, which has been checked.
    pub(crate) async fn create_with(
        &self,
        actor: &Actor,
        name: &WorkspaceId,
        config: WorkspaceConfig,
        message: &str,
    ) -> Result<WorkspaceView, Error> {
        self.0.environment_of(name)?;
        let now = self.0.clock.now();
        let workspace = StoredWorkspace {
            status: WorkspaceStatus::Active,
            created_at: now,
            template: name.environment().to_owned(),
        };
        let checked = validate(name, &config, &self.0.kinds, &self.0.secrets);
        if !checked.errors.is_empty() {
            return Err(Error::InvalidConfig(checked.errors));
        }
        let version = StoredVersion {
            version: 1,
            hash: content_hash(&config)?,
            author: actor.subject.clone(),
            message: message.to_owned(),
            created_at: now,
            config,
        };
        let mut change = ControlChange::of(Owner::from(name));
        change.writes = vec![
            RecordWrite::put(RecordKind::Workspace, SELF, Expect::Absent, document::encode(&workspace)?),
            RecordWrite::put(RecordKind::Config, version_key(1), Expect::Absent, document::encode(&version)?),
            RecordWrite::put(
                RecordKind::Pointer,
                document::POINTER,
                Expect::Absent,
                document::encode(&StoredPointer::first())?,
            ),
        ];
        change.routes = Some(routes_of(&version.config));
        change.take_routes = actor.install_admin && actor.takes_routes;
        let after = json!({"config_version": 1, "hash": version.hash});
        change.audit.push(actor.audit("workspace.create", name).change(None, Some(after)));
        change.events = vec![
            NewEvent::new(EventType::WorkspaceCreated, name, actor.trace_id, json!({})),
            NewEvent::new(EventType::ConfigActivated, name, actor.trace_id, json!({"from": null, "to": 1})),
        ];
        match self.0.store.commit(change).await {
            Ok(_) => {
                self.0.snapshots.forget(name);
                Ok(view(name, &workspace, 1))
            }
            Err(CommitError::Conflict { .. }) => Err(Error::Exists { what: "workspace" }),
            Err(error) => Err(self.0.commit_error(error)),
        }
    }

    /// One workspace.
    ///
    /// # Errors
    /// There is none of that name, or the store.
    pub async fn get(&self, name: &WorkspaceId) -> Result<WorkspaceView, Error> {
        let live = self.0.live(name).await?;
        let (workspace, _) = self.0.workspace_record(name).await?.ok_or(Error::not_found("workspace"))?;
        Ok(view(name, &workspace, live.version))
    }

    /// Workspaces in the order of their names, from after `cursor`.
    ///
    /// # Errors
    /// The store does not answer, or the cursor is none.
    pub async fn list(&self, cursor: Option<&str>, limit: usize) -> Result<Page<WorkspaceView>, Error> {
        let limit = page_size(limit);
        let mut after = match cursor {
            Some(cursor) => Some(cursor.parse().map_err(|_| Error::invalid("/cursor", "not a cursor of this list"))?),
            None => None,
        };
        let mut items = Vec::new();
        loop {
            let names = self.0.store.workspaces(after.as_ref(), limit + 1).await?;
            let exhausted = names.len() <= limit;
            for name in names {
                if items.len() == limit {
                    let next_cursor = items.last().map(|last: &WorkspaceView| last.name.to_string());
                    return Ok(Page { items, next_cursor });
                }
                after = Some(name.clone());
                match self.get(&name).await {
                    Ok(workspace) => items.push(workspace),
                    Err(Error::NotFound { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
            if exhausted {
                return Ok(Page { items, next_cursor: None });
            }
        }
    }

    /// Refuses the workspace at the exec API; its webhooks are still taken in.
    ///
    /// # Errors
    /// There is none of that name, or the store.
    pub async fn suspend(&self, actor: &Actor, name: &WorkspaceId, reason: &Reason) -> Result<WorkspaceView, Error> {
        let step = ("workspace.suspend", EventType::WorkspaceSuspended, WorkspaceStatus::Suspended);
        self.set(actor, name, reason, step).await
    }

    /// Serves it again.
    ///
    /// # Errors
    /// There is none of that name, or the store.
    pub async fn resume(&self, actor: &Actor, name: &WorkspaceId, reason: &Reason) -> Result<WorkspaceView, Error> {
        let step = ("workspace.resume", EventType::WorkspaceResumed, WorkspaceStatus::Active);
        self.set(actor, name, reason, step).await
    }

    /// Deletes it: nobody can reach it any more, its routes are free, and its name is not given again.
    ///
    /// # Errors
    /// There is none of that name, or the store.
    pub async fn delete(&self, actor: &Actor, name: &WorkspaceId, reason: &Reason) -> Result<(), Error> {
        let step = ("workspace.delete", EventType::WorkspaceDeleted, WorkspaceStatus::Deleted);
        self.set(actor, name, reason, step).await.map(drop)
    }

    async fn set(
        &self,
        actor: &Actor,
        name: &WorkspaceId,
        reason: &Reason,
        (action, event, status): (&'static str, EventType, WorkspaceStatus),
    ) -> Result<WorkspaceView, Error> {
        let version = self.0.live(name).await?.version;
        loop {
            let (mut workspace, record) = self.0.workspace_record(name).await?.ok_or(Error::not_found("workspace"))?;
            if workspace.status == WorkspaceStatus::Deleted {
                return Err(Error::not_found("workspace"));
            }
            if workspace.status == status {
                return Ok(view(name, &workspace, version));
            }
            let before = json!({"status": workspace.status});
            workspace.status = status;
            let mut change = ControlChange::of(Owner::from(name));
            let body = document::encode(&workspace)?;
            change.writes.push(RecordWrite::put(RecordKind::Workspace, SELF, Expect::Version(record), body));
            if status == WorkspaceStatus::Deleted {
                change.routes = Some(Vec::new());
            }
            let audit = actor.audit(action, name).because(reason);
            change.audit.push(audit.change(Some(before), Some(json!({"status": status}))));
            change.events.push(NewEvent::new(event, name, actor.trace_id, json!({})));
            match self.0.store.commit(change).await {
                Ok(_) => {
                    self.0.snapshots.forget(name);
                    if status == WorkspaceStatus::Deleted {
                        self.0.states.drop_all(name);
                    }
                    return Ok(view(name, &workspace, version));
                }
                Err(CommitError::Conflict { .. }) => {}
                Err(error) => return Err(self.0.commit_error(error)),
            }
        }
    }
}

fn view(name: &WorkspaceId, workspace: &StoredWorkspace, config_version: u32) -> WorkspaceView {
    WorkspaceView {
        name: name.clone(),
        status: workspace.status,
        environment: name.environment().to_owned(),
        created_at: workspace.created_at,
        config_version,
    }
}
