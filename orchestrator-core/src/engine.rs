//! What every service shares.

use std::fmt::Display;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use orchestrator_types::{Environment, FieldError, IdempotencyKey, Page, RequestView, WorkspaceId, WorkspaceStatus};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::callback::CallbackTransport;
use crate::clock::Clock;
use crate::config::document::{POINTER, decode};
use crate::config::live::compile;
use crate::config::{LiveConfig, PolicyStates, Snapshots, StoredPointer, StoredVersion, version_key};
use crate::connector::{ConnectorRegistry, RunningChecks};
use crate::error::Error;
use crate::execute::Recorder;
use crate::hub::Hub;
use crate::payload::Depot;
use crate::queue::{Link, SeenKeys};
use crate::secrets::{SecretBoard, SecretResolver};
use crate::store::{CommitError, DEFAULT_WORKSPACES, KeyRoute, KnownAnswer, Owner, RecordKind, Store};
use crate::store_time::StoreTime;
use crate::webhooks::Notices;
use crate::worker::WorkerStats;
use crate::workspaces::{SELF, StoredWorkspace};

/// What every service shares.
pub(crate) struct Engine {
    pub(crate) environment: Environment,
    pub(crate) node: String,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) store_time: Arc<StoreTime>,
    pub(crate) kinds: ConnectorRegistry,
    pub(crate) checks: RunningChecks,
    pub(crate) callbacks: Option<Arc<dyn CallbackTransport>>,
    pub(crate) secrets: Arc<SecretResolver>,
    pub(crate) payloads: Option<Arc<Depot>>,
    pub(crate) secret_board: SecretBoard,
    pub(crate) snapshots: Snapshots,
    pub(crate) states: PolicyStates,
    pub(crate) hub: Arc<Hub>,
    pub(crate) queue: Option<Arc<Link>>,
    pub(crate) seen_keys: Option<Arc<dyn SeenKeys>>,
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

/// The active version of a workspace.
pub(crate) struct Stored {
    pub(crate) status: WorkspaceStatus,
    pub(crate) version: StoredVersion,
    pub(crate) etag: String,
}

impl Engine {
    /// The live config of a workspace that exists, suspended or not.
    pub(crate) async fn live(&self, workspace: &WorkspaceId) -> Result<Arc<LiveConfig>, Error> {
        if let Some(live) = self.snapshots.get(workspace) {
            return Ok(live);
        }
        loop {
            let generation = self.snapshots.generation();
            let Stored { status, version, etag } = self.stored(workspace).await?;
            // Compiling adapts the policies' state: of what was read before a change nothing is to be adapted.
            if self.snapshots.generation() != generation {
                continue;
            }
            let live = Arc::new(compile(self, workspace, status, version.version, etag, version.config));
            self.snapshots.keep(&live, generation);
            return Ok(live);
        }
    }

    /// The active version of a workspace that exists, as it is stored.
    pub(crate) async fn stored(&self, workspace: &WorkspaceId) -> Result<Stored, Error> {
        let (stored, _) = self.workspace_record(workspace).await?.ok_or(Error::not_found("workspace"))?;
        if stored.status == WorkspaceStatus::Deleted {
            self.states.drop_all(workspace);
            return Err(Error::not_found("workspace"));
        }
        let owner = Owner::from(workspace);
        let pointer = self.store.record(&owner, RecordKind::Pointer, POINTER).await?;
        let pointer: StoredPointer = decode(&pointer.ok_or(Error::not_found("workspace"))?.body)?;
        let version = self.store.record(&owner, RecordKind::Config, &version_key(pointer.version)).await?;
        let version = decode(&version.ok_or(Error::not_found("config version"))?.body)?;
        Ok(Stored { status: stored.status, version, etag: pointer.etag() })
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

    /// The answer to a request whose key was seen before, if the store has it: what repeats a request writes nothing then.
    pub(crate) async fn recall(
        &self,
        workspace: &WorkspaceId,
        route: KeyRoute,
        key: &IdempotencyKey,
    ) -> Option<KnownAnswer> {
        if !self.seen_keys.as_ref()?.seen(workspace, route, key).await {
            return None;
        }
        // A hint that does not hold, and a store that does not say: the usual way decides.
        self.store.kept(workspace, route, key).await.ok().flatten()
    }

    /// Notes that a key was used, and has its answer.
    pub(crate) fn used(&self, workspace: &WorkspaceId, route: KeyRoute, key: &IdempotencyKey) {
        if let Some(keys) = &self.seen_keys {
            keys.note(workspace, route, key);
        }
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
            CommitError::TooManyDefaults { route } => Error::InvalidConfig(vec![FieldError::new(
                format!("/webhook_routes/{route}/default"),
                format!(
                    "{DEFAULT_WORKSPACES} workspaces have a default route of this provider: name an `account` or a `route_key`"
                ),
            )]),
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
