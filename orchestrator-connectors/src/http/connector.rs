//! One `http` connector of a workspace.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method};
use orchestrator_core::connector::{
    CallContext, CallError, CallErrorKind, CallPlan, Connector, HealthCheck, OperationDescription, PlanError, Sent,
};
use serde_json::Value;

use super::answer::{PagingOutput, judge};
use super::auth::Credentials;
use super::connections::Connections;
use super::exchange::Exchange;
use super::headers::{FENCE, TRACEPARENT};
use super::kind::output_schema;
use super::paging::Fetch as _;
use super::plan::{InputShapes, Planned, plan};
use super::settings::HttpSettings;

/// The largest payload that is sent: 64 MiB. It is signed as a whole, and so held in memory.
const LARGEST_PAYLOAD: u64 = 64 << 20;

pub(super) struct HttpConnector {
    pub(super) connections: Connections,
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
        fill(&mut planned, context).await?;
        let exchange = self.exchange(&planned).await?;
        exchange.redacted(self.answer(&planned, &exchange).await)
    }

    async fn health(&self, context: &CallContext) -> Result<HealthCheck, CallError> {
        let Some(path) = &self.settings.health_path else { return Ok(HealthCheck::NotSupported) };
        let url = self.settings.base.join(path).map_err(|problem| {
            CallError::new(CallErrorKind::Rejected, Sent::No, format!("the check cannot be sent: {problem}"))
        })?;
        let mut headers = self.settings.headers.clone();
        headers.insert(TRACEPARENT, header(&context.trace_id.traceparent())?);
        let (method, body) = (Method::GET, Bytes::new());
        let planned =
            Planned { method, url, headers, body, payload: None, idempotent: true, keyed: false, paging: None };
        let exchange = self.exchange(&planned).await?;
        let asked = exchange.fetch(planned.url.clone(), self.settings.max_response_bytes).await;
        exchange.redacted(asked.and_then(|answer| judge(&answer).map(|_| Value::Null)))?;
        Ok(HealthCheck::Passed)
    }

    fn operations(&self) -> Vec<OperationDescription> {
        let (keyed, plain, output) =
            (self.settings.idempotency_header.is_some(), self.shapes.named.schema(), output_schema());
        let named = self.settings.operations.iter();
        named.map(|(name, operation)| operation.describe(name, keyed, plain, &output)).collect()
    }
}

impl HttpConnector {
    async fn exchange<'a>(&'a self, planned: &'a Planned) -> Result<Exchange<'a>, CallError> {
        Ok(Exchange::new(self.connections.client().await?, &self.credentials, planned))
    }

    async fn answer(&self, planned: &Planned, exchange: &Exchange<'_>) -> Result<Value, CallError> {
        let most = self.settings.max_response_bytes;
        let output = match &planned.paging {
            Some(paging) => {
                let read = paging.collect(&self.settings.base, planned.url.clone(), most, exchange).await?;
                let complete = read.next.is_none();
                read.output.paged(PagingOutput { pages: read.pages, complete, next: read.next })
            }
            None => judge(&exchange.fetch(planned.url.clone(), most).await?)?,
        };
        serde_json::to_value(output)
            .map_err(|_| CallError::new(CallErrorKind::Failed, Sent::Maybe, "the upstream's answer cannot be shown"))
    }

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

/// Reads the payload that is to be the body, if there is one.
async fn fill(planned: &mut Planned, context: &CallContext) -> Result<(), CallError> {
    let Some(id) = planned.payload else { return Ok(()) };
    let (reference, bytes) = context.payloads()?.read(id, LARGEST_PAYLOAD).await?;
    planned.body = bytes;
    if let (false, Ok(kind)) =
        (planned.headers.contains_key(CONTENT_TYPE), HeaderValue::from_str(&reference.content_type))
    {
        planned.headers.insert(CONTENT_TYPE, kind);
    }
    Ok(())
}

fn header(text: &str) -> Result<HeaderValue, CallError> {
    HeaderValue::from_str(text).map_err(|problem| unsendable(&problem))
}

fn unsendable(problem: &dyn std::error::Error) -> CallError {
    CallError::new(CallErrorKind::Rejected, Sent::No, format!("the call cannot be sent: {problem}"))
}
