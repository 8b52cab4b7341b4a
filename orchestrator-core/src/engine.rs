//! The engine: what every service shares, and its public face.

use std::fmt::Display;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use orchestrator_types::{Environment, Page, ProductConfig, RequestView, WorkspaceId, WorkspaceStatus};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::access::{Identities, Operators};
use crate::audit::Audit;
use crate::builder::Builder;
use crate::callback::CallbackTransport;
use crate::clock::Clock;
use crate::config::document::{POINTER, decode};
use crate::config::live::compile;
use crate::config::{Configs, LiveConfig, PolicyStates, Snapshots, StoredPointer, StoredVersion, version_key};
use crate::connector::ConnectorRegistry;
use crate::error::Error;
use crate::events::Events;
use crate::execute::{Call, Executed, Executions, Recorder, execute};
use crate::hub::Hub;
use crate::jobs::{DeadLetters, Jobs};
use crate::secrets::{SecretResolver, Secrets};
use crate::store::{CommitError, Owner, RecordKind, Store, StoreError};
use crate::webhooks::{Inbox, Notices, Webhooks};
use crate::worker::WorkerStats;
use crate::workspaces::{SELF, StoredWorkspace, Workspaces};

/// What every service shares.
pub(crate) struct Engine {
    pub(crate) environment: Environment,
    pub(crate) node: String,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) kinds: ConnectorRegistry,
    pub(crate) callbacks: Option<Arc<dyn CallbackTransport>>,
    pub(crate) secrets: Arc<SecretResolver>,
    pub(crate) snapshots: Snapshots,
    pub(crate) states: PolicyStates,
    pub(crate) hub: Arc<Hub>,
    pub(crate) recorder: Recorder,
    pub(crate) notices: Notices,
    pub(crate) worker: WorkerStats,
    pub(crate) stopping: CancellationToken,
    pub(crate) draining: CancellationToken,
    pub(crate) tasks: TaskTracker,
    /// Calls that have begun: they are finished although their caller went away.
    pub(crate) calls: TaskTracker,
    pub(crate) worker_tasks: TaskTracker,
}

impl Engine {
    /// The live config of a workspace that exists, suspended or not.
    pub(crate) async fn live(&self, workspace: &WorkspaceId) -> Result<Arc<LiveConfig>, Error> {
        if let Some(live) = self.snapshots.get(workspace) {
            return Ok(live);
        }
        loop {
            let generation = self.snapshots.generation();
            let missing = Error::not_found("workspace");
            let (stored, _) = self.workspace_record(workspace).await?.ok_or(missing)?;
            if stored.status == WorkspaceStatus::Deleted {
                self.states.drop_all(workspace);
                return Err(Error::not_found("workspace"));
            }
            let owner = Owner::from(workspace);
            let pointer = self.store.record(&owner, RecordKind::Pointer, POINTER).await?;
            let pointer: StoredPointer = decode(&pointer.ok_or(Error::not_found("workspace"))?.body)?;
            let version = self.store.record(&owner, RecordKind::Config, &version_key(pointer.version)).await?;
            let version: StoredVersion = decode(&version.ok_or(Error::not_found("config version"))?.body)?;
            // Compiling adapts the policies' state: of what was read before a change nothing is to be adapted.
            if self.snapshots.generation() != generation {
                continue;
            }
            let live =
                Arc::new(compile(self, workspace, stored.status, version.version, pointer.etag(), version.config));
            self.snapshots.keep(&live, generation);
            return Ok(live);
        }
    }

    /// The live config of a workspace that is served.
    pub(crate) async fn serving(&self, workspace: &WorkspaceId) -> Result<Arc<LiveConfig>, Error> {
        let live = self.live(workspace).await?;
        if live.status == WorkspaceStatus::Active { Ok(live) } else { Err(Error::Suspended) }
    }

    /// Refuses a workspace that does not exist.
    pub(crate) async fn workspace(&self, workspace: &WorkspaceId) -> Result<(), Error> {
        self.live(workspace).await.map(drop)
    }

