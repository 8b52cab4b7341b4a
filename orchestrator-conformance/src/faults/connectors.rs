//! An upstream that is hard to reach.

use std::sync::Arc;

use async_trait::async_trait;
use orchestrator_core::connector::{
    CallContext, CallError, CallPlan, Connector, ConnectorKind, HealthCheck, KindDescription, OperationDescription,
    PlanError, SecretSlots,
};
use orchestrator_core::types::FieldError;
use serde_json::Value;

use super::Faults;
use super::callbacks::broke_off;

/// A kind whose connectors are [`FaultyConnector`]s.
pub struct FaultyKind<K> {
    inner: K,
    faults: Faults,
}

impl<K: ConnectorKind> FaultyKind<K> {
    /// Puts the faults over the connectors of a kind.
    pub fn new(inner: K, faults: Faults) -> Self {
        Self { inner, faults }
    }
}

impl<K: ConnectorKind> ConnectorKind for FaultyKind<K> {
    fn describe(&self) -> KindDescription {
        self.inner.describe()
    }

    fn build(&self, settings: &Value, secrets: SecretSlots) -> Result<Arc<dyn Connector>, Vec<FieldError>> {
        let inner = self.inner.build(settings, secrets)?;
        Ok(Arc::new(FaultyConnector::new(inner, self.faults.clone())))
    }
}

/// A connector whose calls fail by a plan, as the methods `call` and `health`. What it says of itself does not.
pub struct FaultyConnector {
    inner: Arc<dyn Connector>,
    faults: Faults,
}

impl FaultyConnector {
    /// Puts the faults over a connector.
    #[must_use]
    pub fn new(inner: Arc<dyn Connector>, faults: Faults) -> Self {
        Self { inner, faults }
    }
}

#[async_trait]
impl Connector for FaultyConnector {
    fn plan(&self, operation: &str, input: &Value) -> Result<CallPlan, PlanError> {
        self.inner.plan(operation, input)
    }

    async fn call(&self, context: &CallContext, operation: &str, input: &Value) -> Result<Value, CallError> {
        self.faults.strike("call", self.inner.call(context, operation, input), broke_off).await
    }

    fn operations(&self) -> Vec<OperationDescription> {
        self.inner.operations()
    }

    fn shown_slots(&self, operation: &str) -> &[&'static str] {
        self.inner.shown_slots(operation)
    }

    async fn health(&self, context: &CallContext) -> Result<HealthCheck, CallError> {
        self.faults.strike("health", self.inner.health(context), broke_off).await
    }
}
