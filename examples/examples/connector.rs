//! A connector kind of an integrator's own: text messages through a vendor's gateway. It needs `orchestrator-core` alone
//! (and `serde`, `schemars` for typed settings and operations), and proves itself with the published suite: see
//! `tests/connector.rs` of this crate.
//!
//! `cargo run -p orchestrator-examples --example connector`
//!
//! The gateway is reached by the vendor's own client, at an address that the install's program gives. A kind whose
//! *settings* name an address must reach it through the guarded client of `orchestrator-connectors`: settings are written
//! by tenants, and could name what lies inside of the install.

#![allow(clippy::print_stdout, reason = "a program that tells what it does")]

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use orchestrator_core::clock::SystemClock;
use orchestrator_core::connector::{
    CallContext, CallError, CallErrorKind, CallPlan, Connector, ConnectorKind, Idempotency, KindDescription,
    OperationDescription, PlanError, SecretSlots, Sent,
};
use orchestrator_core::execute::Call;
use orchestrator_core::memory::MemoryStore;
use orchestrator_core::secrets::{EnvSecrets, Secret};
use orchestrator_core::types::{
    ConfigRequest, FieldError, Name, TraceId, UpstreamView, WorkspaceConfig, WorkspaceId, WorkspaceRequest,
};
use orchestrator_core::{Actor, Orchestrator};
use schemars::{JsonSchema, schema_for};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

type AnyError = Box<dyn Error + Send + Sync>;

// ---------------------------------------------------------------------------------------------- the vendor's client

/// A message on its way to the gateway.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    /// The account's credential; prints as `[redacted]`.
    pub(crate) token: Secret,
    /// Under the same key the gateway sends a message once.
    pub(crate) key: String,
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) text: String,
}

/// What the gateway said.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    /// 2xx, 4xx, 5xx, as in HTTP.
    pub(crate) status: u16,
    /// Its id of the message, or why there is none.
    pub(crate) body: String,
    /// When it wants to be asked again.
    pub(crate) retry_after: Option<Duration>,
}

/// Why the gateway said nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(dead_code, reason = "the gateway of this program is never lost; a real one is")]
pub(crate) enum Lost {
    /// It was not reached.
    Unreachable,
    /// It was, and then the connection broke.
    BrokenOff,
}

/// The vendor's client.
#[async_trait]
pub(crate) trait Gateway: Send + Sync + 'static {
    /// Sends a message. Dropping the future closes the connection.
    async fn send(&self, message: Message) -> Result<Reply, Lost>;
}

// ------------------------------------------------------------------------------------------------------- the kind

/// Settings: everything but secrets. The doc comments become the descriptions in the schema that the console shows.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SmsSettings {
    /// The sender that people see: 3 to 11 letters or digits.
    #[schemars(length(min = 3, max = 11), regex(pattern = "^[A-Za-z0-9]+$"))]
    sender: String,
    /// The longest message, in characters.
    #[serde(default = "longest_message")]
    #[schemars(range(min = 1, max = 1600))]
    max_chars: u32,
}

fn longest_message() -> u32 {
    160
}

/// The input of `send`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SendInput {
    /// The receiver's number, international: `+` and 7 to 15 digits.
    #[schemars(regex(pattern = "^\\+[0-9]{7,15}$"))]
    to: String,
    /// The text.
    #[schemars(length(min = 1))]
    text: String,
}

/// The output of `send`.
#[derive(Debug, Serialize, JsonSchema)]
struct SendOutput {
    /// The gateway's id of the message.
    message_id: String,
}

/// The kind `sms`.
pub(crate) struct SmsKind {
    gateway: Arc<dyn Gateway>,
}

impl SmsKind {
    pub(crate) fn new(gateway: Arc<dyn Gateway>) -> Self {
        Self { gateway }
    }
}

impl ConnectorKind for SmsKind {
    fn describe(&self) -> KindDescription {
        KindDescription {
            name: name("sms"),
            description: "Sends text messages through the gateway of the install.".to_owned(),
            settings_schema: schema_for!(SmsSettings).to_value(),
            secret_slots: vec![name("token")],
            operations: vec![OperationDescription {
                name: "send".to_owned(),
                description: "Sends one message, once, however often it is tried.".to_owned(),
                idempotency: Idempotency::ByKey,
                input_schema: schema_for!(SendInput).to_value(),
                output_schema: schema_for!(SendOutput).to_value(),
            }],
        }
    }

