//! Control records: small documents by (owner, kind, key), each with a version, changed together or not at all.
//!
//! Workspaces, config versions, pointers, secrets, identities and operators are records. One [`commit`](ControlStore::commit)
//! holds what belongs together: a new version, the pointer, the route index, the audit record and the event.

use async_trait::async_trait;
use bytes::Bytes;
use orchestrator_types::{AuditId, AuditRecord, Name, Timestamp, TraceId, WorkspaceId};
use serde_json::Value;

use super::error::StoreError;
use super::event::NewEvent;

/// Whose a record is. There is no way to read a tenant's record without naming the tenant.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Owner {
    /// The install itself.
    Install,
    /// A tenant.
    Workspace(WorkspaceId),
}

impl Owner {
    /// The workspace's name; empty for the install.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Install => "",
            Self::Workspace(workspace) => workspace.as_str(),
        }
    }

    /// The workspace, if it is one.
    #[must_use]
    pub fn workspace(&self) -> Option<&WorkspaceId> {
        match self {
            Self::Install => None,
            Self::Workspace(workspace) => Some(workspace),
        }
    }
}

impl From<&WorkspaceId> for Owner {
    fn from(workspace: &WorkspaceId) -> Self {
        Self::Workspace(workspace.clone())
    }
}

/// What a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum RecordKind {
    /// The install's own: its environment, its keys.
    Install,
    /// The workspace itself: one record, key `self`.
    Workspace,
    /// A config version; the key is its number, ten digits.
    Config,
    /// Which version is active: one record, key `active`.
    Pointer,
    /// A sealed secret, with its versions.
    Secret,
    /// The workspace's data key, wrapped.
    DataKey,
    /// Which secret references could not be had when that was last told: one record, key `self`.
    SecretHealth,
    /// A service identity.
    Identity,
    /// An operator's role.
    Operator,
}

impl RecordKind {
    /// As it is stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Install => "install",
            Self::Workspace => "workspace",
            Self::Config => "config",
            Self::Pointer => "pointer",
            Self::Secret => "secret",
            Self::DataKey => "data_key",
            Self::SecretHealth => "secret_health",
            Self::Identity => "identity",
            Self::Operator => "operator",
        }
    }
}

/// A stored record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its key within owner and kind.
    pub key: String,
    /// Grows by one with each write, from 1; never restarts while the record exists.
    pub version: u64,
    /// Its content.
    pub body: Bytes,
    /// When it was last written.
    pub updated_at: Timestamp,
}

/// What must be true of a record for its write to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// Nothing.
    Any,
    /// It is not there.
    Absent,
    /// It is there in this version.
    Version(u64),
}

/// One write of a change.
#[derive(Debug, Clone)]
pub struct RecordWrite {
    /// What it is.
    pub kind: RecordKind,
    /// Its key.
    pub key: String,
    /// What must be true.
    pub expect: Expect,
    /// The new content; `None` deletes.
    pub body: Option<Bytes>,
}

impl RecordWrite {
    /// Writes `body`.
    pub fn put(kind: RecordKind, key: impl Into<String>, expect: Expect, body: impl Into<Bytes>) -> Self {
        Self { kind, key: key.into(), expect, body: Some(body.into()) }
    }

    /// Deletes the record.
    pub fn delete(kind: RecordKind, key: impl Into<String>, expect: Expect) -> Self {
        Self { kind, key: key.into(), expect, body: None }
    }
}

/// In so many workspaces a provider may have default routes: the secret of each is tried on an event that names nobody.
pub const DEFAULT_WORKSPACES: usize = 8;

/// How a provider's event names its route. Unique in the install per provider.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RouteKey {
    /// By the account in the payload.
    Account(String),
    /// By the last part of the path.
    Key(Name),
    /// By its secret alone: the default routes of up to [`DEFAULT_WORKSPACES`] workspaces are tried.
    Default,
}

/// A webhook route of a workspace's active config.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Its name in the config.
    pub name: Name,
    /// The provider.
    pub provider: Name,
    /// How events name it.
    pub key: RouteKey,
}

/// Who has a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteOwner {
    /// The tenant.
    pub workspace: WorkspaceId,
    /// The route's name in its config.
    pub route: Name,
    /// When the workspace took it.
    pub since: Timestamp,
    /// Whether it has verified an event since.
    pub verified: bool,
}

/// An audit record to be: number, time and hashes are the store's to give.
#[derive(Debug, Clone, PartialEq)]
pub struct NewAudit {
    /// Its id.
    pub id: AuditId,
    /// Who.
    pub actor: String,
    /// Through whom.
    pub via: Option<String>,
    /// What.
    pub action: &'static str,
    /// To what.
    pub target: String,
    /// Why.
    pub reason: Option<String>,
    /// What was there before.
    pub before: Option<Value>,
    /// What is there after.
    pub after: Option<Value>,
    /// The trace of the request.
    pub trace_id: TraceId,
}

