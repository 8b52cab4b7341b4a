//! Putting an engine together.

use std::path::PathBuf;
use std::sync::Arc;

use orchestrator_types::{Environment, Timestamp};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::callback::CallbackTransport;
use crate::clock::{Clock, SystemClock};
use crate::config::document::{decode, encode};
use crate::config::{PolicyStates, Snapshots};
use crate::connector::{ConnectorKind, ConnectorRegistry, RegistryError, RunningChecks};
use crate::engine::Engine;
use crate::execute::Recorder;
use crate::hub::Hub;
use crate::orchestrator::Orchestrator;
use crate::payload::{Depot, PayloadStore};
use crate::policy::rate_limit::lease::{Keeper, TokenLeases};
use crate::queue::{ConfigNotices, JobQueue, Link, SeenKeys};
use crate::secrets::seal::KeyRing;
use crate::secrets::{
    EnvSecrets, FileSecrets, InstallKeys, SecretBoard, SecretOrigins, SecretResolver, VaultPrefix, VaultReader,
    VaultSecrets,
};
use crate::store::{
    CommitError, ControlChange, ControlStore, Deadline, Expect, Owner, RecordKind, RecordWrite, Store, StoreError,
};
use crate::store_time::StoreTime;
use crate::webhooks::Notices;
use crate::worker::{self, WorkerOptions, WorkerStats};
use crate::{retention, secrets};

const META: &str = "meta";
const PAYLOAD_MAX: u64 = 256 << 20;

