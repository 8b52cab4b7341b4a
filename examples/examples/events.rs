//! The event feed with the client: by page, where a product comes by from time to time; and as a stream, which outlives its
//! connections and resumes after the last event. Either way a reader sees every event once, in one order.
//!
//! `cargo run -p orchestrator-examples --example events`
//!
//! It needs a server to speak to, and so starts one in this process. Yours has an address, and gives your service an
//! identity: `Client::builder(url).client_credentials(id, secret)`.

#![allow(clippy::print_stdout, reason = "a program that tells what it does")]

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use axum::{Json, Router};
use futures_util::StreamExt;
use orchestrator_client::{Client, EventFilter, EventQuery};
use orchestrator_connectors::{EgressClient, EgressPolicy, HttpKind};
use orchestrator_core::clock::SystemClock;
use orchestrator_core::memory::MemoryStore;
use orchestrator_core::types::{
    ConfigRequest, EventId, EventType, ExecuteRequest, IdentityRequest, WorkspaceConfig, WorkspaceId, WorkspaceRequest,
    scope,
};
use orchestrator_core::{Actor, Orchestrator};
use orchestrator_http::tokens::{SigningKey, SigningKeys, TokenAuthority};
use orchestrator_http::{Api, ApiLimits, EdgeLimits};
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

type AnyError = Box<dyn Error + Send + Sync>;

/// What was read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// The ids of all events, by pages of two.
    pub(crate) paged: Vec<EventId>,
    /// The ids of the same events, from a stream that was broken off and resumed after each of them.
    pub(crate) streamed: Vec<EventId>,
    /// How many of them told of calls, as a filter counts them.
    pub(crate) executions: usize,
    /// Whether the event of a call came to a stream that was waiting for it.
    pub(crate) awaited: bool,
}

/// Every event from after `after`, page by page. Keep the id of the last one that you have dealt with: it is the cursor.
async fn by_page(client: &Client, mut after: Option<EventId>) -> Result<Vec<EventId>, AnyError> {
    let mut read = Vec::new();
    loop {
        let query = EventQuery { after, limit: Some(2), ..EventQuery::default() };
        let page = client.events(&query).await?;
        for event in &page.items {
            println!("{}  {:<20} {}", event.time, event.kind.as_str(), event.subject);
            read.push(event.id);
        }
        match page.items.last() {
            Some(last) => after = Some(last.id),
            None => return Ok(read),
        }
    }
}

/// The first `count` events from a stream, which ends and is opened anew after each of them.
async fn by_stream(client: &Client, count: usize) -> Result<Vec<EventId>, AnyError> {
    let mut read: Vec<EventId> = Vec::new();
    while read.len() < count {
        let mut stream = client.event_stream(read.last().copied(), EventFilter::default());
        let event = stream.next().await.ok_or("the stream has no end of its own")??;
        read.push(event.id);
    }
    Ok(read)
}

/// The whole program.
pub(crate) async fn run() -> Result<Outcome, AnyError> {
    let server = Server::start().await?;
    let client = &server.client;
    for invoice in ["in_1", "in_2", "in_3"] {
        client.execute(&call(invoice)?).await?;
    }

    println!("by page:");
    let paged = by_page(client, None).await?;
    let streamed = by_stream(client, paged.len()).await?;
    println!("as a stream: the same {} events, in the same order: {}", streamed.len(), streamed == paged);

    let kind = EventType::ExecutionSucceeded;
    let executions = client.events(&EventQuery { kinds: vec![kind], ..EventQuery::default() }).await?.items.len();

    // Whoever waits hears of what happens next.
    let mut next =
        client.event_stream(paged.last().copied(), EventFilter { kinds: vec![kind], ..EventFilter::default() });
    let (event, done) =
        tokio::join!(next.next(), async { client.execute(&call("in_4")?).await.map_err(AnyError::from) });
    let (event, done) = (event.ok_or("the stream has no end of its own")??, done?);
    println!("then: {} {}", event.kind, event.subject);
    let awaited = event.subject == done.id.to_string();
    server.stop().await;
    Ok(Outcome { paged, streamed, executions, awaited })
}

fn call(invoice: &str) -> Result<ExecuteRequest, AnyError> {
    let input = json!({"method": "GET", "path": format!("/v1/invoices/{invoice}")});
    Ok(ExecuteRequest { connector: "billing-api".parse()?, operation: "request".to_owned(), input, timeout_ms: None })
}

// -------------------------------------------------------------------------------------- a server to speak to

struct Server {
    client: Client,
    engine: Orchestrator,
    end: CancellationToken,
}

impl Server {
    /// A server in memory with one workspace, one connector, and an identity for the client.
    async fn start() -> Result<Self, AnyError> {
        let egress = EgressClient::new(EgressPolicy::new(vec!["127.0.0.0/8".parse()?]))?;
        let clock = SystemClock::shared();
        let engine = Orchestrator::builder()
            .environment("dev")
            .store(Arc::new(MemoryStore::new(clock.clone())))
            .connector(HttpKind::new(egress))
            .build()
            .await?;
        let keys = SigningKeys::of(SigningKey::generate()?);
        let tokens = TokenAuthority::builder(engine.environment().clone(), keys, clock).build()?;
        let api = Api::new(engine.clone(), Arc::new(tokens), Arc::default(), ApiLimits::default());
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (url, end) = (format!("http://{}", listener.local_addr()?), CancellationToken::new());
        let router = orchestrator_http::router(&api);
        tokio::spawn(orchestrator_http::serve(listener, router, EdgeLimits::default(), end.clone()));
        let client = onboard(&engine, &url).await?;
        Ok(Self { client, engine, end })
    }

    async fn stop(self) {
        self.end.cancel();
        self.engine.shutdown(Duration::from_secs(1)).await;
    }
}

/// What an operator does once for a product.
async fn onboard(engine: &Orchestrator, url: &str) -> Result<Client, AnyError> {
    let (workspace, actor): (WorkspaceId, _) = ("shop-dev".parse()?, Actor::program("events-example"));
    engine.workspaces().create(&actor, &WorkspaceRequest { name: workspace.clone(), template: None }).await?;
    let config: WorkspaceConfig = serde_json::from_value(json!({
        "policies": {"default": {}},
        "connectors": {"billing-api": {"kind": "http", "settings": {"base_url": billing_api().await?}}},
    }))?;
    let request = ConfigRequest { config, message: "the billing API".to_owned(), activate: None };
    engine.configs().add(&actor, &workspace, request, None).await?;
    let request = IdentityRequest {
        name: "svc:shop".parse()?,
        scopes: vec![scope::EXECUTE.to_owned(), scope::EVENTS_READ.to_owned()],
        public_key: None,
    };
    let identity = engine.identities().create(&actor, &workspace, &request).await?;
    let secret = identity.client_secret.ok_or("an identity without a key has a secret")?;
    Ok(Client::builder(url).client_credentials(identity.client_id, secret).build()?)
}

/// The outside world, played on this machine.
async fn billing_api() -> Result<String, AnyError> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    let api = Router::new().fallback(|| async { Json(json!({"amount": 4900})) });
    tokio::spawn(async move { axum::serve(listener, api).await });
    Ok(url)
}

#[tokio::main]
async fn main() -> Result<(), AnyError> {
    run().await.map(drop)
}
