//! A whole install on a free port, its store in memory.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use orchestrator_core::Orchestrator;
use orchestrator_core::clock::SystemClock;
use orchestrator_core::connector::{
    CallContext, CallError, CallErrorKind, CallPlan, Connector, ConnectorKind, HealthCheck, Idempotency,
    KindDescription, OperationDescription, PlanError, SecretSlots, Sent,
};
use orchestrator_core::memory::MemoryStore;
use orchestrator_core::payload::MemoryPayloads;
use orchestrator_core::queue::MemoryQueue;
use orchestrator_core::secrets::seal::{InstallKey, KeyRing};
use orchestrator_core::worker::WorkerOptions;
use orchestrator_http::metrics::Metrics;
use orchestrator_http::tokens::{Audience, NewToken, Scopes, SigningKey, SigningKeys, TokenAuthority};
use orchestrator_http::{Api, ApiLimits, EdgeLimits, ops_router, router, serve};
use orchestrator_types::{FieldError, UpstreamView, scope};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::kit::{Answer, Raw};

pub(crate) const WORKSPACE: &str = "buildos-dev";
/// The most that a payload has, in MiB.
pub(crate) const PAYLOAD_MIB: u64 = 2;

/// Calls of the operation `hang`: they say that they have begun, and wait to be let go.
#[derive(Default)]
pub(crate) struct Hanging {
    pub(crate) begun: Notify,
    pub(crate) go_on: Notify,
}

/// A running install.
pub(crate) struct Install {
    pub(crate) api: SocketAddr,
    pub(crate) ops: SocketAddr,
    pub(crate) engine: Orchestrator,
    pub(crate) tokens: Arc<TokenAuthority>,
    pub(crate) hanging: Arc<Hanging>,
    _stop: tokio_util::sync::DropGuard,
}

pub(crate) async fn start() -> Install {
    start_with(ApiLimits::default()).await
}

pub(crate) async fn start_with(limits: ApiLimits) -> Install {
    start_in("dev", limits).await
}

pub(crate) async fn start_in(environment: &str, limits: ApiLimits) -> Install {
    let (clock, hanging) = (SystemClock::shared(), Arc::new(Hanging::default()));
    let engine = Orchestrator::builder()
        .environment(environment)
        .store(Arc::new(MemoryStore::new(clock.clone())))
        .keys(Arc::new(KeyRing::new(InstallKey::generate().unwrap(), Vec::new())))
        .payloads(Arc::new(MemoryPayloads::default()))
        .payload_max_bytes(PAYLOAD_MIB << 20)
        .queue(Arc::new(MemoryQueue::new(clock.clone())))
        .connector(Fake(hanging.clone()))
        .worker(WorkerOptions::default())
        .build()
        .await
        .unwrap();
    let keys = SigningKeys::of(SigningKey::generate().unwrap());
    let tokens = TokenAuthority::builder(environment.parse().unwrap(), keys, clock).build().unwrap();
    let (tokens, metrics) = (Arc::new(tokens), Arc::new(Metrics::default()));
    let api = Api::new(engine.clone(), tokens.clone(), metrics, limits);
    let stop = CancellationToken::new();
    let listen = async |routes| {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(serve(listener, routes, EdgeLimits::default(), stop.clone()));
        address
    };
    let (ops, api) = (listen(ops_router(&api)).await, listen(router(&api)).await);
    Install { api, ops, engine, tokens, hanging, _stop: stop.drop_guard() }
}

/// With one workspace and a connector `fake`.
pub(crate) async fn start_onboarded() -> Install {
    let install = start().await;
    install.onboard(WORKSPACE).await;
    install
}

impl Install {
    pub(crate) async fn onboard(&self, workspace: &str) {
        let admin = self.admin();
        let created = self.send("POST", "/workspaces", &admin, Some(json!({"name": workspace}))).await;
        assert_eq!(created.status, 201, "{}", created.json());
        let path = format!("/workspaces/{workspace}/connectors/fake");
        let connector = json!({"kind": "fake", "policy": "default", "settings": {}});
        let put = self.send("PUT", &path, &admin, Some(connector)).await;
        assert_eq!(put.status, 200, "{}", put.json());
    }