/// Why an engine could not be built: one line that says what to change.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A part is missing.
    #[error("the engine needs {0}")]
    Missing(&'static str),
    /// The environment's name is none.
    #[error("the environment: {0}")]
    Environment(String),
    /// The store is of another environment: nothing of it can be used here.
    #[error("the store belongs to the environment `{store}`, and this install serves `{wanted}`")]
    OtherEnvironment {
        /// What the store says.
        store: String,
        /// What was asked for.
        wanted: String,
    },
    /// A connector kind cannot be registered.
    #[error(transparent)]
    Kind(#[from] RegistryError),
    /// The store does not answer.
    #[error("the store cannot be used: {0}")]
    Store(#[from] StoreError),
}

/// What the install remembers of itself.
#[derive(Debug, Serialize, Deserialize)]
struct Meta {
    environment: Environment,
    created_at: Timestamp,
}

/// Puts an engine together. Needs an environment and a store; everything else has a default.
#[derive(Default)]
pub struct Builder {
    environment: Option<String>,
    store: Option<Arc<dyn Store>>,
    kinds: Vec<Arc<dyn ConnectorKind>>,
    callbacks: Option<Arc<dyn CallbackTransport>>,
    keys: Option<Arc<InstallKeys>>,
    secrets_dir: Option<PathBuf>,
    vault: Option<VaultSecrets>,
    env: Option<EnvSecrets>,
    clock: Option<Arc<dyn Clock>>,
    worker: Option<WorkerOptions>,
    payloads: Option<Arc<dyn PayloadStore>>,
    payload_max: Option<u64>,
    leases: Option<Arc<dyn TokenLeases>>,
    queue: Option<Arc<dyn JobQueue>>,
    notices: Option<Arc<dyn ConfigNotices>>,
    seen_keys: Option<Arc<dyn SeenKeys>>,
}

impl Builder {
    /// The environment that this install serves: workspaces are named `*-<environment>`.
    #[must_use]
    pub fn environment(mut self, environment: impl Into<String>) -> Self {
        self.environment = Some(environment.into());
        self
    }

    /// Where everything durable is.
    #[must_use]
    pub fn store(mut self, store: Arc<dyn Store>) -> Self {
        self.store = Some(store);
        self
    }

    /// Adds a connector kind.
    #[must_use]
    pub fn connector(mut self, kind: impl ConnectorKind) -> Self {
        self.kinds.push(Arc::new(kind));
        self
    }

    /// The way to the products. Without one, deliveries wait in the store.
    #[must_use]
    pub fn callbacks(mut self, transport: Arc<dyn CallbackTransport>) -> Self {
        self.callbacks = Some(transport);
        self
    }

    /// The install's keys: with them secrets can be stored sealed. They stay as they are while the engine runs.
    #[must_use]
    pub fn keys(self, ring: Arc<KeyRing>) -> Self {
        self.install_keys(Arc::new(InstallKeys::fixed(ring)))
    }

    /// The install's keys, which can be rotated while the engine runs.
    #[must_use]
    pub fn install_keys(mut self, keys: Arc<InstallKeys>) -> Self {
        self.keys = Some(keys);
        self
    }

    /// A vault, and where in it the secrets of each workspace lie.
    #[must_use]
    pub fn vault(mut self, reader: Arc<dyn VaultReader>, prefix: VaultPrefix) -> Self {
        self.vault = Some(VaultSecrets { prefix, reader });
        self
    }

    /// The folder of secret files; each workspace reads its own folder in it.
    #[must_use]
    pub fn secrets_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.secrets_dir = Some(dir.into());
        self
    }

    /// Where `env` references look; the process's environment if not given.
    #[must_use]
    pub fn env(mut self, env: EnvSecrets) -> Self {
        self.env = Some(env);
        self
    }

    /// The wall clock; the system's if not given.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Runs jobs in this process. Without it jobs are accepted, and run by whichever node does.
    #[must_use]
    pub fn worker(mut self, options: WorkerOptions) -> Self {
        self.worker = Some(options);
        self
    }

    /// Where large bodies are stored apart. Without it they stay inline, whatever the workspaces' limit.
    #[must_use]
    pub fn payloads(mut self, store: Arc<dyn PayloadStore>) -> Self {
        self.payloads = Some(store);
        self
    }

    /// No payload has more bytes; 256 MiB if not given.
    #[must_use]
    pub fn payload_max_bytes(mut self, max: u64) -> Self {
        self.payload_max = Some(max);
        self
    }

    /// Where the tokens of rate limits are shared with other nodes. Without it each limit is this process's own.
    #[must_use]
    pub fn token_leases(mut self, leases: Arc<dyn TokenLeases>) -> Self {
        self.leases = Some(leases);
        self
    }

    /// Where nodes tell each other which jobs may be ready. Without it workers look in the store alone.
    #[must_use]
    pub fn queue(mut self, queue: Arc<dyn JobQueue>) -> Self {
        self.queue = Some(queue);
        self
    }

    /// How nodes tell each other that a config changed. Without it they see it within half a second.
    #[must_use]
    pub fn config_notices(mut self, notices: Arc<dyn ConfigNotices>) -> Self {
        self.notices = Some(notices);
        self
    }

    /// Where nodes remember which idempotency keys were used lately. Without it a repeated request takes the way of a new one,
    /// and is answered at its end.
    #[must_use]
    pub fn seen_keys(mut self, keys: Arc<dyn SeenKeys>) -> Self {
        self.seen_keys = Some(keys);
        self
    }

    /// Builds the engine and starts its background tasks on the current runtime. End it by
    /// [`shutdown`](Orchestrator::shutdown).
    ///
    /// # Errors
    /// A part is missing, the store is of another environment or does not answer, or a kind cannot be registered.
    pub async fn build(self) -> Result<Orchestrator, BuildError> {
        let environment = self.environment.ok_or(BuildError::Missing("an environment"))?;
        let environment: Environment = environment
            .parse()
            .map_err(|error: orchestrator_types::NameError| BuildError::Environment(error.to_string()))?;
        let store = Deadline::around(self.store.ok_or(BuildError::Missing("a store"))?);
        let clock = self.clock.unwrap_or_else(SystemClock::shared);
        claim_environment(store.as_ref(), &environment, clock.now()).await?;
        let mut kinds = ConnectorRegistry::default();
        for kind in self.kinds {
            kinds.register(kind)?;
        }
        // Before anything is read: what changes from now on is noticed.
        let (epoch, _) = store.changed_since(u64::MAX).await?;
        let store_time = Arc::new(StoreTime::of(store.as_ref()).await?);
        let (queue, offering) = self.queue.map(Link::new).unzip();
        let hub = Arc::new(Hub::offering(queue.clone()));
        store.attach(hub.clone());
        let (recorder, recording) = Recorder::start(store.clone());
        let resolver = SecretResolver::new(
            environment.clone(),
            store.clone(),
            self.keys,
            clock.clone(),
            SecretOrigins {
                env: self.env.unwrap_or_else(EnvSecrets::of_process),
                files: self.secrets_dir.map(FileSecrets::new),
                vault: self.vault,
            },
        );
        let resolver = Arc::new(resolver);
        let payloads = self.payloads.map(|objects| {
            Arc::new(Depot {
                environment: environment.clone(),
                store: store.clone(),
                objects,
                secrets: resolver.clone(),
                clock: clock.clone(),
                max: self.payload_max.unwrap_or(PAYLOAD_MAX),
            })
        });
        let (keeper, fetching) = self.leases.map(Keeper::new).unzip();
        let engine = Arc::new(Engine {
            environment,
            // Unique for each start: a name that comes back would hide that the former one is dead.
            node: Uuid::now_v7().to_string(),
            store,
            clock,
            store_time,
            kinds,
            checks: RunningChecks::default(),
            callbacks: self.callbacks,
            secrets: resolver,
            payloads,
            secret_board: SecretBoard::default(),
            snapshots: Snapshots::default(),
            states: PolicyStates::new(keeper),
            hub,
            queue,
            seen_keys: self.seen_keys,
            recorder,
            notices: Notices::default(),
            worker: WorkerStats::default(),
            stopping: CancellationToken::new(),
            draining: CancellationToken::new(),
            tasks: TaskTracker::new(),
            calls: TaskTracker::new(),
            worker_tasks: TaskTracker::new(),
        });
        let stopping = engine.stopping.clone();
        engine.tasks.spawn(async move {
            tokio::select! {
                biased;
                () = recording => {}
                () = stopping.cancelled() => {}
            }
        });
        if let Some(offering) = offering {
            let stopping = engine.stopping.clone();
            engine.tasks.spawn(async move {
                tokio::select! {
                    biased;
                    () = offering => {}
                    () = stopping.cancelled() => {}
                }
            });
        }
        if let Some(fetching) = fetching {
            let stopping = engine.stopping.clone();
            engine.tasks.spawn(async move {
                tokio::select! {
                    biased;
                    () = fetching => {}
                    () = stopping.cancelled() => {}
                }
            });
        }
        engine.tasks.spawn(retention::rest(engine.clone()));
        if let Some(notices) = &self.notices {
            engine.tasks.spawn(retention::announce(engine.clone(), notices.clone()));
        }
        engine.tasks.spawn(retention::follow(engine.clone(), epoch, self.notices));
        engine.tasks.spawn(retention::sweep(engine.clone()));
        engine.tasks.spawn(retention::summaries(engine.clone()));
        engine.tasks.spawn(secrets::watch(engine.clone()));
        engine.tasks.spawn(secrets::resume(engine.clone()));
        if let Some(options) = self.worker {
            worker::start(&engine, options);
        }
        Ok(Orchestrator(engine))
    }
}

/// The environment that a store belongs to; `None` if no engine has ever been built on it. Reads only.
///
/// # Errors
/// The store does not answer, or what it holds cannot be read.
pub async fn environment_of(store: &dyn ControlStore) -> Result<Option<Environment>, StoreError> {
    let record = store.record(&Owner::Install, RecordKind::Install, META).await?;
    record.map(|record| decode::<Meta>(&record.body).map(|meta| meta.environment)).transpose()
}

/// The first engine on a store gives it its environment; every other must be of the same.
async fn claim_environment(store: &dyn Store, wanted: &Environment, now: Timestamp) -> Result<(), BuildError> {
    loop {
        if let Some(environment) = environment_of(store).await? {
            if environment == *wanted {
                return Ok(());
            }
            let (store, wanted) = (environment.to_string(), wanted.to_string());
            return Err(BuildError::OtherEnvironment { store, wanted });
        }
        let body = encode(&Meta { environment: wanted.clone(), created_at: now })?;
        let mut change = ControlChange::of(Owner::Install);
        change.writes.push(RecordWrite::put(RecordKind::Install, META, Expect::Absent, body));
        match store.commit(change).await {
            Ok(_) | Err(CommitError::Conflict { .. }) => {}
            Err(CommitError::Store(error)) => return Err(error.into()),
            Err(CommitError::RouteTaken { .. } | CommitError::TooManyDefaults { .. }) => {
                return Err(StoreError::Corrupt("the install's record".to_owned()).into());
            }
        }
    }
}
