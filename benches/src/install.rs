//! An engine on a disk, with one workspace that has whatever the loads need.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use orchestrator_connectors::{EgressClient, EgressPolicy, HttpKind};
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
use orchestrator_store_pg::{PgOptions, PgStore};
use orchestrator_store_sqlite::SqliteStore;
use serde_json::{Value, json};

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
}

/// An engine, and the folder that goes with it.
pub struct Install {
    /// The engine.
    pub engine: Orchestrator,
    /// Its workspace.
    pub workspace: WorkspaceId,
    /// Calls that the connector `nothing` has had.
    pub called: Arc<AtomicU64>,
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
        let folder = tempfile::tempdir_in(&options.dir)?;
        let (called, workspace) = (Arc::<AtomicU64>::default(), "bench-dev".parse()?);
        let store: Arc<dyn Store> = match backend {
            Backend::Sqlite => {
                Arc::new(SqliteStore::open(folder.path().join("bench.db"), SystemClock::shared()).await?)
            }
            Backend::Postgres { url } => Arc::new(PgStore::open(PgOptions::parse(url)?).await?),
        };
        let engine = engine(store, called.clone(), worker).await?;
        set_up(&engine, &workspace, upstream).await?;
        Ok(Self { engine, workspace, called, folder })
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

async fn engine(store: Arc<dyn Store>, called: Arc<AtomicU64>, worker: bool) -> Result<Orchestrator, AnyError> {
    let egress = EgressClient::new(EgressPolicy::new(vec!["127.0.0.0/8".parse()?]))?;
    let builder = Orchestrator::builder()
        .environment("dev")
        .store(store)
        .connector(HttpKind::new(egress))
        .connector(Nothing(called))
        .env(EnvSecrets::with_lookup(|_| Some(SECRET.to_owned())));
    let builder = if worker { builder.worker(WorkerOptions::default()) } else { builder };
    Ok(builder.build().await?)
}

/// Every policy works; none of them limits.
async fn set_up(engine: &Orchestrator, workspace: &WorkspaceId, upstream: &str) -> Result<(), AnyError> {
    let actor = Actor::program("bench");
    engine.workspaces().create(&actor, &WorkspaceRequest { name: workspace.clone(), template: None }).await?;
    let config: WorkspaceConfig = serde_json::from_value(json!({
        "policies": {"default": {
            "retry": {}, "breaker": {}, "concurrency": {"max": 1_024, "queue": 1_024},
            "rate_limit": {"per_second": 1_000_000, "burst": 1_000_000},
        }},
        "connectors": {
            "nothing": {"kind": "nothing"},
            "upstream": {"kind": "http", "settings": {"base_url": upstream}, "secrets": {"bearer": "secret"}},
        },
        "secret_refs": {"secret": {"source": "env", "key": "BENCH_DEV_SECRET"}},
        "callbacks": {"product": {"url": upstream, "signing_secret": "secret"}},
        "webhook_routes": {
            "stripe": {"provider": "stripe", "account": ACCOUNT, "signing_secret": "secret", "callback": "product"},
        },
    }))?;
    let request = ConfigRequest { config, message: "what the loads need".to_owned(), activate: None };
    engine.configs().add(&actor, workspace, request, None).await?;
    Ok(())
}

/// A kind that does nothing, at once.
struct Nothing(Arc<AtomicU64>);

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

    async fn call(&self, _: &CallContext, _: &str, _: &Value) -> Result<Value, CallError> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(json!({"done": true}))
    }
}

#[allow(clippy::expect_used, reason = "a constant that is a well-formed name")]
fn name(text: &str) -> Name {
    text.parse().expect("a well-formed name")
}