    /// Whether there is a workspace of that name.
    pub(crate) async fn workspace_exists(&self, workspace: &WorkspaceId) -> Result<bool, Error> {
        match self.live(workspace).await {
            Ok(_) => Ok(true),
            Err(Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    pub(crate) async fn workspace_record(
        &self,
        workspace: &WorkspaceId,
    ) -> Result<Option<(StoredWorkspace, u64)>, Error> {
        // A workspace of another environment does not exist here, whatever the store holds.
        if workspace.environment() != self.environment.as_str() {
            return Ok(None);
        }
        let record = self.store.record(&Owner::from(workspace), RecordKind::Workspace, SELF).await?;
        record.map(|record| Ok((decode(&record.body)?, record.version))).transpose()
    }

    /// Refuses a name of another environment.
    pub(crate) fn environment_of<'a>(&self, workspace: &'a WorkspaceId) -> Result<&'a str, Error> {
        if workspace.environment() == self.environment.as_str() {
            Ok(workspace.environment())
        } else {
            Err(Error::WrongEnvironment { environment: self.environment.to_string() })
        }
    }

    pub(crate) fn commit_error(&self, error: CommitError) -> Error {
        match error {
            CommitError::Conflict { .. } => Error::Stale,
            CommitError::RouteTaken { route } => Error::RouteTaken { route: route.to_string() },
            CommitError::Store(error) => error.into(),
        }
    }

    /// The log line of a call: failures always, successes by the workspace's share.
    pub(crate) fn log_call(&self, live: &LiveConfig, record: &RequestView) {
        let (workspace, through) = (&live.workspace, &record.target);
        let (subject, trace_id, attempts, duration_ms) =
            (&record.subject, record.trace_id, record.attempts, record.duration_ms);
        match &record.error {
            Some(error) => {
                let code = &error.code;
                tracing::warn!(%workspace, %through, %subject, %trace_id, attempts, duration_ms, %code, "call failed");
            }
            None if fastrand::f64() < live.config.logging.sample_success => {
                tracing::info!(%workspace, %through, %subject, %trace_id, attempts, duration_ms, "call succeeded");
            }
            None => {}
        }
    }
}

/// No page is longer, and none is empty for ever.
const PAGE: usize = 500;
/// Nobody waits longer for something to happen.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 60 * 60);

/// How many items a page has, if so many are wanted.
pub(crate) fn page_size(wanted: usize) -> usize {
    wanted.clamp(1, PAGE)
}

/// Until when to wait, if so long is wanted.
pub(crate) fn wait_until(wait: Duration) -> Instant {
    Instant::now() + wait.min(LONGEST_WAIT)
}

/// A page of what was read with one item more than wanted.
pub(crate) fn page<T>(mut items: Vec<T>, limit: usize, cursor: impl Fn(&T) -> String) -> Page<T> {
    let more = items.len() > limit;
    items.truncate(limit);
    let next_cursor = items.last().filter(|_| more).map(cursor);
    Page { items, next_cursor }
}

/// The cursor of a list, which is the id of its last item.
pub(crate) fn cursor<T: FromStr>(cursor: Option<&str>) -> Result<Option<T>, Error>
where
    T::Err: Display,
{
    let wrong = || Error::invalid("/cursor", "not a cursor of this list");
    cursor.map(|text| text.parse().map_err(|_| wrong())).transpose()
}

/// How the engine stands, for metrics and readiness.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Health {
    /// The queue, over all workspaces.
    pub queue: crate::store::QueueStats,
    /// Jobs that this node runs now.
    pub running: u64,
    /// Settlements that came too late.
    pub stale_settlements: u64,
    /// Leases that were lost and made ready again by this node.
    pub lost_leases: u64,
    /// Request-log records that were dropped because the store was too far behind.
    pub dropped_records: u64,
    /// Connectors and callbacks whose policies remember something.
    pub lanes: usize,
}

/// The engine. Clones share it.
///
/// Built by [`Orchestrator::builder`]; everything it does is under one of its services.
#[derive(Clone)]
pub struct Orchestrator(pub(crate) Arc<Engine>);

impl Orchestrator {
    /// Begins to put an engine together.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Makes a synchronous call through a connector under its policy.
    ///
    /// Dropping the future does not stop a call that has begun: it is finished and recorded.
    ///
    /// # Errors
    /// What was refused before anything was sent. How a call that was made ended is in the answer.
    pub async fn execute(&self, workspace: &WorkspaceId, call: Call) -> Result<Executed, Error> {
        execute(&self.0, workspace, call).await
    }

