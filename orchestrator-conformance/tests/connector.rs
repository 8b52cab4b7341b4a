//! The suite for connectors itself: a sound one passes whole, and each flaw is found by the behaviour that names it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::future::pending;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use orchestrator_conformance::connector::{
    ConnectorHarness, Sample, Seen, Told, cancellation, deadlines, health, outcomes, planning, schema, secrets,
    settings,
};
use orchestrator_core::connector::{
    CallContext, CallError, CallErrorKind, CallPlan, Connector, ConnectorKind, HealthCheck, Idempotency,
    KindDescription, OperationDescription, PlanError, SecretSlots, Sent,
};
use orchestrator_core::types::{FieldError, UpstreamView};
use serde_json::{Value, json};
use tokio::sync::watch;

/// What is wrong with a connector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flaw {
    None,
    /// It takes settings that it does not know.
    LooseSettings,
    /// It takes any operation.
    AnyOperation,
    /// It does not look at inputs before it sends them.
    LateInput,
    /// It says of every failure that it may pass.
    EverythingPasses,
    /// It says of what was cut off that nothing was sent.
    DeniesSending,
    /// It makes a new key for each attempt.
    NewKeys,
    /// It repeats what failed.
    Repeats,
    /// It goes on when its caller has gone.
    GoesOn,
    /// It names its secret in errors.
    TellsSecret,
    /// It gives its secret out in an output, in a case that no redaction expects.
    HidesSecret,
    /// It keeps the first secret.
    KeepsSecret,
    /// It calls without a secret if there is none.
    CallsBare,
    /// It gives an example that it does not take.
    BadExample,
    /// Its schema asks for more than it looks at.
    IdleSchema,
    /// Its output is another one if the upstream says much.
    OtherOutput,
    /// It says that its calls may not be repeated, and repeats them.
    ToldNever,
    /// It passes each check without asking.
    BlindCheck,
}

struct Upstream {
    told: Mutex<Told>,
    seen: Mutex<Vec<Seen>>,
    held: watch::Sender<usize>,
}

/// Counts a call that is held, as long as it lives.
struct Held<'a>(&'a Upstream);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.held.send_modify(|held| *held -= 1);
    }
}

impl Upstream {
    /// What the upstream answers, if it does: a status and the text of its answer; `Err` if the connection broke.
    async fn take(&self, key: &str, secret: &str, input: &Value) -> Result<(u16, String), Sent> {
        let told = *self.told.lock().unwrap();
        if told == Told::BeAway {
            return Err(Sent::No);
        }
        let text = format!("{secret} {input}");
        self.seen.lock().unwrap().push(Seen { text: text.clone(), idempotency_key: Some(key.to_owned()) });
        self.held.send_modify(|held| *held += 1);
        let _held = Held(self);
        tokio::task::yield_now().await;
        match told {
            Told::Succeed => Ok((200, "done".to_owned())),
            Told::Echo => Ok((200, text)),
            Told::Refuse => Ok((422, text)),
            Told::Fail => Ok((500, text)),
            Told::AskToWait(_) => Ok((429, String::new())),
            Told::Status(status) => Ok((status, String::new())),
            Told::BreakOff => Err(Sent::Maybe),
            Told::Hang | Told::BeAway => pending().await,
        }
    }
}

struct Harness {
    upstream: Arc<Upstream>,
    flaw: Flaw,
}

impl Harness {
    fn of(flaw: Flaw) -> Self {
        let (told, seen) = (Mutex::new(Told::Succeed), Mutex::default());
        Self { upstream: Arc::new(Upstream { told, seen, held: watch::Sender::new(0) }), flaw }
    }
}

#[async_trait]
impl ConnectorHarness for Harness {
    fn kind(&self) -> Arc<dyn ConnectorKind> {
        Arc::new(Kind { upstream: self.upstream.clone(), flaw: self.flaw })
    }

    fn settings(&self) -> Value {
        json!({"shelf": "a"})
    }

    fn refused_settings(&self) -> Vec<(Value, &'static str)> {
        vec![(json!({"shelf": 1}), "/shelf")]
    }

    fn filled_slots(&self) -> Vec<&'static str> {
        vec!["pass"]
    }

    fn samples(&self) -> Vec<Sample> {
        let refused = vec![(json!({"item": 1}), "/item"), (json!({}), "/item")];
        vec![Sample { operation: "store", input: json!({"item": "box"}), refused }]
    }

    async fn tell(&self, told: Told) -> bool {
        *self.upstream.told.lock().unwrap() = told;
        true
    }

    fn seen(&self) -> Vec<Seen> {
        self.upstream.seen.lock().unwrap().clone()
    }

    async fn until_held(&self, calls: usize) {
        self.upstream.held.subscribe().wait_for(|held| *held == calls).await.unwrap();
    }
}

