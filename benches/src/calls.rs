//! Synchronous calls of an upstream on this machine: bare, through the engine, through a bare proxy, through the server.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use bytes::Bytes;
use orchestrator_core::Actor;
use orchestrator_core::clock::SystemClock;
use orchestrator_core::execute::Call;
use orchestrator_core::types::{ExecuteRequest, IdentityRequest, TokenResponse, TraceId, scope};
use orchestrator_http::tokens::{SigningKey, SigningKeys, TokenAuthority};
use orchestrator_http::{Api, ApiLimits, EdgeLimits};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::AnyError;
use crate::durable::stripe_event;
use crate::install::{Backend, Install};
use crate::measure::{Measured, closed_loop};
use crate::options::Options;
use crate::wire;

const PATH: &str = "/v1/invoices";

/// An upstream, an engine with its server, and a proxy that does nothing else.
pub struct Stage {
    options: Options,
    install: Install,
    client: reqwest::Client,
    upstream: String,
    proxy: String,
    server: String,
    token: String,
    sent: Arc<AtomicU64>,
    end: CancellationToken,
}

impl Stage {
    /// On SQLite.
    ///
    /// # Errors
    /// It does not start.
    pub async fn set(options: &Options) -> Result<Self, AnyError> {
        Self::on(&Backend::Sqlite, options, false).await
    }

    /// On this backend. Jobs run only with a worker.
    ///
    /// # Errors
    /// It does not start.
    pub async fn on(backend: &Backend, options: &Options, worker: bool) -> Result<Self, AnyError> {
        let (end, client) = (CancellationToken::new(), client()?);
        let answer = || async { axum::Json(json!({"id": "in_1001", "amount": 4_900, "status": "paid"})) };
        let upstream = serve(Router::new().fallback(answer), &end).await?;
        let forward = Forward { client: client.clone(), to: upstream.clone() };
        let proxy = serve(Router::new().fallback(pass_on).with_state(forward), &end).await?;
        let install = Install::on(backend, options, &upstream, worker).await?;
        let server = start_server(&install, &end).await?;
        let token = token(&install, &client, &server).await?;
        Ok(Self {
            options: options.clone(),
            install,
            client,
            upstream,
            proxy,
            server,
            token,
            sent: Arc::default(),
            end,
        })
    }

    /// Ends it.
    pub async fn strike(self) {
        self.end.cancel();
        // Its folder is removed when it is dropped, if not now.
        let _ = self.install.end().await;
    }

    /// The upstream, called with nothing between.
    ///
    /// # Errors
    /// A call fails.
    pub async fn bare(&self, in_flight: usize) -> Result<Measured, AnyError> {
        self.http_loop(in_flight, format!("{}{PATH}", self.upstream), None).await
    }

    /// The same through axum and reqwest, and nothing else.
    ///
    /// # Errors
    /// A call fails.
    pub async fn proxy(&self, in_flight: usize) -> Result<Measured, AnyError> {
        let body = Some(Bytes::from(serde_json::to_vec(&request()?)?));
        self.http_loop(in_flight, format!("{}{PATH}", self.proxy), body).await
    }

    /// Jobs over HTTP, each durable before it is answered.
    ///
    /// # Errors
    /// A call fails.
    pub async fn jobs(&self, in_flight: usize) -> Result<Measured, AnyError> {
        let body = json!({"connector": "nothing", "operation": "do",
            "input": {"invoice": "in_1001", "amount": 4_900, "currency": "eur"}, "metadata": {"order": "1001"}});
        let head = format!("authorization: Bearer {}\r\ncontent-type: application/json\r\n", self.token);
        let request = wire::request("/jobs", &head, body.to_string().as_bytes());
        wire::load(self.address()?, in_flight, &self.options, 202, move || Ok(request.clone())).await
    }

    /// Stripe events over HTTP: verified, deduplicated, inbox entry, event and delivery durable before the answer. The
    /// sender's signing is part of the time.
    ///
    /// # Errors
    /// A call fails.
    pub async fn webhooks(&self, in_flight: usize) -> Result<Measured, AnyError> {
        let number = self.sent.clone();
        let next = move || wire_event(number.fetch_add(1, Ordering::Relaxed));
        wire::load(self.address()?, in_flight, &self.options, 200, next).await
    }

    fn address(&self) -> Result<SocketAddr, AnyError> {
        Ok(self.server.trim_start_matches("http://").parse()?)
    }

    /// The same through the server: token, routes, policies, egress guard, records.
    ///
    /// # Errors
    /// A call fails.
    pub async fn http(&self, in_flight: usize) -> Result<Measured, AnyError> {
        let body = Some(Bytes::from(serde_json::to_vec(&request()?)?));
        self.http_loop(in_flight, format!("{}/execute", self.server), body).await
    }