    /// Calls that were made.
    #[must_use]
    pub fn executions(&self) -> Executions<'_> {
        Executions(&self.0)
    }

    /// Durable jobs.
    #[must_use]
    pub fn jobs(&self) -> Jobs<'_> {
        Jobs(&self.0)
    }

    /// Jobs and deliveries that were given up.
    #[must_use]
    pub fn dead_letters(&self) -> DeadLetters<'_> {
        DeadLetters(&self.0)
    }

    /// The event streams.
    #[must_use]
    pub fn events(&self) -> Events<'_> {
        Events(&self.0)
    }

    /// The webhook ingress.
    #[must_use]
    pub fn webhooks(&self) -> Webhooks<'_> {
        Webhooks(&self.0)
    }

    /// The webhook inbox.
    #[must_use]
    pub fn inbox(&self) -> Inbox<'_> {
        Inbox(&self.0)
    }

    /// Workspaces.
    #[must_use]
    pub fn workspaces(&self) -> Workspaces<'_> {
        Workspaces(&self.0)
    }

    /// Config versions and bundles.
    #[must_use]
    pub fn configs(&self) -> Configs<'_> {
        Configs(&self.0)
    }

    /// Stored secrets.
    #[must_use]
    pub fn secrets(&self) -> Secrets<'_> {
        Secrets(&self.0)
    }

    /// Operators and their roles.
    #[must_use]
    pub fn operators(&self) -> Operators<'_> {
        Operators(&self.0)
    }

    /// Service identities.
    #[must_use]
    pub fn identities(&self) -> Identities<'_> {
        Identities(&self.0)
    }

    /// The audit trail.
    #[must_use]
    pub fn audit(&self) -> Audit<'_> {
        Audit(&self.0)
    }

    /// The product's own documents of the active version, and its `ETag`.
    ///
    /// # Errors
    /// No such workspace, it is suspended, or the store.
    pub async fn product_config(&self, workspace: &WorkspaceId) -> Result<(ProductConfig, String), Error> {
        let live = self.0.serving(workspace).await?;
        let config = ProductConfig { version: live.version, settings: live.config.settings.clone() };
        Ok((config, live.etag.clone()))
    }

    /// Refuses a workspace that does not exist or is suspended: what the exec API asks first.
    ///
    /// # Errors
    /// No such workspace, it is suspended, or the store.
    pub async fn check_served(&self, workspace: &WorkspaceId) -> Result<(), Error> {
        self.0.serving(workspace).await.map(drop)
    }

    /// The connector kinds of this engine.
    #[must_use]
    pub fn connector_kinds(&self) -> Vec<orchestrator_types::ConnectorKindView> {
        self.0.kinds.views()
    }

    /// The environment that it serves.
    #[must_use]
    pub fn environment(&self) -> &Environment {
        &self.0.environment
    }

    /// The store that it stands on.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.0.store
    }

    /// Answers when everything that it needs does, unless it is draining.
    ///
    /// # Errors
    /// It is draining, or the store does not answer.
    pub async fn ready(&self) -> Result<(), Error> {
        if self.0.draining.is_cancelled() {
            return Err(Error::Unavailable(StoreError::unavailable("draining")));
        }
        Ok(self.0.store.ping().await?)
    }

    /// How it stands.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn health(&self) -> Result<Health, Error> {
        let worker = &self.0.worker;
        Ok(Health {
            queue: self.0.store.queue_stats().await?,
            running: worker.running(),
            stale_settlements: worker.stale(),
            lost_leases: worker.lost(),
            dropped_records: self.0.recorder.dropped(),
            lanes: self.0.states.len(),
        })
    }

    /// Cancelled when the engine begins to stop: streams and long polls end by it.
    #[must_use]
    pub fn draining(&self) -> CancellationToken {
        self.0.draining.clone()
    }

    /// Stops: no new work, what runs has up to `drain` to finish, the rest is given back; then the store is closed.
    pub async fn shutdown(&self, drain: Duration) {
        self.0.draining.cancel();
        self.0.worker_tasks.close();
        // The worker gives back by itself what is left after the drain; a little more is for writing that down.
        self.0.calls.close();
        let (worker, calls) = tokio::join!(
            tokio::time::timeout(drain.saturating_add(Duration::from_secs(5)), self.0.worker_tasks.wait()),
            tokio::time::timeout(drain, self.0.calls.wait()),
        );
        if worker.is_err() {
            tracing::warn!("the worker did not stop in time: its leases end by themselves");
        }
        if calls.is_err() {
            tracing::warn!(count = self.0.calls.len(), "calls did not end in time: their outcome is not recorded");
        }
        self.0.recorder.flush().await;
        self.0.stopping.cancel();
        self.0.tasks.close();
        if tokio::time::timeout(Duration::from_secs(5), self.0.tasks.wait()).await.is_err() {
            tracing::warn!("a background task did not stop in time");
        }
        self.0.store.close().await;
    }
}