struct Kind {
    upstream: Arc<Upstream>,
    flaw: Flaw,
}

impl ConnectorKind for Kind {
    fn describe(&self) -> KindDescription {
        let closed = self.flaw != Flaw::LooseSettings;
        let shelf = json!({"shelf": {"type": "string"}});
        let mut item = json!({"type": "object", "properties": {"item": {"type": "string"}}});
        match self.flaw {
            Flaw::BadExample => item["examples"] = json!([{"item": 1}]),
            Flaw::IdleSchema => item["properties"]["item"]["maxLength"] = json!(3),
            _ => item["examples"] = json!([{"item": "box"}]),
        }
        KindDescription {
            name: "shelf".parse().unwrap(),
            description: "Keeps items on a shelf.".to_owned(),
            settings_schema: json!({"type": "object", "properties": shelf, "additionalProperties": !closed}),
            secret_slots: vec!["pass".parse().unwrap()],
            operations: vec![OperationDescription {
                name: "store".to_owned(),
                description: "Puts an item on the shelf.".to_owned(),
                idempotency: if self.flaw == Flaw::ToldNever { Idempotency::Never } else { Idempotency::ByKey },
                input_schema: item,
                output_schema: json!({"type": "object", "required": ["said"]}),
            }],
        }
    }

    fn build(&self, settings: &Value, secrets: SecretSlots) -> Result<Arc<dyn Connector>, Vec<FieldError>> {
        if !settings.is_object() {
            return Err(vec![FieldError::new("", "an object")]);
        }
        Ok(Arc::new(Shelf { upstream: self.upstream.clone(), flaw: self.flaw, secrets, kept: Mutex::default() }))
    }
}

struct Shelf {
    upstream: Arc<Upstream>,
    flaw: Flaw,
    secrets: SecretSlots,
    kept: Mutex<Option<String>>,
}

impl Shelf {
    async fn secret(&self) -> Result<String, CallError> {
        if let Some(kept) = self.kept.lock().unwrap().clone() {
            return Ok(kept);
        }
        let secret = match self.secrets.get("pass").await {
            Ok(secret) => secret.map(|secret| secret.expose().to_owned()).unwrap_or_default(),
            Err(_) if self.flaw == Flaw::CallsBare => String::new(),
            Err(_) => return Err(CallError::new(CallErrorKind::SecretUnavailable, Sent::No, "no pass")),
        };
        if self.flaw == Flaw::KeepsSecret {
            *self.kept.lock().unwrap() = Some(secret.clone());
        }
        Ok(secret)
    }

    async fn ask(&self, key: &str, secret: &str, input: &Value) -> Result<(u16, String), Sent> {
        if self.flaw != Flaw::GoesOn {
            return self.upstream.take(key, secret, input).await;
        }
        let (upstream, key, secret, input) = (self.upstream.clone(), key.to_owned(), secret.to_owned(), input.clone());
        tokio::spawn(async move { upstream.take(&key, &secret, &input).await }).await.unwrap()
    }
}

#[async_trait]
impl Connector for Shelf {
    fn plan(&self, operation: &str, input: &Value) -> Result<CallPlan, PlanError> {
        if operation != "store" && self.flaw != Flaw::AnyOperation {
            return Err(PlanError::OperationNotFound);
        }
        if input["item"].as_str().is_none() && self.flaw != Flaw::LateInput {
            return Err(PlanError::InvalidInput(vec![FieldError::new("/item", "a text")]));
        }
        Ok(CallPlan { idempotent: true })
    }

