//! An engine on a disk, with one workspace that has whatever the loads need.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use orchestrator_connectors::{EgressClient, EgressPolicy, HttpCallbacks, HttpKind};
use orchestrator_core::clock::SystemClock;
use orchestrator_core::connector::{
    CallContext, CallError, CallPlan, Connector, ConnectorKind, Idempotency, KindDescription, OperationDescription,
    PlanError, SecretSlots,
};
use orchestrator_core::secrets::EnvSecrets;
use orchestrator_core::store::Store;
use orchestrator_core::types::{ConfigRequest, FieldError, Name, WorkspaceConfig, WorkspaceId, WorkspaceRequest};
use orchestrator_core::worker::WorkerOptions;
use orchestrator_core::{Actor, Orchestrator};
use orchestrator_queue_redis::{RedisOptions, RedisParts, RedisQueue};
use orchestrator_store_pg::{PgOptions, PgStore};
use orchestrator_store_sqlite::SqliteStore;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::AnyError;
use crate::options::Options;

/// What Stripe and the callbacks sign with here.
pub const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// The account of the Stripe route.
pub const ACCOUNT: &str = "acct_bench";

/// What holds everything durable.
#[derive(Debug, Clone)]
pub enum Backend {
    /// A file on the disk of the options.
    Sqlite,
    /// A database, which is empty.
    Postgres {
        /// Its URL.
        url: String,
    },
    /// The same, with Redis for hints and limits.
    PostgresRedis {
        /// The database's URL.
        url: String,
        /// The URL of a Redis.
        redis: String,
    },
}

/// An engine, and the folder that goes with it.
pub struct Install {
    /// The engine.
    pub engine: Orchestrator,
    /// Its workspace.
    pub workspace: WorkspaceId,
    /// What the connector `nothing` has had.
    pub done: Done,
    folder: tempfile::TempDir,
}

impl Install {
    /// A new one on SQLite, whose connector `upstream` leads to this URL. Jobs run only with a worker.
    ///
    /// # Errors
    /// It does not start.
    pub async fn new(options: &Options, upstream: &str, worker: bool) -> Result<Self, AnyError> {
        Self::on(&Backend::Sqlite, options, upstream, worker).await
    }

    /// The same on this backend.
    ///
    /// # Errors
    /// It does not start.
    pub async fn on(backend: &Backend, options: &Options, upstream: &str, worker: bool) -> Result<Self, AnyError> {
        let worker = worker.then(WorkerOptions::default);
        let install = Self::again(backend, options, worker).await?;
        set_up(&install.engine, &install.workspace, upstream).await?;
        Ok(install)
    }

    /// An engine on what is there, set up before or not at all.
    ///
    /// # Errors
    /// It does not start.
    pub async fn again(backend: &Backend, options: &Options, worker: Option<WorkerOptions>) -> Result<Self, AnyError> {
        let folder = tempfile::tempdir_in(&options.dir)?;
        let (done, workspace) = (Done::default(), "bench-dev".parse()?);
        let store: Arc<dyn Store> = match backend {
            Backend::Sqlite => {
                Arc::new(SqliteStore::open(folder.path().join("bench.db"), SystemClock::shared()).await?)
            }
            Backend::Postgres { url } | Backend::PostgresRedis { url, .. } => {
                Arc::new(PgStore::open(PgOptions::parse(url)?).await?)
            }
        };
        let redis = match backend {
            Backend::PostgresRedis { redis, .. } => {
                Some(RedisQueue::connect(&RedisOptions::parse(redis, "dev")?).await?)
            }
            _ => None,
        };
        let engine = engine(store, redis, done.clone(), worker).await?;
        Ok(Self { engine, workspace, done, folder })
    }

    /// Stops it and removes what it kept.
    ///
    /// # Errors
    /// Its folder cannot be removed.
    pub async fn end(self) -> Result<(), AnyError> {
        self.engine.shutdown(Duration::from_secs(5)).await;
        Ok(self.folder.close()?)
    }
}

