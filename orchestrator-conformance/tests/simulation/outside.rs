//! The world around the engine: an upstream that does what the input of each call says, and a product that answers by chance.
//! Both write down what they saw.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use orchestrator_core::callback::{CallbackAnswer, CallbackRequest, CallbackTransport};
use orchestrator_core::clock::Clock;
use orchestrator_core::connector::{
    CallContext, CallError, CallErrorKind, CallPlan, Connector, ConnectorKind, Idempotency, KindDescription,
    OperationDescription, PlanError, SecretSlots, Sent,
};
use orchestrator_core::types::{FieldError, UpstreamView};
use serde_json::{Value, json};

use crate::time::Truth;
use crate::trace::Trace;

/// A call that the upstream saw.
#[derive(Clone)]
pub struct Seen {
    pub tag: String,
    pub subject: String,
    /// Whether it did what it was asked, as far as the upstream is concerned.
    pub done: bool,
}

/// A delivery that the product saw.
#[derive(Clone)]
pub struct Delivered {
    pub webhook_id: String,
    pub body: Bytes,
    pub accepted: bool,
    /// By how much its time is off, in seconds.
    pub off: i64,
}

/// Upstream and product. Clones are the same.
#[derive(Clone)]
pub struct Outside {
    state: Arc<Mutex<State>>,
    trace: Trace,
    truth: Arc<Truth>,
}

struct State {
    random: fastrand::Rng,
    calm: bool,
    calls: Vec<Seen>,
    tries: BTreeMap<String, usize>,
    deliveries: Vec<Delivered>,
}

impl Outside {
    pub fn new(seed: u64, trace: Trace, truth: Arc<Truth>) -> Self {
        let random = fastrand::Rng::with_seed(seed);
        let (calls, tries, deliveries) = (Vec::new(), BTreeMap::new(), Vec::new());
        let state = Arc::new(Mutex::new(State { random, calm: false, calls, tries, deliveries }));
        Self { state, trace, truth }
    }

    /// From now on the product is well.
    pub fn calm(&self) {
        self.state.lock().unwrap().calm = true;
    }

    pub fn calls(&self) -> Vec<Seen> {
        self.state.lock().unwrap().calls.clone()
    }

    pub fn deliveries(&self) -> Vec<Delivered> {
        self.state.lock().unwrap().deliveries.clone()
    }

    /// The step of the next try of a subject.
    fn step(&self, subject: &str, input: &Value) -> (usize, String) {
        let mut state = self.state.lock().unwrap();
        let tried = state.tries.entry(subject.to_owned()).or_default();
        *tried += 1;
        let number = *tried;
        let steps = input["steps"].as_array().map(Vec::as_slice).unwrap_or_default();
        let step = steps.get(number - 1).or(steps.last()).and_then(Value::as_str).unwrap_or("ok");
        (number, step.to_owned())
    }

    fn saw(&self, input: &Value, subject: &str, done: bool) {
        let (tag, subject) = (input["tag"].as_str().unwrap_or_default().to_owned(), subject.to_owned());
        self.state.lock().unwrap().calls.push(Seen { tag, subject, done });
    }
}

impl ConnectorKind for Outside {
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
            settings_schema: json!({"type": "object", "additionalProperties": false}),
            secret_slots: Vec::new(),
            operations: ["write", "read"].map(operation).to_vec(),
        }
    }

    fn build(&self, _: &Value, _: SecretSlots) -> Result<Arc<dyn Connector>, Vec<FieldError>> {
        Ok(Arc::new(self.clone()))
    }
}

#[async_trait]
impl Connector for Outside {
    fn plan(&self, operation: &str, _: &Value) -> Result<CallPlan, PlanError> {
        Ok(CallPlan { idempotent: operation == "read" })
    }

    async fn call(&self, context: &CallContext, operation: &str, input: &Value) -> Result<Value, CallError> {
        let (number, step) = self.step(&context.subject, input);
        self.trace.say(format_args!(
            "call {} {operation} try {number} fence {:?}: {step}",
            self.trace.name(&context.subject),
            context.fence
        ));
        let (step, argument) = step.split_once(':').unwrap_or((&step, ""));
        let answered = |kind: CallErrorKind, status: u16| {
            let upstream = UpstreamView { status, body: json!({"said": "no"}) };
            CallError::answered(kind, upstream, format!("the upstream answered {status}"))
        };
        let reached = step != "unreachable";
        if reached {
            self.saw(input, &context.subject, matches!(step, "ok" | "slow" | "lost"));
        }
        match step {
            "ok" => Ok(json!({"try": number})),
            "slow" => {
                tokio::time::sleep(Duration::from_millis(argument.parse().unwrap())).await;
                Ok(json!({"try": number}))
            }
            "hang" => std::future::pending().await,
            // It is done, and the answer breaks off.
            "lost" => Err(CallError::new(CallErrorKind::Unreachable, Sent::Maybe, "the answer broke off")),
            "unreachable" => Err(CallError::new(CallErrorKind::Unreachable, Sent::No, "no connection")),
            "later" => {
                let wait = Duration::from_secs(argument.parse().unwrap());
                Err(answered(CallErrorKind::Failed, 503).retry_after(Some(wait)))
            }
            "refuse" => Err(answered(CallErrorKind::Rejected, 422)),
            "fail" => Err(answered(CallErrorKind::Failed, 500)),
            other => panic!("no such step: {other}"),
        }
    }
}

#[async_trait]
impl CallbackTransport for Outside {
    async fn deliver(&self, request: CallbackRequest) -> Result<CallbackAnswer, CallError> {
        let webhook_id = request.headers["webhook-id"].to_str().unwrap().to_owned();
        let signed: i64 = request.headers["webhook-timestamp"].to_str().unwrap().parse().unwrap();
        let off = signed - self.truth.now().unix_ms() / 1_000;
        let chance = {
            let mut state = self.state.lock().unwrap();
            let chance = if state.calm { 0 } else { state.random.u32(0..10) };
            let accepted = matches!(chance, 0..=5 | 9);
            state.deliveries.push(Delivered { webhook_id: webhook_id.clone(), body: request.body, accepted, off });
            chance
        };
        self.trace.say(format_args!("deliver {} {chance}", self.trace.name(&webhook_id)));
        let status = match chance {
            0..=4 => 200,
            5 => {
                tokio::time::sleep(Duration::from_millis(300)).await;
                200
            }
            6 => 500,
            7 => std::future::pending().await,
            8 => return Err(CallError::new(CallErrorKind::Unreachable, Sent::No, "no connection")),
            // It has it, and the answer breaks off.
            _ => return Err(CallError::new(CallErrorKind::Unreachable, Sent::Maybe, "the answer broke off")),
        };
        let retry_after = (status == 500).then(|| Duration::from_secs(1));
        Ok(CallbackAnswer { status, retry_after, body: Bytes::new() })
    }
}