    async fn call(&self, context: &CallContext, operation: &str, input: &Value) -> Result<Value, CallError> {
        self.plan(operation, input)
            .map_err(|problem| CallError::new(CallErrorKind::Rejected, Sent::No, problem.to_string()))?;
        let secret = self.secret().await?;
        let new_key = format!("{}-{}", context.subject, self.upstream.seen.lock().unwrap().len());
        let key = if self.flaw == Flaw::NewKeys { &new_key } else { &context.subject };
        let mut answer = self.ask(key, &secret, input).await;
        if self.flaw == Flaw::Repeats && answer.as_ref().is_ok_and(|(status, _)| *status >= 500) {
            answer = self.ask(key, &secret, input).await;
        }
        let named = if self.flaw == Flaw::TellsSecret { secret.as_str() } else { "the pass" };
        let (status, text) = answer.map_err(|sent| {
            let kind = if sent == Sent::No { CallErrorKind::Unreachable } else { CallErrorKind::Failed };
            let sent = if self.flaw == Flaw::DeniesSending { Sent::No } else { sent };
            CallError::new(kind, sent, format!("the shelf was lost, with {named}"))
        })?;
        if status == 200 {
            if self.flaw == Flaw::OtherOutput && text != "done" {
                return Ok(json!({"text": text}));
            }
            let said = if self.flaw == Flaw::HidesSecret { secret.to_ascii_uppercase() } else { text };
            return Ok(json!({"said": said}));
        }
        let may_pass = matches!(status, 408 | 425 | 429 | 500..) || self.flaw == Flaw::EverythingPasses;
        let kind = if may_pass { CallErrorKind::Failed } else { CallErrorKind::Rejected };
        let wait = (status == 429).then_some(Duration::from_secs(7));
        let wait = wait.filter(|_| matches!(*self.upstream.told.lock().unwrap(), Told::AskToWait(_)));
        let view = UpstreamView { status, body: json!(text) };
        Err(CallError::answered(kind, view, format!("the shelf said {status} to {named}")).retry_after(wait))
    }

    async fn health(&self, context: &CallContext) -> Result<HealthCheck, CallError> {
        if self.flaw == Flaw::BlindCheck {
            return Ok(HealthCheck::Passed);
        }
        self.call(context, "store", &json!({"item": "nothing"})).await.map(|_| HealthCheck::Passed)
    }
}

mod sound {
    use super::{Flaw, Harness};

    orchestrator_conformance::connector_conformance!(Harness::of(Flaw::None));
}

type Behaviour = Pin<Box<dyn Future<Output = ()> + Send>>;

#[tokio::test]
async fn each_flaw_is_found_out_by_the_behaviour_that_names_it() {
    macro_rules! behaviour {
        ($flaw:ident, $concern:ident :: $name:ident) => {{
            let on = |flaw| Box::pin(async move { $concern::$name(&Harness::of(flaw)).await }) as Behaviour;
            (Flaw::$flaw, on(Flaw::None), on(Flaw::$flaw))
        }};
    }
    let found = [
        behaviour!(LooseSettings, settings::an_unknown_setting_is_refused),
        behaviour!(AnyOperation, planning::an_unknown_operation_is_refused),
        behaviour!(LateInput, planning::a_bad_input_is_refused_with_pointers),
        behaviour!(LateInput, planning::what_was_refused_is_not_sent),
        behaviour!(EverythingPasses, outcomes::a_refusal_is_final),
        behaviour!(EverythingPasses, outcomes::a_status_means_what_the_trait_says),
        behaviour!(DeniesSending, outcomes::a_call_that_was_cut_off_may_have_been_seen),
        behaviour!(NewKeys, outcomes::inv_11_each_attempt_carries_the_same_key),
        behaviour!(Repeats, outcomes::one_attempt_is_one_call),
        behaviour!(TellsSecret, secrets::inv_23_an_error_names_no_secret),
        behaviour!(HidesSecret, secrets::inv_23_an_echoed_secret_is_not_shown),
        behaviour!(KeepsSecret, secrets::a_rotated_secret_serves_the_next_call),
        behaviour!(ToldNever, planning::a_plan_agrees_with_what_the_operation_tells),
        behaviour!(BlindCheck, health::a_check_says_how_the_upstream_stands),
        behaviour!(CallsBare, secrets::a_secret_that_cannot_be_had_sends_nothing),
        behaviour!(BadExample, schema::every_example_is_taken),
        behaviour!(IdleSchema, schema::what_a_schema_refuses_is_refused),
        behaviour!(OtherOutput, schema::every_output_is_what_its_schema_says),
    ];
    for (flaw, sound, flawed) in found {
        assert!(tokio::spawn(sound).await.is_ok(), "without {flaw:?} it holds");
        assert!(tokio::spawn(flawed).await.is_err_and(|error| error.is_panic()), "{flaw:?} is found");
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_goes_on_is_found_out() {
    let behaviour = async { cancellation::inv_22_a_dropped_call_leaves_nothing(&Harness::of(Flaw::GoesOn)).await };
    assert!(tokio::spawn(behaviour).await.is_err_and(|error| error.is_panic()), "it is found");
    let behaviour =
        async { deadlines::inv_18_a_call_that_hangs_is_ended_by_its_policy(&Harness::of(Flaw::GoesOn)).await };
    assert!(tokio::spawn(behaviour).await.is_err_and(|error| error.is_panic()), "it is found");
}
