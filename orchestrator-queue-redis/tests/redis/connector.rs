//! An upstream in the process: what it was called for, and how often.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use orchestrator_core::connector::{
    CallContext, CallError, CallPlan, Connector, ConnectorKind, KindDescription, PlanError, SecretSlots,
};
use orchestrator_core::types::FieldError;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

/// Counts calls by their number, and takes as long as it is told.
#[derive(Clone, Default)]
pub(crate) struct Upstream(Arc<Mutex<Seen>>);

#[derive(Default)]
struct Seen {
    calls: HashMap<u64, usize>,
    at: Vec<Instant>,
}

impl Upstream {
    /// How many numbers were called for, and how many calls there were.
    pub(crate) fn count(&self) -> (usize, usize) {
        let seen = self.0.lock().unwrap();
        (seen.calls.len(), seen.at.len())
    }

    /// When it was called.
    pub(crate) fn at(&self) -> Vec<Instant> {
        self.0.lock().unwrap().at.clone()
    }
}

impl ConnectorKind for Upstream {
    fn describe(&self) -> KindDescription {
        KindDescription {
            name: "upstream".parse().unwrap(),
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
impl Connector for Upstream {
    fn plan(&self, _: &str, _: &Value) -> Result<CallPlan, PlanError> {
        Ok(CallPlan { idempotent: false })
    }

    async fn call(&self, _: &CallContext, _: &str, input: &Value) -> Result<Value, CallError> {
        {
            let mut seen = self.0.lock().unwrap();
            *seen.calls.entry(input["number"].as_u64().unwrap_or_default()).or_default() += 1;
            seen.at.push(Instant::now());
        }
        if let Some(ms) = input["ms"].as_u64() {
            sleep(Duration::from_millis(ms)).await;
        }
        Ok(json!({"status": 200}))
    }
}
