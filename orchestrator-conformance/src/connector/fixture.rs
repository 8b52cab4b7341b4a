//! What the behaviours share: connectors built as the engine builds them, secrets that can be searched for, and a way to
//! wait that ends.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use orchestrator_core::clock::SystemClock;
use orchestrator_core::connector::{
    CallContext, Connector, ConnectorKind, ConnectorRegistry, OperationDescription, SecretSlots, SecretSource,
};
use orchestrator_core::execute::Call;
use orchestrator_core::memory::MemoryStore;
use orchestrator_core::secrets::{EnvSecrets, Secret, SecretError};
use orchestrator_core::types::{
    ConfigRequest, ConnectorConfig, FieldError, Name, Policy, SecretRef, TraceId, WorkspaceConfig, WorkspaceId,
    WorkspaceRequest,
};
use orchestrator_core::{Actor, Orchestrator};
use serde_json::{Value, json};

use super::{ConnectorHarness, Sample, Told};

/// The longest wait for an event that must come.
const SOON: Duration = Duration::from_secs(30);

/// Bounds a wait for an event, so that one that never comes fails the behaviour and does not hang it.
pub(super) async fn soon<T>(what: &str, event: impl Future<Output = T>) -> T {
    match tokio::time::timeout(SOON, event).await {
        Ok(value) => value,
        Err(_) => panic!("within {SOON:?} this did not happen: {what}"),
    }
}

/// Tells the upstream; false if it is one that cannot be told so.
pub(super) async fn told(harness: &impl ConnectorHarness, what: Told) -> bool {
    let can = harness.tell(what).await;
    assert!(can || !what.is_required(), "every upstream can be told {what:?}");
    can
}

/// A registry with the kind, as the engine has one.
pub(super) fn registry(harness: &impl ConnectorHarness) -> (ConnectorRegistry, Name) {
    let kind = harness.kind();
    let name = kind.describe().name;
    let mut registry = ConnectorRegistry::default();
    registry.register(kind).expect("the kind can be registered");
    (registry, name)
}

/// A connector with the harness's settings, and a canary in each of its slots.
pub(super) fn connector(harness: &impl ConnectorHarness) -> Arc<dyn Connector> {
    connector_with(harness, slots(harness, &Canary::default()))
}

/// The same with other secrets.
pub(super) fn connector_with(harness: &impl ConnectorHarness, slots: SecretSlots) -> Arc<dyn Connector> {
    let (registry, kind) = registry(harness);
    let settings = harness.settings();
    assert_eq!(registry.check(&kind, &settings, slots.clone()), Some(Vec::new()), "the harness's settings are good");
    registry.build(&kind, &settings, slots).expect("the kind is registered").expect("good settings build a connector")
}

/// Every operation of a connector of the harness: those of its kind, and those that its settings name.
pub(super) fn described(harness: &impl ConnectorHarness) -> Vec<OperationDescription> {
    let mut operations = harness.kind().describe().operations;
    operations.extend(connector(harness).operations());
    operations
}

/// The operations to try; there is one at least, or nothing would be proved.
pub(super) fn samples(harness: &impl ConnectorHarness) -> Vec<Sample> {
    let samples = harness.samples();
    assert!(!samples.is_empty(), "the harness gives an operation to try");
    samples
}

/// The context of a call that is made for `subject`.
pub(super) fn context(subject: &str) -> CallContext {
    let (workspace, connector) = ("conformance-dev", "proved");
    let workspace = workspace.parse().expect("a workspace's name");
    CallContext::new(workspace, connector.parse().expect("a name"), subject, TraceId::new())
}

pub(super) fn pointers(problems: &[FieldError]) -> Vec<&str> {
    problems.iter().map(|problem| problem.pointer.as_str()).collect()
}

/// Values of every shape, which nobody expects.
pub(super) fn odd_values() -> Vec<Value> {
    let deep = (0..100).fold(json!(1), |inner, _| json!({"a": [inner]}));
    let mut odd = vec![deep, json!(null), json!(true), json!(-1), json!(1e300), json!("\u{0}\u{202e}x"), json!([])];
    odd.extend([json!([[], {}]), json!({}), json!({"": {"": ""}}), json!({"~/": "\r\n"}), json!("x".repeat(1 << 16))]);
    odd
}

