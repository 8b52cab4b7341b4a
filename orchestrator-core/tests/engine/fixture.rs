//! A world for a test: an engine on a store in memory, with a scripted connector, a product, and a clock that goes with
//! tokio's paused time.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use orchestrator_core::clock::Clock;
use orchestrator_core::execute::{Call, Executed};
use orchestrator_core::jobs::{JobCall, Submitted};
use orchestrator_core::memory::MemoryStore;
use orchestrator_core::payload::MemoryPayloads;
use orchestrator_core::queue::{JobQueue, MemoryQueue};
use orchestrator_core::secrets::seal::{InstallKey, KeyRing};
use orchestrator_core::secrets::{EnvSecrets, Secret};
use orchestrator_core::store::{EventFilter, Store};
use orchestrator_core::types::{
    Bundle, EventType, EventView, JobId, JobStatus, JobView, Name, Timestamp, TraceId, WorkspaceConfig, WorkspaceId,
};
use orchestrator_core::webhooks::Ingress;
use orchestrator_core::webhooks::signature::{Fixture, provider};
use orchestrator_core::worker::WorkerOptions;
use orchestrator_core::{Actor, Error, Orchestrator, Reason};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::product::Product;
use crate::script::Script;

/// A moment of January 2027.
const START_MS: i64 = 1_800_000_000_000;
pub const LONG: Duration = Duration::from_secs(3_600);
/// Standard Webhooks secrets of 24 bytes.
pub const CB: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3";
pub const CB2: &str = "whsec_YWJjZGVmMDEyMzQ1Njc4OWFiY2RlZjAx";

/// The wall clock as tokio's time goes, paused or not; it can be set off against it.
#[derive(Clone)]
pub struct TokioClock(Instant, Arc<Mutex<i64>>);

impl TokioClock {
    pub fn new() -> Self {
        Self(Instant::now(), Arc::default())
    }

    /// Sets the wall clock on, while tokio's time stands.
    pub fn set_on(&self, by: Duration) {
        *self.1.lock().unwrap() += i64::try_from(by.as_millis()).unwrap();
    }

    pub fn shared(&self) -> Arc<dyn Clock> {
        Arc::new(self.clone())
    }
}

impl Clock for TokioClock {
    fn now(&self) -> Timestamp {
        let set_off = *self.1.lock().unwrap();
        Timestamp::from_unix_ms(START_MS + set_off + i64::try_from(self.0.elapsed().as_millis()).unwrap())
    }
}

/// Everything that engines of one install share.
#[derive(Clone)]
pub struct Install {
    pub store: Arc<dyn Store>,
    pub clock: TokioClock,
    pub script: Script,
    pub product: Product,
    pub env: Arc<Mutex<HashMap<String, String>>>,
    pub ring: Arc<KeyRing>,
    pub payloads: Arc<MemoryPayloads>,
    pub queue: Option<Arc<dyn JobQueue>>,
}

impl Install {
    pub fn new() -> Self {
        let clock = TokioClock::new();
        // With it the same world goes by hints: all that holds without a queue holds with one.
        let queue = std::env::var_os("ORCHESTRATOR_TEST_QUEUE").map(|_| MemoryQueue::new(clock.shared()));
        Self {
            store: Arc::new(MemoryStore::new(clock.shared())),
            clock,
            script: Script::default(),
            product: Product::default(),
            env: Arc::default(),
            ring: Arc::new(KeyRing::new(InstallKey::generate().unwrap(), Vec::new())),
            payloads: Arc::default(),
            queue: queue.map(|queue| Arc::new(queue) as Arc<dyn JobQueue>),
        }
    }

    /// A node without a worker.
    pub async fn node(&self) -> Orchestrator {
        self.builder().build().await.unwrap()
    }

    /// A node with one.
    pub async fn worker(&self, options: WorkerOptions) -> Orchestrator {
        self.builder().worker(options).build().await.unwrap()
    }

    pub fn builder(&self) -> orchestrator_core::Builder {
        let env = self.env.clone();
        let builder = match &self.queue {
            Some(queue) => Orchestrator::builder().queue(queue.clone()),
            None => Orchestrator::builder(),
        };
        builder
            .environment("dev")
            .store(self.store.clone())
            .connector(self.script.clone())
            .callbacks(self.product.shared())
            .keys(self.ring.clone())
            .payloads(self.payloads.clone())
            .env(EnvSecrets::with_lookup(move |key| env.lock().unwrap().get(key).cloned()))
            .clock(self.clock.shared())
    }

