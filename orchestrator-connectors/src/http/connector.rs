//! One `http` connector of a workspace.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderValue, Method};
use orchestrator_core::connector::{
    CallContext, CallError, CallErrorKind, CallPlan, Connector, HealthCheck, PlanError, Sent,
};
use serde_json::Value;

use super::answer::judge;
use super::auth::Credentials;
use super::headers::{FENCE, TRACEPARENT};
use super::plan::{InputShapes, Planned, plan};
use super::settings::HttpSettings;
use crate::egress::{BodyLimit, EXCERPT_BYTES, EgressClient, EgressLimits};

pub(super) struct HttpConnector {
    pub(super) client: EgressClient,
    pub(super) settings: HttpSettings,
    pub(super) credentials: Credentials,
    pub(super) shapes: Arc<InputShapes>,
}

#[async_trait]
impl Connector for HttpConnector {
    fn plan(&self, operation: &str, input: &Value) -> Result<CallPlan, PlanError> {
        let planned = plan(&self.settings, &self.shapes, operation, input)?;
        Ok(CallPlan { idempotent: planned.idempotent })
    }

    async fn call(&self, context: &CallContext, operation: &str, input: &Value) -> Result<Value, CallError> {
        let mut planned =
            plan(&self.settings, &self.shapes, operation, input).map_err(|problem| unsendable(&problem))?;
        self.mark(&mut planned, context)?;
        self.credentials.add_to(&mut planned.headers).await?;
        let Planned { method, url, headers, body, .. } = planned;
        let success = BodyLimit::Whole(self.settings.max_response_bytes);
        let limits = EgressLimits { success, ..EgressLimits::default() };
        let answer = self.client.send(method, url, headers, body, limits).await?;
        let output = judge(&answer)?;
        serde_json::to_value(output)
            .map_err(|_| CallError::new(CallErrorKind::Failed, Sent::Maybe, "the upstream's answer cannot be shown"))
    }

    async fn health(&self, context: &CallContext) -> Result<HealthCheck, CallError> {
        let Some(path) = &self.settings.health_path else { return Ok(HealthCheck::NotSupported) };
        let url = self.settings.base.join(path).map_err(|problem| {
            CallError::new(CallErrorKind::Rejected, Sent::No, format!("the check cannot be sent: {problem}"))
        })?;
        let mut headers = self.settings.headers.clone();
        headers.insert(TRACEPARENT, header(&context.trace_id.traceparent())?);
        self.credentials.add_to(&mut headers).await?;
        let beginning = BodyLimit::Beginning(EXCERPT_BYTES);
        let limits = EgressLimits { success: beginning, other: beginning };
        judge(&self.client.send(Method::GET, url, headers, Bytes::new(), limits).await?)?;
        Ok(HealthCheck::Passed)
    }
}

impl HttpConnector {
    /// What every call carries of its story: trace, fence, and the key under which repeating it changes nothing.
    fn mark(&self, planned: &mut Planned, context: &CallContext) -> Result<(), CallError> {
        let headers = &mut planned.headers;
        headers.insert(TRACEPARENT, header(&context.trace_id.traceparent())?);
        if let Some(fence) = context.fence {
            headers.insert(FENCE, HeaderValue::from(fence));
        }
        match &self.settings.idempotency_header {
            Some(name) if !planned.keyed => {
                headers.insert(name, header(&context.subject)?);
            }
            _ => {}
        }
        Ok(())
    }
}

fn header(text: &str) -> Result<HeaderValue, CallError> {
    HeaderValue::from_str(text).map_err(|problem| unsendable(&problem))
}

fn unsendable(problem: &dyn std::error::Error) -> CallError {
    CallError::new(CallErrorKind::Rejected, Sent::No, format!("the call cannot be sent: {problem}"))
}
