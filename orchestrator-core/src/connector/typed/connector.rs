//! A connector of a typed kind.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;

use super::operation::Known;
use crate::connector::{CallContext, CallError, CallErrorKind, CallPlan, Connector, HealthCheck, PlanError, Sent};

type Health = Pin<Box<dyn Future<Output = Result<(), CallError>> + Send>>;

pub(super) type Ask<C> = Box<dyn Fn(Arc<C>, CallContext) -> Health + Send + Sync>;

/// What the connectors of a kind share.
pub(super) struct Operations<C> {
    pub(super) known: Vec<Box<dyn Known<C>>>,
    pub(super) health: Option<Ask<C>>,
}

impl<C> Operations<C> {
    fn find(&self, name: &str) -> Option<&dyn Known<C>> {
        self.known.iter().find(|operation| operation.name() == name).map(AsRef::as_ref)
    }
}

pub(super) struct TypedConnector<C> {
    pub(super) state: Arc<C>,
    pub(super) operations: Arc<Operations<C>>,
}

#[async_trait]
impl<C: Send + Sync + 'static> Connector for TypedConnector<C> {
    fn plan(&self, operation: &str, input: &Value) -> Result<CallPlan, PlanError> {
        self.operations.find(operation).ok_or(PlanError::OperationNotFound)?.plan(&self.state, input)
    }

    async fn call(&self, context: &CallContext, operation: &str, input: &Value) -> Result<Value, CallError> {
        let known = self.operations.find(operation).ok_or(PlanError::OperationNotFound);
        let outcome = known.and_then(|known| known.call(self.state.clone(), context, input));
        outcome.map_err(|problem| unsendable(&problem))?.await
    }

    fn shown_slots(&self, operation: &str) -> &[&'static str] {
        self.operations.find(operation).map_or(&[], |operation| operation.shown())
    }

    async fn health(&self, context: &CallContext) -> Result<HealthCheck, CallError> {
        match &self.operations.health {
            Some(ask) => ask(self.state.clone(), context.clone()).await.map(|()| HealthCheck::Passed),
            None => Ok(HealthCheck::NotSupported),
        }
    }
}

fn unsendable(problem: &PlanError) -> CallError {
    CallError::new(CallErrorKind::Rejected, Sent::No, format!("the call cannot be sent: {problem}"))
}