async fn engine(
    store: Arc<dyn Store>,
    redis: Option<RedisParts>,
    done: Done,
    worker: Option<WorkerOptions>,
) -> Result<Orchestrator, AnyError> {
    let egress = EgressClient::new(EgressPolicy::new(vec!["127.0.0.0/8".parse()?]))?;
    let builder = Orchestrator::builder()
        .environment("dev")
        .store(store)
        .connector(HttpKind::new(egress.clone()))
        .callbacks(Arc::new(HttpCallbacks::new(egress)))
        .connector(Nothing(done))
        .env(EnvSecrets::with_lookup(|_| Some(SECRET.to_owned())));
    let builder = match redis {
        Some(redis) => builder.queue(redis.queue).token_leases(redis.limits).config_notices(redis.notices),
        None => builder,
    };
    let builder = match worker {
        Some(worker) => builder.worker(worker),
        None => builder,
    };
    Ok(builder.build().await?)
}

/// Makes a workspace in which every policy works and none of them limits.
///
/// # Errors
/// It cannot be made.
pub async fn set_up(engine: &Orchestrator, workspace: &WorkspaceId, upstream: &str) -> Result<(), AnyError> {
    let actor = Actor::program("bench");
    // One account is of one workspace.
    let account = if workspace.as_str() == "bench-dev" { ACCOUNT.to_owned() } else { format!("acct_{workspace}") };
    engine.workspaces().create(&actor, &WorkspaceRequest { name: workspace.clone(), template: None }).await?;
    let variable = format!("{}_SECRET", workspace.as_str().to_uppercase().replace('-', "_"));
    let config: WorkspaceConfig = serde_json::from_value(json!({
        "policies": {"default": {
            "retry": {}, "breaker": {}, "concurrency": {"max": 1_024, "queue": 1_024},
            "rate_limit": {"per_second": 1_000_000, "burst": 1_000_000},
        }},
        "connectors": {
            "nothing": {"kind": "nothing"},
            "upstream": {"kind": "http", "settings": {"base_url": upstream}, "secrets": {"bearer": "secret"}},
        },
        "secret_refs": {"secret": {"source": "env", "key": variable}},
        "callbacks": {"product": {"url": upstream, "signing_secret": "secret"}},
        "webhook_routes": {
            "stripe": {"provider": "stripe", "account": account, "signing_secret": "secret", "callback": "product"},
        },
    }))?;
    let request = ConfigRequest { config, message: "what the loads need".to_owned(), activate: None };
    engine.configs().add(&actor, workspace, request, None).await?;
    Ok(())
}

/// What the connector `nothing` has had.
#[derive(Debug, Clone, Default)]
pub struct Done {
    /// How many calls.
    pub called: Arc<AtomicU64>,
    /// When each began whose input has a number `n`.
    pub began: Arc<Mutex<HashMap<u64, Instant>>>,
}

/// A kind that does nothing, at once; for ever if its input has `hang`.
struct Nothing(Done);

impl ConnectorKind for Nothing {
    fn describe(&self) -> KindDescription {
        KindDescription {
            name: name("nothing"),
            description: "Does nothing.".to_owned(),
            settings_schema: json!({"type": "object", "additionalProperties": false}),
            secret_slots: Vec::new(),
            operations: vec![OperationDescription {
                name: "do".to_owned(),
                description: "Does nothing.".to_owned(),
                idempotency: Idempotency::Depends,
                input_schema: json!({}),
                output_schema: json!({}),
            }],
        }
    }

    fn build(&self, _: &Value, _: SecretSlots) -> Result<Arc<dyn Connector>, Vec<FieldError>> {
        Ok(Arc::new(Self(self.0.clone())))
    }
}

#[async_trait]
impl Connector for Nothing {
    fn plan(&self, _: &str, _: &Value) -> Result<CallPlan, PlanError> {
        Ok(CallPlan { idempotent: true })
    }

    async fn call(&self, _: &CallContext, _: &str, input: &Value) -> Result<Value, CallError> {
        if input.get("hang").is_some() {
            std::future::pending::<()>().await;
        }
        if let Some(number) = input.get("n").and_then(Value::as_u64) {
            self.0.began.lock().unwrap_or_else(PoisonError::into_inner).insert(number, Instant::now());
        }
        self.0.called.fetch_add(1, Ordering::Relaxed);
        Ok(json!({"done": true}))
    }
}

#[allow(clippy::expect_used, reason = "a constant that is a well-formed name")]
fn name(text: &str) -> Name {
    text.parse().expect("a well-formed name")
}
