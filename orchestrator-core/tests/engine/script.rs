//! A connector kind that does what the input of each call says, and writes down what it was asked.
//!
//! `{"steps": ["500", "ok"]}`: the first attempt for a subject fails with 500, the next and all later ones succeed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use orchestrator_core::connector::{
    CallContext, CallError, CallErrorKind, CallPlan, Connector, ConnectorKind, HealthCheck, Idempotency,
    KindDescription, OperationDescription, PlanError, SecretSlots, Sent,
};
use orchestrator_core::types::{FieldError, UpstreamView};
use serde_json::{Value, json};
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;

/// One attempt that was made.
#[derive(Debug, Clone)]
pub struct Seen {
    pub workspace: String,
    pub subject: String,
    pub operation: String,
    pub input: Value,
    pub fence: Option<u64>,
    pub at: Instant,
}

#[derive(Default)]
struct Log {
    seen: Vec<Seen>,
    running: HashMap<String, usize>,
    most: HashMap<String, usize>,
    dropped: usize,
}

/// What all connectors of the kind share: the log, and the gate that the step `gate` waits at.
#[derive(Clone)]
pub struct Script {
    log: Arc<Mutex<Log>>,
    gate: Arc<Semaphore>,
    /// The step of each check; empty if there is no check.
    health: Arc<Mutex<String>>,
    changed: Arc<Notify>,
}

impl Default for Script {
    fn default() -> Self {
        Self { log: Arc::default(), gate: Arc::new(Semaphore::new(0)), health: Arc::default(), changed: Arc::default() }
    }
}

impl Script {
    /// Every attempt, in order.
    pub fn seen(&self) -> Vec<Seen> {
        self.log.lock().unwrap().seen.clone()
    }

    pub fn count(&self) -> usize {
        self.log.lock().unwrap().seen.len()
    }

    /// Attempts made for one subject.
    pub fn of(&self, subject: impl ToString) -> Vec<Seen> {
        let subject = subject.to_string();
        self.seen().into_iter().filter(|seen| seen.subject == subject).collect()
    }

    /// The most attempts of a workspace that ran at once.
    pub fn most(&self, workspace: &str) -> usize {
        self.log.lock().unwrap().most.get(workspace).copied().unwrap_or(0)
    }

    /// Attempts that were given up before they ended.
    pub fn dropped(&self) -> usize {
        self.log.lock().unwrap().dropped
    }

    /// What each check does from now on.
    pub fn set_health(&self, step: &str) {
        *self.health.lock().unwrap() = step.to_owned();
    }

    /// Lets `count` attempts through the gate.
    pub fn open(&self, count: usize) {
        self.gate.add_permits(count);
    }

    /// Waits until `count` attempts have begun.
    pub async fn reached(&self, count: usize) {
        loop {
            let changed = self.changed.notified();
            if self.count() >= count {
                return;
            }
            changed.await;
        }
    }
}

impl ConnectorKind for Script {
    fn describe(&self) -> KindDescription {
        let operation = |name: &str| OperationDescription {
            name: name.to_owned(),
            description: "does as told".to_owned(),
            idempotency: Idempotency::Depends,
            input_schema: json!({"type": "object"}),
            output_schema: json!({}),
        };
        KindDescription {
            name: "scripted".parse().unwrap(),
            description: "does as told".to_owned(),
            settings_schema: json!({
                "type": "object",
                "properties": {"label": {"type": "string"}, "webhooks": {"type": "boolean"}},
                "additionalProperties": false,
            }),
            secret_slots: vec!["token".parse().unwrap()],
            operations: ["write", "read", "webhook"].map(operation).to_vec(),
        }
    }

    fn build(&self, settings: &Value, secrets: SecretSlots) -> Result<Arc<dyn Connector>, Vec<FieldError>> {
        Ok(Arc::new(Scripted { script: self.clone(), webhooks: settings["webhooks"] == json!(true), secrets }))
    }
}

struct Scripted {
    script: Script,
    webhooks: bool,
    secrets: SecretSlots,
}

/// Counts an attempt as running until it is dropped.
struct Running<'a>(&'a Script, String, bool);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let mut log = self.0.log.lock().unwrap();
        *log.running.get_mut(&self.1).unwrap() -= 1;
        if !self.2 {
            log.dropped += 1;
        }
    }
}

