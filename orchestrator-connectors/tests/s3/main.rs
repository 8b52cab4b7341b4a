//! The `s3` kind: against a store that is not ours, and against one that does as it is told.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod objects;
mod payloads;
#[path = "../servers/mod.rs"]
mod servers;
mod settings;
mod told;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use orchestrator_connectors::{EgressClient, EgressPolicy, S3Kind};
use orchestrator_core::connector::{CallContext, CallError, Connector, ConnectorKind, SecretSlots, SecretSource};
use orchestrator_core::secrets::{Secret, SecretError};
use orchestrator_types::TraceId;
use serde_json::Value;

fn client() -> EgressClient {
    EgressClient::new(EgressPolicy::new(vec!["127.0.0.0/8".parse().unwrap()])).unwrap()
}

/// A kind that may reach this machine.
fn kind() -> S3Kind {
    S3Kind::new(client())
}

struct Slot(&'static str);

#[async_trait]
impl SecretSource for Slot {
    async fn resolve(&self) -> Result<Vec<Secret>, SecretError> {
        Ok(vec![Secret::new(self.0.to_owned())])
    }
}

fn slots(filled: &[(&str, &'static str)]) -> SecretSlots {
    let sources = filled.iter().map(|(slot, text)| {
        let source: Arc<dyn SecretSource> = Arc::new(Slot(text));
        (slot.parse().unwrap(), source)
    });
    SecretSlots::new(sources.collect::<BTreeMap<_, _>>())
}

fn keys() -> SecretSlots {
    slots(&[("access_key_id", "AKTEST"), ("secret_access_key", "open-sesame-0123456789")])
}

fn connector(settings: &Value, slots: SecretSlots) -> Arc<dyn Connector> {
    kind().build(settings, slots).unwrap_or_else(|problems| panic!("{problems:?}"))
}

fn context() -> CallContext {
    CallContext::new("shop-dev".parse().unwrap(), "files".parse().unwrap(), "exe_1", TraceId::new())
}

async fn call(connector: &Arc<dyn Connector>, operation: &str, input: Value) -> Result<Value, CallError> {
    assert!(connector.plan(operation, &input).is_ok(), "{:?}", connector.plan(operation, &input));
    connector.call(&context(), operation, &input).await
}