    pub(crate) fn token(&self, audience: Audience, sub: &str, workspace: Option<&str>, scopes: &[&str]) -> String {
        let new = NewToken {
            audience,
            subject: sub.to_owned(),
            workspace: workspace.map(|workspace| workspace.parse().unwrap()),
            scopes: Scopes::new(scopes.iter().copied()),
            actor: None,
            generation: None,
            ttl: Duration::from_secs(600),
        };
        self.tokens.issue(&new).unwrap()
    }

    pub(crate) fn admin(&self) -> String {
        self.token(Audience::Control, "root", None, &[scope::ADMIN])
    }

    pub(crate) fn operator(&self, sub: &str) -> String {
        self.token(Audience::Control, sub, None, &[scope::OPERATOR])
    }

    pub(crate) fn service(&self, workspace: &str) -> String {
        self.token(Audience::Exec, "svc:test", Some(workspace), &scope::EXEC)
    }

    pub(crate) async fn send(&self, method: &str, path: &str, token: &str, body: Option<Value>) -> Answer {
        self.send_with(method, path, token, "", body).await
    }

    pub(crate) async fn send_with(
        &self,
        method: &str,
        path: &str,
        token: &str,
        headers: &str,
        body: Option<Value>,
    ) -> Answer {
        let mut raw = Raw::connect(self.api).await;
        let body = body.map(|body| body.to_string());
        let typed = if body.is_some() { "Content-Type: application/json\r\n" } else { "" };
        let bearer = if token.is_empty() { String::new() } else { format!("Authorization: Bearer {token}\r\n") };
        let (body, host) = (body.unwrap_or_default(), "Host: test\r\nConnection: close\r\n");
        let length = body.len();
        let head =
            format!("{method} {path} HTTP/1.1\r\n{host}{bearer}{typed}{headers}Content-Length: {length}\r\n\r\n");
        raw.send(format!("{head}{body}")).await;
        raw.answer().await.unwrap_or_else(|| panic!("no answer to {method} {path}"))
    }

    pub(crate) async fn get(&self, path: &str, token: &str) -> Answer {
        self.send("GET", path, token, None).await
    }

    pub(crate) async fn ops(&self, path: &str) -> Answer {
        let mut raw = Raw::connect(self.ops).await;
        raw.send(format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")).await;
        raw.answer().await.unwrap()
    }
}

/// A connector whose operations end as they are called.
struct Fake(Arc<Hanging>);

impl ConnectorKind for Fake {
    fn describe(&self) -> KindDescription {
        let operation = |name: &str| OperationDescription {
            name: name.to_owned(),
            description: "ends as it is called".to_owned(),
            idempotency: Idempotency::Depends,
            input_schema: json!({"type": "object"}),
            output_schema: json!({}),
        };
        KindDescription {
            name: "fake".parse().unwrap(),
            description: "for tests".to_owned(),
            settings_schema: json!({"type": "object"}),
            secret_slots: Vec::new(),
            operations: ["echo", "reject", "fail", "hang"].map(operation).to_vec(),
        }
    }

    fn build(&self, _settings: &Value, _secrets: SecretSlots) -> Result<Arc<dyn Connector>, Vec<FieldError>> {
        Ok(Arc::new(Self(self.0.clone())))
    }
}

#[async_trait]
impl Connector for Fake {
    fn plan(&self, operation: &str, input: &Value) -> Result<CallPlan, PlanError> {
        match operation {
            "echo" if !input.is_object() => {
                Err(PlanError::InvalidInput(vec![FieldError::new("", "an object is wanted")]))
            }
            "echo" | "reject" | "fail" | "hang" => Ok(CallPlan { idempotent: false }),
            _ => Err(PlanError::OperationNotFound),
        }
    }

    async fn call(&self, _context: &CallContext, operation: &str, input: &Value) -> Result<Value, CallError> {
        match operation {
            "reject" => {
                let upstream = UpstreamView { status: 422, body: json!({"why": "no"}) };
                Err(CallError::answered(CallErrorKind::Rejected, upstream, "the upstream refused it"))
            }
            "fail" => Err(CallError::new(CallErrorKind::Unreachable, Sent::No, "the upstream was not reached")),
            "hang" => {
                self.0.begun.notify_one();
                self.0.go_on.notified().await;
                Ok(input.clone())
            }
            _ => Ok(input.clone()),
        }
    }

    async fn health(&self, _context: &CallContext) -> Result<HealthCheck, CallError> {
        Ok(HealthCheck::Passed)
    }
}