/// Every value that is `value` with one of its fields replaced by something odd.
pub(super) fn mutations(value: &Value) -> Vec<Value> {
    let Value::Object(fields) = value else { return Vec::new() };
    let mut mutated = Vec::new();
    for name in fields.keys() {
        for odd in odd_values() {
            let mut changed = fields.clone();
            changed.insert(name.clone(), odd);
            mutated.push(Value::Object(changed));
        }
    }
    mutated
}

/// What a slot holds: a text that nothing else holds, so that it can be searched for.
#[derive(Clone)]
pub(super) struct Canary(Arc<Mutex<Result<String, SecretError>>>);

impl Default for Canary {
    fn default() -> Self {
        Self::of("first")
    }
}

impl Canary {
    pub(super) fn of(turn: &str) -> Self {
        Self(Arc::new(Mutex::new(Ok(Self::text(turn)))))
    }

    /// The canary of a turn.
    pub(super) fn text(turn: &str) -> String {
        format!("canary{turn}0123456789abcdefghijklm")
    }

    /// Changes what the slots give from now on.
    pub(super) fn set(&self, secret: Result<String, SecretError>) {
        *self.0.lock().expect("no panic under the lock") = secret;
    }
}

#[async_trait]
impl SecretSource for Canary {
    async fn resolve(&self) -> Result<Vec<Secret>, SecretError> {
        let secret = self.0.lock().expect("no panic under the lock").clone()?;
        Ok(vec![Secret::new(secret), Secret::new(Self::text("older"))])
    }
}

/// The harness's slots, all filled with the canary.
pub(super) fn slots(harness: &impl ConnectorHarness, canary: &Canary) -> SecretSlots {
    let sources = harness.filled_slots().into_iter().map(|slot| {
        let source: Arc<dyn SecretSource> = Arc::new(canary.clone());
        (slot.parse().expect("a slot's name"), source)
    });
    SecretSlots::new(sources.collect::<BTreeMap<_, _>>())
}

/// An engine in memory with one workspace and one connector of the kind under this policy, its slots filled from the
/// environment.
pub(super) async fn engine(harness: &impl ConnectorHarness, policy: Policy) -> (Orchestrator, WorkspaceId) {
    let engine = Orchestrator::builder()
        .environment("dev")
        .store(Arc::new(MemoryStore::new(SystemClock::shared())))
        .env(EnvSecrets::with_lookup(|_| Some(Canary::text("first"))))
        .connector(harness.kind())
        .build()
        .await
        .expect("an engine in memory");
    let workspace: WorkspaceId = "conformance-dev".parse().expect("a workspace's name");
    let actor = Actor::program("conformance");
    let request = WorkspaceRequest { name: workspace.clone(), template: None };
    engine.workspaces().create(&actor, &request).await.expect("a new workspace");
    let mut config = WorkspaceConfig::default();
    config.policies.insert(name("default"), policy);
    let mut connector = ConnectorConfig {
        kind: harness.kind().describe().name,
        policy: name("default"),
        breaker_hold: None,
        settings: harness.settings(),
        secrets: Default::default(),
    };
    for slot in harness.filled_slots() {
        let key = format!("CONFORMANCE_DEV_{}", slot.replace(['-', '.'], "_").to_ascii_uppercase());
        config.secret_refs.insert(name(slot), SecretRef::Env { key });
        connector.secrets.insert(name(slot), name(slot));
    }
    config.connectors.insert(name("proved"), connector);
    let request = ConfigRequest { config, message: "a connector to prove".to_owned(), activate: None };
    engine.configs().add(&actor, &workspace, request, None).await.expect("a good config");
    (engine, workspace)
}

/// A call of that connector.
pub(super) fn call(sample: &Sample) -> Call {
    Call {
        connector: name("proved"),
        operation: sample.operation.to_owned(),
        input: sample.input.clone(),
        timeout: None,
        idempotency: None,
        trace_id: TraceId::new(),
    }
}

fn name(text: &str) -> Name {
    text.parse().expect("a name")
}
