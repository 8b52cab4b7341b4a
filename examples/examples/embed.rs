//! The engine inside a program of one's own: a workspace, a connector, a call, a durable job, the events of both. No HTTP
//! server and nothing to install: everything durable is in one SQLite file.
//!
//! `cargo run -p orchestrator-examples --example embed`

#![allow(clippy::print_stdout, reason = "a program that tells what it does")]

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::Path as PathParam;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use axum::{Json, Router};
use orchestrator_connectors::{EgressClient, EgressPolicy, HttpKind};
use orchestrator_core::clock::SystemClock;
use orchestrator_core::execute::Call;
use orchestrator_core::jobs::JobCall;
use orchestrator_core::secrets::EnvSecrets;
use orchestrator_core::store::EventFilter;
use orchestrator_core::types::{ConfigRequest, JobView, TraceId, WorkspaceConfig, WorkspaceId, WorkspaceRequest};
use orchestrator_core::worker::WorkerOptions;
use orchestrator_core::{Actor, Orchestrator};
use orchestrator_store_sqlite::SqliteStore;
use serde_json::{Value, json};
use tokio::net::TcpListener;

type AnyError = Box<dyn Error + Send + Sync>;

/// What came of it.
#[derive(Debug)]
#[allow(dead_code, reason = "for the test of this program")]
pub(crate) struct Outcome {
    /// What the upstream answered to the call.
    pub(crate) answer: Value,
    /// The job, when it had ended.
    pub(crate) job: JobView,
    /// The types of all events, in their order.
    pub(crate) events: Vec<String>,
}

/// The outside world, played on this machine: a billing API that wants a token.
async fn billing_api() -> Result<String, AnyError> {
    let invoice = |PathParam(id): PathParam<String>, headers: HeaderMap| async move {
        let known = headers.get("authorization").is_some_and(|token| token == "Bearer token-of-this-example");
        if known { Ok(Json(json!({"id": id, "amount": 4900}))) } else { Err(StatusCode::UNAUTHORIZED) }
    };
    let refund = || async { (StatusCode::CREATED, Json(json!({"id": "re_1", "status": "pending"}))) };
    let api = Router::new().route("/v1/invoices/{id}", get(invoice)).route("/v1/refunds", post(refund));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    tokio::spawn(async move { axum::serve(listener, api).await });
    Ok(url)
}

/// An engine on the file in `folder`, which runs jobs in this process.
async fn engine(folder: &Path) -> Result<Orchestrator, AnyError> {
    let store = SqliteStore::open(folder.join("app.db"), SystemClock::shared()).await?;
    // Calls reach no private address unless the program says so; ours is on this machine.
    let egress = EgressClient::new(EgressPolicy::new(vec!["127.0.0.0/8".parse()?]))?;
    let secrets = |key: &str| (key == "SHOP_DEV_BILLING").then(|| "token-of-this-example".to_owned());
    let engine = Orchestrator::builder()
        .environment("dev")
        .store(Arc::new(store))
        .connector(HttpKind::new(egress))
        // A real program leaves this out: then references look into the process's environment.
        .env(EnvSecrets::with_lookup(secrets))
        .worker(WorkerOptions { slots: 8, ..WorkerOptions::default() })
        .build()
        .await?;
    Ok(engine)
}

/// Makes the workspace what it shall be: the same document that a bundle holds.
async fn set_up(engine: &Orchestrator, workspace: &WorkspaceId, upstream: &str) -> Result<(), AnyError> {
    let actor = Actor::program("embed-example");
    engine.workspaces().create(&actor, &WorkspaceRequest { name: workspace.clone(), template: None }).await?;
    let config: WorkspaceConfig = serde_json::from_value(json!({
        "policies": {"default": {
            "timeout": {"attempt_ms": 2_000, "total_ms": 5_000},
            "retry": {"max_attempts": 3},
            "breaker": {"min_calls": 10},
            "rate_limit": {"per_second": 50, "burst": 100},
        }},
        "connectors": {"billing-api": {
            "kind": "http",
            "settings": {"base_url": upstream, "idempotency_header": "Idempotency-Key"},
            "secrets": {"bearer": "billing-token"},
        }},
        "secret_refs": {"billing-token": {"source": "env", "key": "SHOP_DEV_BILLING"}},
    }))?;
    let request = ConfigRequest { config, message: "the billing API".to_owned(), activate: None };
    let saved = engine.configs().add(&actor, workspace, request, None).await?;
    println!("{workspace} is at config version {}", saved.version.version);
    Ok(())
}

/// The whole program; everything that it keeps is in `folder`.
pub(crate) async fn run(folder: &Path) -> Result<Outcome, AnyError> {
    let upstream = billing_api().await?;
    let engine = engine(folder).await?;
    let workspace: WorkspaceId = "shop-dev".parse()?;
    set_up(&engine, &workspace, &upstream).await?;

    // A synchronous call. Timeouts, retries, breaker and limits are the policy's work.
    let call = Call {
        connector: "billing-api".parse()?,
        operation: "request".to_owned(),
        input: json!({"method": "GET", "path": "/v1/invoices/in_1"}),
        timeout: Some(Duration::from_secs(3)),
        idempotency: None,
        trace_id: TraceId::new(),
    };
    let done = engine.execute(&workspace, call).await?;
    let done = done.result.map_err(|failure| failure.error.detail)?;
    println!("{}: {} after {} attempt(s)", done.id, done.output["body"], done.attempts);

    // A durable job: when this answers it is on disk; it survives the end of the program.
    let job = JobCall {
        connector: "billing-api".parse()?,
        operation: "request".to_owned(),
        input: json!({"method": "POST", "path": "/v1/refunds", "json": {"invoice": "in_1"}}),
        timeout: None,
        run_at: None,
        delay: None,
        priority: None,
        callback: None,
        ordering_key: Some("in_1".to_owned()),
        max_attempts: None,
        metadata: BTreeMap::from([("order".to_owned(), "1001".to_owned())]),
    };
    let accepted = engine.jobs().submit(&workspace, vec![job], None, TraceId::new(), None).await?;
    let id = accepted.jobs[0].id;
    let job = engine.jobs().get(&workspace, id, Duration::from_secs(30)).await?;
    println!("{id}: {:?} after {} attempt(s)", job.status, job.attempt);

    // What happened, in one order that all readers see.
    let page = engine.events().page(&workspace, None, &EventFilter::default(), 100, Duration::ZERO).await?;
    for event in &page.items {
        println!("{}  {:<20} {}", event.time, event.kind.as_str(), event.subject);
    }
    let events = page.items.iter().map(|event| event.kind.to_string()).collect();
    engine.shutdown(Duration::from_secs(5)).await;
    Ok(Outcome { answer: done.output["body"].clone(), job, events })
}

#[tokio::main]
async fn main() -> Result<(), AnyError> {
    let folder = tempfile::tempdir()?;
    run(folder.path()).await.map(drop)
}