/// A change: all of it or nothing.
#[derive(Debug, Clone)]
pub struct ControlChange {
    /// Whose.
    pub owner: Owner,
    /// The writes; each expectation must hold.
    pub writes: Vec<RecordWrite>,
    /// Replaces the workspace's routes by these; `None` leaves them.
    pub routes: Option<Vec<Route>>,
    /// Whether routes that another workspace holds are taken from it (the install's administrator may).
    /// Without it a route is taken only from one that has held it for 24 h and never verified an event.
    pub take_routes: bool,
    /// Appended to the owner's audit chain.
    pub audit: Vec<NewAudit>,
    /// Appended to the workspace's events; none for the install.
    pub events: Vec<NewEvent>,
}

impl ControlChange {
    /// A change of nothing yet.
    #[must_use]
    pub fn of(owner: Owner) -> Self {
        Self { owner, writes: Vec::new(), routes: None, take_routes: false, audit: Vec::new(), events: Vec::new() }
    }
}

/// A change that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The new version of each record written, in the order of the writes; 0 where it was deleted.
    pub versions: Vec<u64>,
    /// The install's epoch after it.
    pub epoch: u64,
}

/// Why a change did not happen.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// An expectation did not hold: this is the record's version now.
    #[error("the record was changed meanwhile")]
    Conflict {
        /// Which write, counted from 0.
        write: usize,
        /// The version that is there; `None` if the record is not.
        current: Option<u64>,
    },
    /// Another workspace holds this route.
    #[error("another workspace holds the route")]
    RouteTaken {
        /// The route's name in the config that wants it.
        route: Name,
    },
    /// [`DEFAULT_WORKSPACES`] others have a default route of this route's provider.
    #[error("too many workspaces have a default route of the provider")]
    TooManyDefaults {
        /// The route's name in the config that wants it.
        route: Name,
    },
    /// The store did not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Control records, routes and audit.
#[async_trait]
pub trait ControlStore: Send + Sync + 'static {
    /// Makes a change, in one transaction. Grows the install's epoch by one.
    ///
    /// # Errors
    /// An expectation did not hold, a route is taken, or the store did not do it; in each case nothing has changed.
    async fn commit(&self, change: ControlChange) -> Result<Committed, CommitError>;

    /// One record.
    ///
    /// # Errors
    /// The store does not answer.
    async fn record(&self, owner: &Owner, kind: RecordKind, key: &str) -> Result<Option<Record>, StoreError>;

    /// Up to `limit` records of a kind in the order of their keys, from after `after`.
    ///
    /// # Errors
    /// The store does not answer.
    async fn records(
        &self,
        owner: &Owner,
        kind: RecordKind,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError>;

    /// Up to `limit` workspaces in the order of their names, from after `after`: those with a record of kind
    /// [`RecordKind::Workspace`].
    ///
    /// # Errors
    /// The store does not answer.
    async fn workspaces(&self, after: Option<&WorkspaceId>, limit: usize) -> Result<Vec<WorkspaceId>, StoreError>;

    /// The install's epoch and the owners changed after `epoch`.
    ///
    /// # Errors
    /// The store does not answer.
    async fn changed_since(&self, epoch: u64) -> Result<(u64, Vec<Owner>), StoreError>;

    /// Who holds the route that events of `provider` name by `key`. For [`RouteKey::Default`] all who have one: at most
    /// [`DEFAULT_WORKSPACES`].
    ///
    /// # Errors
    /// The store does not answer.
    async fn routes(&self, provider: &Name, key: &RouteKey) -> Result<Vec<RouteOwner>, StoreError>;

    /// Up to `limit` routes of a provider, whatever names them, in an order that stays.
    ///
    /// # Errors
    /// The store does not answer.
    async fn provider_routes(&self, provider: &Name, limit: usize) -> Result<Vec<RouteOwner>, StoreError>;

    /// Notes that a route has verified an event: from now on it does not yield.
    ///
    /// # Errors
    /// The store does not answer.
    async fn route_verified(&self, workspace: &WorkspaceId, route: &Name) -> Result<(), StoreError>;

    /// Up to `limit` audit records of an owner in order, from after number `after`.
    ///
    /// # Errors
    /// The store does not answer.
    async fn audit(&self, owner: &Owner, after: u64, limit: usize) -> Result<Vec<AuditRecord>, StoreError>;
}
