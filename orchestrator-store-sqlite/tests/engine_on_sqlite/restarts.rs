//! Restarts, clean and not.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use orchestrator_conformance::ManualClock;
use orchestrator_core::execute::{Call, Executed};
use orchestrator_core::jobs::JobCall;
use orchestrator_core::secrets::{EnvSecrets, Secret};
use orchestrator_core::store::{EventFilter, Store};
use orchestrator_core::types::{Bundle, EventType, JobStatus, TraceId, WorkspaceId};
use orchestrator_core::webhooks::Ingress;
use orchestrator_core::webhooks::signature::{Fixture, provider};
use orchestrator_core::worker::WorkerOptions;
use orchestrator_core::{Actor, Error, Orchestrator, clock::Clock};
use orchestrator_store_sqlite::SqliteStore;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::connector::Counting;

const MINUTE: Duration = Duration::from_secs(60);

/// An install in a file of its own.
struct Install {
    folder: TempDir,
    clock: ManualClock,
    upstream: Counting,
    shop: WorkspaceId,
}

impl Install {
    fn new() -> Self {
        let shop = "shop-dev".parse().unwrap();
        Self { folder: TempDir::new().unwrap(), clock: ManualClock::default(), upstream: Counting::new(), shop }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("orchestrator.db")
    }

    /// A start of the process.
    async fn start(&self, works: bool) -> Orchestrator {
        let store: Arc<dyn Store> = Arc::new(SqliteStore::open(self.path(), self.clock.shared()).await.unwrap());
        let builder = Orchestrator::builder()
            .environment("dev")
            .store(store)
            .connector(self.upstream.clone())
            .env(EnvSecrets::with_lookup(|_| Some("whsec_c2hvcC1kZXYtc2VjcmV0LTAxMjM0NTY3ODk=".to_owned())))
            .clock(self.clock.shared());
        let builder = if works { builder.worker(WorkerOptions::default()) } else { builder };
        let engine = builder.build().await.unwrap();
        let config = json!({
            "policies": {"default": {}},
            "connectors": {"crm": {"kind": "counting"}},
            "secret_refs": {"whsec": {"source": "env", "key": "SHOP_DEV_WHSEC"}},
            "webhook_routes": {"main": {"provider": "stripe", "account": "acct_1", "signing_secret": "whsec"}},
        });
        let config = serde_json::from_value(config).unwrap();
        let bundle = Bundle { format: 1, workspace: self.shop.clone(), config, operators: None };
        engine.configs().import(&Actor::program("test"), &self.shop, &bundle, false).await.unwrap();
        engine
    }

    fn call(&self, key: &str, operation: &str, input: Value) -> Call {
        Call {
            connector: "crm".parse().unwrap(),
            operation: operation.to_owned(),
            input,
            timeout: None,
            idempotency: Some((key.parse().unwrap(), [7; 32])),
            trace_id: TraceId::new(),
        }
    }

    async fn execute(&self, engine: &Orchestrator, key: &str, operation: &str) -> Result<Executed, Error> {
        engine.execute(&self.shop, self.call(key, operation, json!({}))).await
    }

    /// Takes an event in; whether it was known.
    async fn webhook(&self, engine: &Orchestrator, id: &str) -> bool {
        let body = serde_json::to_vec(&json!({"id": id, "account": "acct_1"})).unwrap();
        let secret = Secret::new("whsec_c2hvcC1kZXYtc2VjcmV0LTAxMjM0NTY3ODk=".to_owned());
        let headers = provider("stripe").unwrap().sign(&Fixture::new(&body, id), &secret, self.clock.now()).unwrap();
        match engine.webhooks().ingest("stripe", None, &headers, body.into(), TraceId::new()).await.unwrap() {
            Ingress::Accepted(accepted) => accepted.duplicate,
            Ingress::Challenge(_) => panic!("no challenge"),
        }
    }
}