    pub fn set_env(&self, key: &str, value: &str) {
        self.env.lock().unwrap().insert(key.to_owned(), value.to_owned());
    }
}

/// One engine with one workspace, `shop-dev`.
pub struct World {
    pub install: Install,
    pub engine: Orchestrator,
    pub shop: WorkspaceId,
}

impl World {
    /// Without a worker.
    pub async fn idle() -> Self {
        Self::with(None, config("shop-dev", json!({}))).await
    }

    /// With a worker.
    pub async fn working() -> Self {
        Self::with(Some(WorkerOptions::default()), config("shop-dev", json!({}))).await
    }

    pub async fn with(worker: Option<WorkerOptions>, config: Value) -> Self {
        Self::on(Install::new(), worker, config).await
    }

    /// On an install that is there.
    pub async fn on(install: Install, worker: Option<WorkerOptions>, config: Value) -> Self {
        let engine = match worker {
            Some(options) => install.worker(options).await,
            None => install.node().await,
        };
        let world = Self { install, engine, shop: workspace("shop-dev") };
        world.import("shop-dev", config).await;
        world
    }

    /// Makes a workspace what the config says, with its secrets in the environment.
    pub async fn import(&self, name: &str, config: Value) -> WorkspaceId {
        let name = workspace(name);
        let prefix = orchestrator_core::secrets::env_prefix(&name);
        self.install.set_env(&format!("{prefix}CB"), CB);
        self.install.set_env(&format!("{prefix}TOKEN"), "token-of-the-upstream");
        self.install.set_env(&format!("{prefix}WHSEC"), &format!("whsec_of_{name}"));
        let bundle = Bundle { format: 1, workspace: name.clone(), config: parse(config), operators: None };
        self.engine.configs().import(&admin(), &name, &bundle, false).await.unwrap();
        name
    }

    pub fn script(&self) -> &Script {
        &self.install.script
    }

    pub fn product(&self) -> &Product {
        &self.install.product
    }

    pub async fn call(&self, operation: &str, steps: &[&str]) -> Executed {
        self.engine.execute(&self.shop, call(operation, steps)).await.unwrap()
    }

    pub async fn submit(&self, job: JobCall) -> JobId {
        submit(&self.engine, &self.shop, vec![job]).await.jobs[0].id
    }

    /// The job when it has ended.
    pub async fn ended(&self, job: JobId) -> JobView {
        let view = self.engine.jobs().get(&self.shop, job, LONG).await.unwrap();
        assert!(view.status.is_terminal(), "{view:?}");
        view
    }

    pub async fn status(&self, job: JobId) -> JobStatus {
        self.engine.jobs().get(&self.shop, job, Duration::ZERO).await.unwrap().status
    }

    pub async fn events(&self, kinds: &[EventType]) -> Vec<EventView> {
        events(&self.engine, &self.shop, kinds).await
    }

    /// Waits for the `count`-th event of a kind.
    pub async fn event(&self, kind: EventType, count: usize) -> Vec<EventView> {
        let until = Instant::now() + LONG;
        loop {
            let found = self.events(&[kind]).await;
            if found.len() >= count {
                return found;
            }
            assert!(Instant::now() < until, "{kind} came {} times of {count}", found.len());
            let after = self.events(&[]).await.last().map(|event| event.id);
            let filter = EventFilter::default();
            self.engine.events().page(&self.shop, after, &filter, 1, Duration::from_secs(60)).await.unwrap();
        }
    }

    pub async fn webhook(&self, body: &Value) -> Result<Ingress, Error> {
        stripe(&self.engine, None, body, "whsec_of_shop-dev", self.install.clock.now()).await
    }

    /// Whether the audit chain of the workspace is whole, and how long it is.
    pub async fn audited(&self) -> u64 {
        let verified = self.engine.audit().verify(Some(&self.shop)).await.unwrap();
        assert!(verified.intact, "{verified:?}");
        verified.records
    }
}

pub fn workspace(name: &str) -> WorkspaceId {
    name.parse().unwrap()
}

pub fn name(name: &str) -> Name {
    name.parse().unwrap()
}