    /// The same through the engine in process: policies, egress guard, records.
    ///
    /// # Errors
    /// A call fails.
    pub async fn execute(&self, in_flight: usize) -> Result<Measured, AnyError> {
        let (engine, workspace) = (self.install.engine.clone(), self.install.workspace.clone());
        let ExecuteRequest { connector, operation, input, .. } = request()?;
        closed_loop(in_flight, &self.options, move || {
            let (engine, workspace) = (engine.clone(), workspace.clone());
            let (connector, operation, input) = (connector.clone(), operation.clone(), input.clone());
            async move {
                let trace_id = TraceId::new();
                let call = Call { connector, operation, input, timeout: None, idempotency: None, trace_id };
                let done = engine.execute(&workspace, call).await?.result.map_err(|failure| failure.error.detail)?;
                if done.output["body"]["status"] == "paid" { Ok(()) } else { Err(done.output.to_string().into()) }
            }
        })
        .await
    }

    async fn http_loop(&self, in_flight: usize, url: String, body: Option<Bytes>) -> Result<Measured, AnyError> {
        let (client, token) = (self.client.clone(), self.token.clone());
        closed_loop(in_flight, &self.options, move || {
            let call = match &body {
                Some(body) => client.post(&url).header("content-type", "application/json").body(body.clone()),
                None => client.get(&url),
            };
            let call = call.bearer_auth(&token);
            async move {
                let answer = call.send().await?.error_for_status()?.bytes().await?;
                let answer: Value = serde_json::from_slice(&answer)?;
                let found = answer.pointer("/output/body/status").or(answer.get("status"));
                if found.is_some_and(|status| status == "paid") { Ok(()) } else { Err(answer.to_string().into()) }
            }
        })
        .await
    }
}

/// A new Stripe event, signed, as it is sent.
pub(crate) fn wire_event(number: u64) -> Result<Bytes, AnyError> {
    let (headers, body) = stripe_event(number)?;
    let mut head = "content-type: application/json\r\n".to_owned();
    for (name, value) in &headers {
        head.push_str(&format!("{name}: {}\r\n", value.to_str()?));
    }
    Ok(wire::request("/webhooks/stripe", &head, &body))
}

/// An install's API on a port.
pub(crate) struct Served {
    pub(crate) address: SocketAddr,
    end: CancellationToken,
}

impl Served {
    pub(crate) async fn start(install: &Install) -> Result<Self, AnyError> {
        let end = CancellationToken::new();
        let url = start_server(install, &end).await?;
        Ok(Self { address: url.trim_start_matches("http://").parse()?, end })
    }

    pub(crate) fn end(&self) {
        self.end.cancel();
    }
}

fn request() -> Result<ExecuteRequest, AnyError> {
    let input = json!({"method": "GET", "path": PATH});
    Ok(ExecuteRequest { connector: "upstream".parse()?, operation: "request".to_owned(), input, timeout_ms: None })
}

#[allow(clippy::disallowed_methods, reason = "the callers, and the proxy without a guard")]
fn client() -> Result<reqwest::Client, reqwest::Error> {
    reqwest::Client::builder().no_proxy().pool_max_idle_per_host(256).timeout(Duration::from_secs(30)).build()
}

async fn serve(router: Router, end: &CancellationToken) -> Result<String, AnyError> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    let end = end.clone();
    tokio::spawn(async move { axum::serve(listener, router).with_graceful_shutdown(end.cancelled_owned()).await });
    Ok(url)
}

#[derive(Clone)]
struct Forward {
    client: reqwest::Client,
    to: String,
}

/// The proxy: reads the request, calls the upstream, hands its answer back.
async fn pass_on(State(forward): State<Forward>, request: Request) -> Result<Response, StatusCode> {
    let path = request.uri().path().to_owned();
    axum::body::to_bytes(request.into_body(), 1 << 20).await.map_err(|_| StatusCode::BAD_REQUEST)?;
    let answer = forward.client.get(format!("{}{path}", forward.to)).send().await;
    let answer = answer.map_err(|_| StatusCode::BAD_GATEWAY)?;
    let status = answer.status();
    let body = answer.bytes().await.map_err(|_| StatusCode::BAD_GATEWAY)?;
    let answer = Response::builder().status(status).header("content-type", "application/json").body(Body::from(body));
    answer.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
}

async fn start_server(install: &Install, end: &CancellationToken) -> Result<String, AnyError> {
    let engine = install.engine.clone();
    let keys = SigningKeys::of(SigningKey::generate()?);
    let tokens = TokenAuthority::builder(engine.environment().clone(), keys, SystemClock::shared()).build()?;
    let api = Api::new(engine, Arc::new(tokens), Arc::default(), ApiLimits::default());
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    let router = orchestrator_http::router(&api);
    tokio::spawn(orchestrator_http::serve(listener, router, EdgeLimits::default(), end.clone()));
    Ok(url)
}

/// A token as a product gets it.
async fn token(install: &Install, client: &reqwest::Client, server: &str) -> Result<String, AnyError> {
    let request = IdentityRequest {
        name: "svc:bench".parse()?,
        scopes: vec![scope::EXECUTE.to_owned(), scope::JOBS_WRITE.to_owned()],
        public_key: None,
    };
    let identity = install.engine.identities().create(&Actor::program("bench"), &install.workspace, &request).await?;
    let secret = identity.client_secret.ok_or("an identity without a key has a secret")?;
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", identity.client_id.as_str()),
        ("client_secret", secret.as_str()),
    ];
    let answer = client.post(format!("{server}/oauth/token")).form(&form).send().await?.error_for_status()?;
    Ok(answer.json::<TokenResponse>().await?.access_token)
}