fn job(input: Value) -> JobCall {
    JobCall {
        connector: "crm".parse().unwrap(),
        operation: "read".to_owned(),
        input,
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

/// The process ends without a word: everything of it is gone but the file.
async fn crash(engine: Orchestrator, runtime: tokio::runtime::Runtime) {
    drop(engine);
    tokio::task::spawn_blocking(move || runtime.shutdown_timeout(MINUTE)).await.unwrap();
}

/// A runtime that dies with its process.
fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inv_01_what_was_acknowledged_is_there_after_a_restart() {
    let install = Install::new();
    let engine = install.start(true).await;
    let done = install.execute(&engine, "kept", "write").await.unwrap().result.unwrap();
    assert!(!install.webhook(&engine, "evt_1").await);
    let accepted = engine.jobs().submit(&install.shop, vec![job(json!({})); 50], None, TraceId::new(), None).await;
    let accepted = accepted.unwrap().jobs;
    engine.shutdown(MINUTE).await;
    let count = install.upstream.count();

    let engine = install.start(true).await;
    let again = install.execute(&engine, "kept", "write").await.unwrap();
    assert!(again.replayed && again.result.unwrap() == done, "the very answer");
    assert!(install.webhook(&engine, "evt_1").await, "a duplicate across the restart");
    for job in accepted {
        assert_eq!(engine.jobs().get(&install.shop, job.id, MINUTE).await.unwrap().status, JobStatus::Succeeded);
    }
    assert!(count <= 51 && install.upstream.count() == 51, "each was called once");
    let record = engine.executions().get(&install.shop, done.id).await.unwrap();
    assert_eq!((record.attempts, record.attempts_log.len()), (1, 1));
    let page = engine.events().page(&install.shop, None, &EventFilter::default(), 500, Duration::ZERO).await.unwrap();
    let numbers: Vec<_> = page.items.iter().map(|event| event.id.sequence()).collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
    assert!(engine.audit().verify(Some(&install.shop)).await.unwrap().intact);
    engine.shutdown(MINUTE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inv_32_a_call_whose_process_died_is_unknown_and_repeated_only_if_that_is_harmless() {
    let install = Arc::new(Install::new());
    let first = runtime();
    let engine = {
        let install = install.clone();
        first.spawn(async move { install.start(false).await }).await.unwrap()
    };
    for operation in ["read", "write"] {
        let call = install.call(operation, operation, json!({"hold": true}));
        let (engine, shop) = (engine.clone(), install.shop.clone());
        first.spawn(async move { engine.execute(&shop, call).await });
        install.upstream.begun().await;
    }
    crash(engine, first).await;
    install.clock.advance(2 * MINUTE);

    let engine = install.start(false).await;
    let error = install.execute(&engine, "write", "write").await.unwrap_err();
    assert_eq!((error.code(), error.status()), ("outcome_unknown", 409));
    let again = install.execute(&engine, "read", "read").await.unwrap();
    assert!(again.result.is_ok() && !again.replayed);
    assert_eq!(install.upstream.count(), 3);
    engine.shutdown(MINUTE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inv_02_jobs_of_a_process_that_died_go_on_at_once_in_the_next() {
    let install = Arc::new(Install::new());
    let first = runtime();
    let engine = {
        let install = install.clone();
        first.spawn(async move { install.start(true).await }).await.unwrap()
    };
    let jobs = vec![job(json!({"hold": true})); 3];
    let accepted = engine.jobs().submit(&install.shop, jobs, None, TraceId::new(), None).await.unwrap().jobs;
    for _ in 0..3 {
        install.upstream.begun().await;
    }
    crash(engine, first).await;

    // The clock stands still: nobody waits for a lease.
    install.upstream.held.add_permits(3);
    let engine = install.start(true).await;
    for job in accepted {
        let view = engine.jobs().get(&install.shop, job.id, MINUTE).await.unwrap();
        assert_eq!((view.status, view.attempt), (JobStatus::Succeeded, 2));
    }
    let kinds = vec![EventType::JobSucceeded];
    let filter = EventFilter { kinds, ..EventFilter::default() };
    let told = engine.events().page(&install.shop, None, &filter, 10, Duration::ZERO).await.unwrap();
    assert_eq!(told.items.len(), 3);
    engine.shutdown(MINUTE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inv_08_a_hundred_callers_on_each_of_a_hundred_keys_make_a_hundred_executions() {
    let install = Install::new();
    let engine = install.start(false).await;
    let keys: Vec<_> = (0..100).map(|key| format!("key-{key}")).collect();
    let calls = (0..10_000).map(|at| install.execute(&engine, &keys[at % 100], "write"));
    let mut ids = BTreeMap::new();
    for (at, executed) in join_all(calls).await.into_iter().enumerate() {
        let id = executed.unwrap().result.unwrap().id;
        assert_eq!(*ids.entry(at % 100).or_insert(id), id);
    }
    assert_eq!((install.upstream.count(), ids.len()), (100, 100));
    engine.shutdown(MINUTE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inv_21_a_limited_lane_is_claimed_no_faster_than_it_may_run() {
    let install = Install::new();
    let engine = install.start(true).await;
    let limit = json!({"concurrency": {"max": 2, "queue": 0}});
    let actor = Actor::program("test");
    let (kind, name) = (orchestrator_core::config::ResourceKind::Policy, "default".parse().unwrap());
    engine.configs().put(&actor, &install.shop, kind, &name, limit, None).await.unwrap();
    let accepted = engine.jobs().submit(&install.shop, vec![job(json!({})); 300], None, TraceId::new(), None).await;
    for job in accepted.unwrap().jobs {
        install.clock.advance(Duration::from_secs(1));
        let view = engine.jobs().get(&install.shop, job.id, MINUTE).await.unwrap();
        assert_eq!((view.status, view.attempt), (JobStatus::Succeeded, 1));
    }
    let filter = EventFilter { kinds: vec![EventType::JobStarted], ..EventFilter::default() };
    let mut started =
        engine.events().page(&install.shop, None, &filter, 500, Duration::ZERO).await.unwrap().items.len();
    started -= 300;
    assert!(started <= 100, "{started} were claimed in vain");
    engine.shutdown(MINUTE).await;
}