    fn build(&self, settings: &Value, secrets: SecretSlots) -> Result<Arc<dyn Connector>, Vec<FieldError>> {
        let settings: SmsSettings = read(settings).map_err(|problem| vec![problem])?;
        Ok(Arc::new(Sms { gateway: self.gateway.clone(), settings, secrets }))
    }
}

/// A connector of a workspace.
struct Sms {
    gateway: Arc<dyn Gateway>,
    settings: SmsSettings,
    secrets: SecretSlots,
}

impl Sms {
    /// What `plan` looks at and `call` sends.
    fn input(&self, operation: &str, input: &Value) -> Result<SendInput, PlanError> {
        if operation != "send" {
            return Err(PlanError::OperationNotFound);
        }
        let input: SendInput = read(input).map_err(|problem| PlanError::InvalidInput(vec![problem]))?;
        let digits = input.to.strip_prefix('+').unwrap_or_default();
        let mut problems = Vec::new();
        if !(7..=15).contains(&digits.len()) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            problems.push(FieldError::new("/to", "an international number: `+` and 7 to 15 digits"));
        }
        if input.text.is_empty() || input.text.chars().count() > self.settings.max_chars as usize {
            problems.push(FieldError::new("/text", format!("1 to {} characters", self.settings.max_chars)));
        }
        if problems.is_empty() { Ok(input) } else { Err(PlanError::InvalidInput(problems)) }
    }
}

#[async_trait]
impl Connector for Sms {
    fn plan(&self, operation: &str, input: &Value) -> Result<CallPlan, PlanError> {
        // The gateway honours our keys, so that a message may be tried again.
        self.input(operation, input).map(|_| CallPlan { idempotent: true })
    }

    async fn call(&self, context: &CallContext, operation: &str, input: &Value) -> Result<Value, CallError> {
        let input = self.input(operation, input).map_err(|problem| {
            CallError::new(CallErrorKind::Rejected, Sent::No, format!("the message cannot be sent: {problem}"))
        })?;
        // Asked for at each call, so that a rotated token is picked up.
        let token = self.secrets.get("token").await.ok().flatten().ok_or_else(|| {
            CallError::new(CallErrorKind::SecretUnavailable, Sent::No, "the slot `token` cannot be read now")
        })?;
        let (key, from) = (context.subject.clone(), self.settings.sender.clone());
        let reply = self.gateway.send(Message { token, key, from, to: input.to, text: input.text }).await;
        match reply {
            Ok(reply) => judge(reply),
            Err(Lost::Unreachable) => {
                Err(CallError::new(CallErrorKind::Unreachable, Sent::No, "the gateway was not reached"))
            }
            Err(Lost::BrokenOff) => {
                Err(CallError::new(CallErrorKind::Failed, Sent::Maybe, "the gateway broke off before its answer"))
            }
        }
    }
}

/// What a reply means: retries, the breaker and dead letters are decided on it.
fn judge(reply: Reply) -> Result<Value, CallError> {
    if (200..300).contains(&reply.status) {
        return Ok(json!(SendOutput { message_id: reply.body }));
    }
    let may_pass = matches!(reply.status, 408 | 425 | 429 | 500..);
    let kind = if may_pass { CallErrorKind::Failed } else { CallErrorKind::Rejected };
    let view = UpstreamView { status: reply.status, body: Value::String(reply.body) };
    let detail = format!("the gateway answered {}", reply.status);
    Err(CallError::answered(kind, view, detail).retry_after(reply.retry_after))
}

/// Reads a typed document, and says where it is wrong. The message repeats no value: it may be somebody's number.
fn read<T: DeserializeOwned>(document: &Value) -> Result<T, FieldError> {
    serde_path_to_error::deserialize(document).map_err(|problem| {
        let segments = problem.path().iter().filter_map(|segment| match segment {
            serde_path_to_error::Segment::Map { key } => Some(key.replace('~', "~0").replace('/', "~1")),
            serde_path_to_error::Segment::Seq { index } => Some(index.to_string()),
            _ => None,
        });
        let pointer: String = segments.map(|segment| format!("/{segment}")).collect();
        FieldError::new(pointer, "not what the schema asks for")
    })
}

