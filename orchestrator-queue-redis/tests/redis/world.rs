//! An install with a Redis of its own: nodes on one store, and one upstream.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use orchestrator_conformance::servers::{RedisOptions as ServerOptions, RedisServer};
use orchestrator_core::clock::SystemClock;
use orchestrator_core::jobs::JobCall;
use orchestrator_core::memory::MemoryStore;
use orchestrator_core::secrets::EnvSecrets;
use orchestrator_core::store::Store;
use orchestrator_core::types::{Bundle, JobId, JobStatus, TraceId, WorkspaceId};
use orchestrator_core::worker::WorkerOptions;
use orchestrator_core::{Actor, Orchestrator};
use orchestrator_queue_redis::{RedisOptions, RedisParts, RedisQueue};
use serde_json::{Value, json};

use crate::connector::Upstream;

/// A limit of liveness: long enough for any machine.
pub(crate) const LONG: Duration = Duration::from_secs(60);

pub(crate) struct World {
    pub(crate) server: Arc<RedisServer>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) upstream: Upstream,
    pub(crate) shop: WorkspaceId,
    pub(crate) policies: Value,
    /// As whom nodes speak to it: `user:password@`.
    pub(crate) login: String,
}

/// A node and its Redis.
pub(crate) struct Node {
    pub(crate) engine: Orchestrator,
    pub(crate) redis: RedisParts,
}

impl World {
    pub(crate) async fn new(policies: Value) -> Self {
        Self::on(&ServerOptions::default(), policies).await
    }

    pub(crate) async fn on(options: &ServerOptions, policies: Value) -> Self {
        let options = options.clone();
        let server = tokio::task::spawn_blocking(move || RedisServer::start_with(&options)).await.unwrap();
        Self {
            server: Arc::new(server),
            store: Arc::new(MemoryStore::new(SystemClock::shared())),
            upstream: Upstream::default(),
            shop: "shop-dev".parse().unwrap(),
            policies,
            login: String::new(),
        }
    }

    /// Does something to the server, which blocks.
    pub(crate) async fn to_server<T: Send + 'static>(
        &self,
        what: impl FnOnce(&RedisServer) -> T + Send + 'static,
    ) -> T {
        let server = self.server.clone();
        tokio::task::spawn_blocking(move || what(&server)).await.unwrap()
    }

    pub(crate) fn options(&self) -> RedisOptions {
        RedisOptions::parse(&format!("redis://{}127.0.0.1:{}", self.login, self.server.port()), "dev").unwrap()
    }

    pub(crate) async fn node(&self, worker: Option<WorkerOptions>) -> Node {
        let redis = RedisQueue::connect(&self.options()).await.unwrap();
        let builder = Orchestrator::builder()
            .environment("dev")
            .store(self.store.clone())
            .connector(self.upstream.clone())
            .env(EnvSecrets::with_lookup(|_| None))
            .queue(redis.queue.clone())
            .token_leases(redis.limits.clone())
            .config_notices(redis.notices.clone())
            .seen_keys(redis.seen_keys.clone());
        let builder = match worker {
            Some(options) => builder.worker(options),
            None => builder,
        };
        Node { engine: builder.build().await.unwrap(), redis }
    }

    pub(crate) async fn import(&self, node: &Node, workspace: &WorkspaceId) {
        let config = json!({
            "policies": {"default": self.policies},
            "connectors": {"crm": {"kind": "upstream"}},
        });
        let config = serde_json::from_value(config).unwrap();
        let bundle = Bundle { format: 1, workspace: workspace.clone(), config, operators: None };
        node.engine.configs().import(&Actor::program("test"), workspace, &bundle, false).await.unwrap();
    }

    /// Submits jobs with these numbers.
    pub(crate) async fn submit(&self, node: &Node, numbers: std::ops::Range<u64>, ms: u64) -> Vec<JobId> {
        let jobs = numbers.map(|number| job(json!({"number": number, "ms": ms}))).collect();
        let submitted = node.engine.jobs().submit(&self.shop, jobs, None, TraceId::new(), Some("/jobs")).await.unwrap();
        submitted.jobs.iter().map(|job| job.id).collect()
    }

    /// Waits until all have succeeded, each at its first attempt.
    pub(crate) async fn all_succeed(&self, node: &Node, jobs: &[JobId]) {
        for id in jobs {
            let view = node.engine.jobs().get(&self.shop, *id, LONG).await.unwrap();
            assert_eq!((view.status, view.attempt), (JobStatus::Succeeded, 1), "{view:?}");
        }
    }

    /// Whether a node takes hints now.
    pub(crate) async fn serves(&self, node: &Node) -> bool {
        !node.engine.health().await.unwrap().queue_away
    }
}

pub(crate) fn job(input: Value) -> JobCall {
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