pub fn admin() -> Actor {
    Actor::program("admin")
}

/// An operator: not the install's administrator.
pub fn operator() -> Actor {
    Actor { subject: "olga".to_owned(), install_admin: false, ..admin() }
}

pub fn because() -> Reason {
    Reason::new("a test asks for it").unwrap()
}

pub fn parse(config: Value) -> WorkspaceConfig {
    serde_json::from_value(config).unwrap()
}

/// A config without limits and jitter: one connector, one callback, one webhook route.
pub fn base() -> Value {
    json!({
        "policies": {"default": {
            "timeout": {"attempt_ms": 1_000, "total_ms": 10_000},
            "retry": {"max_attempts": 3, "initial_ms": 100, "max_ms": 2_000, "jitter": "none"},
            "job_retry": {"max_attempts": 4, "initial_ms": 1_000, "max_ms": 60_000, "jitter": "none"},
        }},
        "connectors": {"crm": {"kind": "scripted", "secrets": {"token": "token"}}},
        "callbacks": {"product": {"url": "https://product.example/hook", "signing_secret": "cb"}},
        "secret_refs": {},
    })
}

/// The base with its references pointing to the variables of a workspace, and changes merged over it (`null` removes).
pub fn config(of: &str, changes: Value) -> Value {
    let prefix = of.to_uppercase().replace('-', "_");
    let mut config = base();
    config["secret_refs"] = json!({
        "cb": {"source": "env", "key": format!("{prefix}_CB")},
        "token": {"source": "env", "key": format!("{prefix}_TOKEN")},
        "whsec": {"source": "env", "key": format!("{prefix}_WHSEC")},
    });
    merge(&mut config, changes);
    config
}

pub fn merge(into: &mut Value, changes: Value) {
    match changes {
        Value::Object(fields) if into.is_object() => {
            for (key, value) in fields {
                if value.is_null() {
                    into.as_object_mut().unwrap().remove(&key);
                } else {
                    merge(&mut into[key], value);
                }
            }
        }
        other => *into = other,
    }
}

pub const PRODUCT: &str = "https://product.example/hook";

pub fn call(operation: &str, steps: &[&str]) -> Call {
    Call {
        connector: name("crm"),
        operation: operation.to_owned(),
        input: json!({"steps": steps}),
        timeout: None,
        idempotency: None,
        trace_id: TraceId::new(),
    }
}

pub fn job(operation: &str, steps: &[&str]) -> JobCall {
    JobCall {
        connector: name("crm"),
        operation: operation.to_owned(),
        input: json!({"steps": steps}),
        timeout: None,
        run_at: None,
        delay: None,
        priority: None,
        callback: None,
        ordering_key: None,
        max_attempts: None,
        metadata: BTreeMap::new(),
    }
}

pub async fn submit(engine: &Orchestrator, workspace: &WorkspaceId, jobs: Vec<JobCall>) -> Submitted {
    engine.jobs().submit(workspace, jobs, None, TraceId::new(), Some("/jobs")).await.unwrap()
}

/// Every event of these kinds (of any, if none is named), in order.
pub async fn events(engine: &Orchestrator, workspace: &WorkspaceId, kinds: &[EventType]) -> Vec<EventView> {
    let filter = EventFilter { kinds: kinds.to_vec(), ..EventFilter::default() };
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = engine.events().page(workspace, after, &filter, 500, Duration::ZERO).await.unwrap();
        let Some(last) = page.items.last() else { return found };
        after = Some(last.id);
        found.extend(page.items);
    }
}

/// Sends a body as Stripe would.
pub async fn stripe(
    engine: &Orchestrator,
    route_key: Option<&str>,
    body: &Value,
    secret: &str,
    signed_at: Timestamp,
) -> Result<Ingress, Error> {
    let bytes = Bytes::from(serde_json::to_vec(body).unwrap());
    let headers = signed("stripe", &bytes, secret, signed_at);
    engine.webhooks().ingest("stripe", route_key, &headers, bytes, TraceId::new()).await
}

pub fn signed(by: &str, body: &[u8], secret: &str, at: Timestamp) -> HeaderMap {
    let secret = Secret::new(secret.to_owned());
    provider(by).unwrap().sign(&Fixture::new(body, "evt_1"), &secret, at).unwrap()
}
