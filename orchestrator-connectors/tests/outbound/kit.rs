//! Connectors as the engine builds them, with secrets that the test gives.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use orchestrator_connectors::{EgressClient, HttpKind, StripeKind};
use orchestrator_core::connector::{CallContext, Connector, ConnectorRegistry, PlanError, SecretSlots, SecretSource};
use orchestrator_core::secrets::{Secret, SecretError};
use orchestrator_types::{FieldError, TraceId};
use serde_json::Value;

use crate::upstream::client;

/// A source that gives this, and an older one.
struct Fixed(Result<String, SecretError>);

#[async_trait]
impl SecretSource for Fixed {
    async fn resolve(&self) -> Result<Vec<Secret>, SecretError> {
        self.0.clone().map(|text| vec![Secret::new(text), Secret::new("an older one".to_owned())])
    }
}

pub(crate) fn slots<T: AsRef<str>>(filled: &[(&str, Result<T, SecretError>)]) -> SecretSlots {
    let sources = filled.iter().map(|(slot, secret)| {
        let source: Arc<dyn SecretSource> =
            Arc::new(Fixed(secret.as_ref().map(|text| text.as_ref().to_owned()).map_err(|error| *error)));
        (slot.parse().unwrap(), source)
    });
    SecretSlots::new(sources.collect::<BTreeMap<_, _>>())
}

pub(crate) fn registry(client: EgressClient) -> ConnectorRegistry {
    let mut registry = ConnectorRegistry::default();
    registry.register(Arc::new(HttpKind::new(client.clone()))).unwrap();
    registry.register(Arc::new(StripeKind::new(client))).unwrap();
    registry
}

pub(crate) fn build(settings: &Value, secrets: SecretSlots) -> Result<Arc<dyn Connector>, Vec<FieldError>> {
    build_as("http", client(), settings, secrets)
}

/// A connector of a kind, as the engine builds it.
pub(crate) fn build_as(
    kind: &str,
    client: EgressClient,
    settings: &Value,
    secrets: SecretSlots,
) -> Result<Arc<dyn Connector>, Vec<FieldError>> {
    let (registry, kind) = (registry(client), kind.parse().unwrap());
    let problems = registry.check(&kind, settings, SecretSlots::default()).unwrap();
    if problems.is_empty() { registry.build(&kind, settings, secrets).unwrap() } else { Err(problems) }
}

pub(crate) fn connector(settings: &Value) -> Arc<dyn Connector> {
    build(settings, SecretSlots::default()).unwrap()
}

pub(crate) fn context() -> CallContext {
    let trace: TraceId = "4bf92f3577b34da6a3ce929d0e0e4736".parse().unwrap();
    CallContext::new("shop-dev".parse().unwrap(), "api".parse().unwrap(), "exe_1", trace)
}

pub(crate) fn pointers(problems: &[FieldError]) -> Vec<&str> {
    problems.iter().map(|problem| problem.pointer.as_str()).collect()
}

pub(crate) fn invalid(outcome: Result<orchestrator_core::connector::CallPlan, PlanError>) -> Vec<FieldError> {
    match outcome {
        Err(PlanError::InvalidInput(problems)) => problems,
        other => panic!("not an invalid input: {other:?}"),
    }
}

/// Slots that hold these.
pub(crate) fn filled(secrets: &[(&str, &str)]) -> SecretSlots {
    slots(&secrets.iter().map(|(slot, secret)| (*slot, Ok(*secret))).collect::<Vec<_>>())
}
