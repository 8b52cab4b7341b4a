//! A connector that counts its calls, and can be made to hold on to them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use orchestrator_core::connector::{
    CallContext, CallError, CallPlan, Connector, ConnectorKind, KindDescription, PlanError, SecretSlots,
};
use orchestrator_core::types::FieldError;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

/// `read` is idempotent, `write` is not; with `{"hold": true}` a call waits until it is let go.
#[derive(Clone)]
pub(crate) struct Counting {
    pub(crate) calls: Arc<AtomicUsize>,
    pub(crate) begun: Arc<Semaphore>,
    pub(crate) held: Arc<Semaphore>,
}

impl Counting {
    pub(crate) fn new() -> Self {
        Self { calls: Arc::default(), begun: Arc::new(Semaphore::new(0)), held: Arc::new(Semaphore::new(0)) }
    }

    pub(crate) fn count(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    /// Waits until one more call has begun.
    pub(crate) async fn begun(&self) {
        self.begun.acquire().await.unwrap().forget();
    }
}

impl ConnectorKind for Counting {
    fn describe(&self) -> KindDescription {
        KindDescription {
            name: "counting".parse().unwrap(),
            description: "counts".to_owned(),
            settings_schema: json!({"type": "object"}),
            secret_slots: Vec::new(),
            operations: Vec::new(),
        }
    }

    fn build(&self, _: &Value, _: SecretSlots) -> Result<Arc<dyn Connector>, Vec<FieldError>> {
        Ok(Arc::new(self.clone()))
    }
}

#[async_trait]
impl Connector for Counting {
    fn plan(&self, operation: &str, _: &Value) -> Result<CallPlan, PlanError> {
        Ok(CallPlan { idempotent: operation == "read" })
    }

    async fn call(&self, _: &CallContext, _: &str, input: &Value) -> Result<Value, CallError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        self.begun.add_permits(1);
        if input["hold"] == json!(true) {
            self.held.acquire().await.unwrap().forget();
        }
        Ok(json!({"status": 200}))
    }
}