#[allow(clippy::expect_used, reason = "constants, each read whenever the kind is registered")]
fn name(text: &str) -> Name {
    text.parse().expect("a constant that is a well-formed name")
}

// ---------------------------------------------------------------------------------------------------- the program

/// A gateway for this program: it keeps what it was given, once for each key.
#[derive(Default)]
pub(crate) struct Outbox(Mutex<BTreeMap<String, (String, String)>>);

#[async_trait]
impl Gateway for Outbox {
    async fn send(&self, message: Message) -> Result<Reply, Lost> {
        if message.token.expose() != "token-of-this-example" {
            return Ok(Reply { status: 401, body: "no such account".to_owned(), retry_after: None });
        }
        let mut sent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let number = sent.len() + 1;
        let text = format!("{}: {}", message.from, message.text);
        sent.entry(message.key).or_insert((message.to, text));
        Ok(Reply { status: 202, body: format!("msg-{number}"), retry_after: None })
    }
}

/// What came of it.
#[derive(Debug, PartialEq)]
pub(crate) struct Outcome {
    /// What the connector answered.
    pub(crate) output: Value,
    /// What the gateway has sent: to whom, and what.
    pub(crate) sent: Vec<(String, String)>,
    /// Where a bad input was wrong.
    pub(crate) refused_at: Vec<String>,
}

/// The whole program: registers the kind, binds it in a workspace, calls it.
pub(crate) async fn run() -> Result<Outcome, AnyError> {
    let outbox = Arc::new(Outbox::default());
    let engine = Orchestrator::builder()
        .environment("dev")
        .store(Arc::new(MemoryStore::new(SystemClock::shared())))
        .connector(SmsKind::new(outbox.clone()))
        .env(EnvSecrets::with_lookup(|_| Some("token-of-this-example".to_owned())))
        .build()
        .await?;
    let workspace: WorkspaceId = "salon-dev".parse()?;
    let actor = Actor::program("connector-example");
    engine.workspaces().create(&actor, &WorkspaceRequest { name: workspace.clone(), template: None }).await?;
    let config: WorkspaceConfig = serde_json::from_value(json!({
        "policies": {"default": {"retry": {"max_attempts": 3}, "breaker": {}, "rate_limit": {"per_second": 5, "burst": 5}}},
        "connectors": {"reminders": {"kind": "sms", "settings": {"sender": "Salon"}, "secrets": {"token": "gateway"}}},
        "secret_refs": {"gateway": {"source": "env", "key": "SALON_DEV_GATEWAY"}},
    }))?;
    let request = ConfigRequest { config, message: "reminders by text message".to_owned(), activate: None };
    engine.configs().add(&actor, &workspace, request, None).await?;

    let call = |input: Value| -> Result<Call, AnyError> {
        Ok(Call {
            connector: "reminders".parse()?,
            operation: "send".to_owned(),
            input,
            timeout: None,
            idempotency: None,
            trace_id: TraceId::new(),
        })
    };
    let good = call(json!({"to": "+491701234567", "text": "Tomorrow at ten."}))?;
    let done = engine.execute(&workspace, good).await?.result.map_err(|failure| failure.error.detail)?;
    println!("{}: {}", done.id, done.output);

    // Refused before anything is sent, with a pointer for each problem.
    let bad = engine.execute(&workspace, call(json!({"to": "Anna", "text": ""}))?).await;
    let refused_at = match &bad {
        Err(error) => error.field_errors().iter().map(|problem| problem.pointer.clone()).collect(),
        Ok(done) => return Err(format!("it was sent: {done:?}").into()),
    };
    println!("a bad input is refused at {refused_at:?}");
    engine.shutdown(Duration::ZERO).await;
    let sent = outbox.0.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
    Ok(Outcome { output: done.output, sent, refused_at })
}

#[tokio::main]
async fn main() -> Result<(), AnyError> {
    run().await.map(drop)
}
