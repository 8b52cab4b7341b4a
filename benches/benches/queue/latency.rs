//! From the acceptance of a job on one node to its start on another.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use orchestrator_core::clock::SystemClock;
use orchestrator_core::connector::{
    CallContext, CallError, CallPlan, Connector, ConnectorKind, KindDescription, PlanError, SecretSlots,
};
use orchestrator_core::jobs::JobCall;
use orchestrator_core::memory::MemoryStore;
use orchestrator_core::store::Store;
use orchestrator_core::worker::WorkerOptions;
use orchestrator_core::{Actor, Orchestrator};
use orchestrator_queue_redis::{RedisOptions, RedisQueue};
use orchestrator_types::{Bundle, FieldError, TraceId, WorkspaceId};
use serde_json::{Value, json};

use crate::AnyError;

/// So many jobs a second are accepted.
const RATE: u32 = 200;

/// Notes when each call began.
#[derive(Clone, Default)]
struct Upstream(Arc<Mutex<Vec<(u64, Instant)>>>);

impl ConnectorKind for Upstream {
    fn describe(&self) -> KindDescription {
        KindDescription {
            name: "noted".parse().unwrap_or_else(|_| unreachable!("a well-formed name")),
            description: "notes when it is called".to_owned(),
            settings_schema: json!({"type": "object"}),
            secret_slots: Vec::new(),
            operations: Vec::new(),
        }
    }

    fn build(&self, _: &Value, _: SecretSlots) -> Result<Arc<dyn Connector>, Vec<FieldError>> {
        Ok(Arc::new(self.clone()))
    }
}

#[async_trait]
impl Connector for Upstream {
    fn plan(&self, _: &str, _: &Value) -> Result<CallPlan, PlanError> {
        Ok(CallPlan { idempotent: true })
    }

    async fn call(&self, _: &CallContext, _: &str, input: &Value) -> Result<Value, CallError> {
        let number = input["number"].as_u64().unwrap_or_default();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((number, Instant::now()));
        Ok(json!({}))
    }
}

pub(crate) async fn measure(url: &str, time: Duration) -> Result<(), AnyError> {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(SystemClock::shared()));
    let (upstream, shop): (_, WorkspaceId) = (Upstream::default(), "shop-bench".parse()?);
    let options = RedisOptions::parse(url, "bench")?;
    let mut nodes = Vec::new();
    for works in [false, true] {
        let redis = RedisQueue::connect(&options).await?;
        let builder = Orchestrator::builder().environment("bench").store(store.clone()).connector(upstream.clone());
        let builder = builder.queue(redis.queue).token_leases(redis.limits);
        let builder = if works { builder.worker(WorkerOptions::default()) } else { builder };
        nodes.push(builder.build().await?);
    }
    let config = json!({"policies": {"default": {}}, "connectors": {"crm": {"kind": "noted"}}});
    let config = serde_json::from_value(config)?;
    let bundle = Bundle { format: 1, workspace: shop.clone(), config, operators: None };
    nodes[0].configs().import(&Actor::program("bench"), &shop, &bundle, false).await?;
    // Nobody starts cold.
    submit(&nodes[0], &shop, 0).await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    upstream.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    let mut accepted = BTreeMap::new();
    let mut beat = tokio::time::interval(Duration::from_secs(1) / RATE);
    let began = Instant::now();
    while began.elapsed() < time.max(Duration::from_secs(3)) {
        beat.tick().await;
        let number = accepted.len() as u64 + 1;
        submit(&nodes[0], &shop, number).await?;
        accepted.insert(number, Instant::now());
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let started = upstream.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let mut took: Vec<_> =
        started.iter().filter_map(|(number, at)| Some(at.saturating_duration_since(*accepted.get(number)?))).collect();
    took.sort_unstable();
    let at =
        |share: f64| took.get((took.len() as f64 * share) as usize).copied().unwrap_or_default().as_secs_f64() * 1e3;
    println!(
        "from accepted on one node to started on another, {RATE} a second: p50 {:.2} ms, p99 {:.2} ms ({} of {})",
        at(0.5),
        at(0.99),
        took.len(),
        accepted.len()
    );
    for node in nodes {
        node.shutdown(Duration::from_secs(1)).await;
    }
    Ok(())
}

async fn submit(node: &Orchestrator, workspace: &WorkspaceId, number: u64) -> Result<(), AnyError> {
    let job = JobCall {
        connector: "crm".parse()?,
        operation: "note".to_owned(),
        input: json!({"number": number}),
        timeout: None,
        run_at: None,
        delay: None,
        priority: None,
        callback: None,
        ordering_key: None,
        max_attempts: None,
        metadata: BTreeMap::new(),
    };
    node.jobs().submit(workspace, vec![job], None, TraceId::new(), None).await?;
    Ok(())
}