#[async_trait]
impl Connector for Scripted {
    fn plan(&self, operation: &str, input: &Value) -> Result<CallPlan, PlanError> {
        match operation {
            "write" | "read" => {}
            "webhook" if self.webhooks => {}
            _ => return Err(PlanError::OperationNotFound),
        }
        if let Some(wrong) = input.get("wrong").and_then(Value::as_array) {
            let error = |at: &Value| FieldError::new(at.as_str().unwrap(), "is wrong");
            return Err(PlanError::InvalidInput(wrong.iter().map(error).collect()));
        }
        Ok(CallPlan { idempotent: operation == "read" })
    }

    async fn call(&self, context: &CallContext, operation: &str, input: &Value) -> Result<Value, CallError> {
        let workspace = context.workspace.to_string();
        let number = {
            let mut log = self.script.log.lock().unwrap();
            let number = log.seen.iter().filter(|seen| seen.subject == context.subject).count();
            log.seen.push(Seen {
                workspace: workspace.clone(),
                subject: context.subject.clone(),
                operation: operation.to_owned(),
                input: input.clone(),
                fence: context.fence,
                at: Instant::now(),
            });
            let running = log.running.entry(workspace.clone()).or_default();
            *running += 1;
            let running = *running;
            let most = log.most.entry(workspace.clone()).or_default();
            *most = running.max(*most);
            number
        };
        self.script.changed.notify_waiters();
        let mut running = Running(&self.script, workspace, false);
        let steps = input["steps"].as_array().cloned().unwrap_or_default();
        let step = steps.get(number).or(steps.last()).and_then(Value::as_str).unwrap_or("ok").to_owned();
        let result = self.step(Some(context), &step, number, input).await;
        running.2 = true;
        result
    }

    async fn health(&self, _context: &CallContext) -> Result<HealthCheck, CallError> {
        let step = self.script.health.lock().unwrap().clone();
        match step.as_str() {
            "" => return Ok(HealthCheck::NotSupported),
            "tell" => {
                let secret = self.secrets.get("token").await.unwrap().unwrap();
                let upstream = UpstreamView { status: 401, body: json!({"you_sent": secret.expose()}) };
                let detail = format!("the upstream refuses {}", secret.expose());
                return Err(CallError::answered(CallErrorKind::Rejected, upstream, detail));
            }
            _ => {}
        }
        self.script.changed.notify_waiters();
        self.step(None, &step, 0, &json!({})).await.map(|_| HealthCheck::Passed)
    }
}

impl Scripted {
    async fn step(
        &self,
        context: Option<&CallContext>,
        step: &str,
        number: usize,
        input: &Value,
    ) -> Result<Value, CallError> {
        let (step, argument) = step.split_once(':').unwrap_or((step, ""));
        let answered = |kind: CallErrorKind, status: u16| {
            let upstream = UpstreamView { status, body: json!({"said": "no"}) };
            Err(CallError::answered(kind, upstream, format!("the upstream answered {status}")))
        };
        match step {
            "ok" => {}
            "slow" => tokio::time::sleep(Duration::from_millis(argument.parse().unwrap())).await,
            "gate" => self.script.gate.acquire().await.unwrap().forget(),
            "hang" => std::future::pending().await,
            "panic" => panic!("the connector has a bug"),
            "unreachable" => return Err(CallError::new(CallErrorKind::Unreachable, Sent::No, "no connection")),
            "forbidden" => return Err(CallError::new(CallErrorKind::DestinationForbidden, Sent::No, "not there")),
            "later" => {
                let wait = Duration::from_secs(argument.parse().unwrap());
                return answered(CallErrorKind::Failed, 503).map_err(|error| error.retry_after(Some(wait)));
            }
            "echo" => {
                let secret = self.secrets.get("token").await.unwrap().unwrap();
                return Ok(json!({"status": 200, "echo": format!("Bearer {}", secret.expose())}));
            }
            "large" => return Ok(json!({"text": "x".repeat(argument.parse().unwrap())})),
            "open" => {
                let (reference, bytes) = context.unwrap().payloads()?.read(argument.parse().unwrap(), 1 << 20).await?;
                return Ok(json!({"type": reference.content_type, "text": String::from_utf8(bytes.to_vec()).unwrap()}));
            }
            "store" => {
                let payloads = context.unwrap().payloads()?;
                payloads.write_bytes("text/plain", "named by nobody".into()).await?;
                let file = payloads.write_bytes("text/plain", argument.to_owned().into()).await?;
                return Ok(json!({"file": {"payload_ref": file}}));
            }
            "400" | "404" | "422" => return answered(CallErrorKind::Rejected, step.parse().unwrap()),
            "500" | "502" | "503" => return answered(CallErrorKind::Failed, step.parse().unwrap()),
            other => panic!("no such step: {other}"),
        }
        Ok(json!({"status": 200, "attempt": number + 1, "n": input["n"]}))
    }
}
