//! One `stripe` connector of a workspace.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use jsonschema::Validator;
use orchestrator_core::connector::{
    CallContext, CallError, CallErrorKind, CallPlan, Connector, HealthCheck, PlanError, SecretSlots, Sent,
};
use orchestrator_types::FieldError;
use serde::Deserialize as _;
use serde_json::{Map, Value, json};
use url::Url;

use super::failure::failure;
use super::form;
use super::input::{Input, MethodName, RequestInput};
use super::objects::OPERATIONS;
use super::operation::{Operation, Verb};
use super::settings::StripeSettings;
use crate::egress::{BodyLimit, EgressAnswer, EgressClient, EgressLimits};
use crate::http::answer::{Output, PagingOutput, judge};
use crate::http::connections::Connections;
use crate::http::headers::{FENCE, IDEMPOTENCY_KEY, TRACEPARENT};
use crate::http::paging::{Fetch, Paging};
use crate::http::shape::{Shape, problems};

/// The slot that holds the secret key.
pub(super) const API_KEY: &str = "api_key";
const VERSION: HeaderName = HeaderName::from_static("stripe-version");
const ACCOUNT: HeaderName = HeaderName::from_static("stripe-account");
const REQUEST_ID: &str = "request-id";
const REPLAYED: &str = "idempotent-replayed";

/// The schemas of the inputs.
pub(super) struct Shapes {
    pub(super) request: Shape,
    typed: BTreeMap<&'static str, (&'static Operation, Validator)>,
}

impl Shapes {
    #[allow(clippy::expect_used, reason = "schemas made of a table of ours; a test compiles each of them")]
    pub(super) fn new() -> Self {
        let compiled = |operation: &Operation| {
            jsonschema::validator_for(&operation.input_schema()).expect("a schema of ours is a schema")
        };
        let typed = OPERATIONS.iter().map(|operation| (operation.name, (operation, compiled(operation))));
        Self { request: Shape::of::<RequestInput>(), typed: typed.collect() }
    }
}

/// A call, ready but for its key.
struct Planned {
    verb: Verb,
    url: Url,
    body: Bytes,
    content_type: Option<HeaderValue>,
    account: Option<String>,
    idempotency_key: Option<String>,
    paging: Option<Paging>,
}

pub(super) struct StripeConnector {
    pub(super) settings: StripeSettings,
    pub(super) connections: Connections,
    pub(super) secrets: SecretSlots,
    pub(super) shapes: Arc<Shapes>,
}

#[async_trait]
impl Connector for StripeConnector {
    fn plan(&self, operation: &str, input: &Value) -> Result<CallPlan, PlanError> {
        // What reads and deletes may be repeated by what it does, what writes by the key that it carries.
        self.planned(operation, input).map(|_| CallPlan { idempotent: true })
    }

    async fn call(&self, context: &CallContext, operation: &str, input: &Value) -> Result<Value, CallError> {
        let planned = self.planned(operation, input).map_err(|problem| unsendable(&problem.to_string()))?;
        let exchange = self.exchange(context, &planned).await?;
        let most = self.settings.max_response_bytes;
        let (output, paging) = match &planned.paging {
            Some(paging) => {
                let read = paging.collect(&self.settings.base, planned.url.clone(), most, &exchange).await?;
                let complete = read.next.is_none();
                (read.output, Some(PagingOutput { pages: read.pages, complete, next: read.next }))
            }
            None => (exchange.judge(&exchange.fetch(planned.url.clone(), most).await?)?, None),
        };
        Ok(shown(&output, paging.as_ref()))
    }

    async fn health(&self, context: &CallContext) -> Result<HealthCheck, CallError> {
        let planned =
            self.planned("balance.retrieve", &json!({})).map_err(|problem| unsendable(&problem.to_string()))?;
        let exchange = self.exchange(context, &planned).await?;
        let answer = exchange.fetch(planned.url.clone(), self.settings.max_response_bytes).await?;
        match exchange.judge(&answer) {
            // A restricted key that may not see the balance is a key that the API knows.
            Err(_) if answer.status == http::StatusCode::FORBIDDEN => Ok(HealthCheck::Passed),
            Err(failed) => Err(failed),
            Ok(_) => Ok(HealthCheck::Passed),
        }
    }
}

impl StripeConnector {
    fn planned(&self, operation: &str, input: &Value) -> Result<Planned, PlanError> {
        if operation == "request" {
            return self.request(input).map_err(PlanError::InvalidInput);
        }
        let (operation, schema) = self.shapes.typed.get(operation).ok_or(PlanError::OperationNotFound)?;
        self.typed(operation, schema, input).map_err(PlanError::InvalidInput)
    }

    fn typed(&self, operation: &Operation, schema: &Validator, input: &Value) -> Result<Planned, Vec<FieldError>> {
        let problems = problems(schema, input);
        if !problems.is_empty() {
            return Err(problems);
        }
        let input = Input::deserialize(input).unwrap_or_default();
        let path = operation.path.replace("{id}", input.id.0.as_deref().unwrap_or_default());
        self.finish(operation.verb, &path, input).map_err(|problem| vec![FieldError::new("/id", problem)])
    }

    fn request(&self, input: &Value) -> Result<Planned, Vec<FieldError>> {
        let (_, mut problems) = self.shapes.request.read::<RequestInput>(input);
        let mut input = Input::deserialize(input).unwrap_or_default();
        let (method, path) = (input.method.0, input.path.0.take());
        if method != Some(MethodName::Get) && input.max_pages.0.is_some() {
            problems.push(FieldError::new("/max_pages", "pages are read with `GET`"));
        }
        if method == Some(MethodName::Get) && input.idempotency_key.0.is_some() {
            problems.push(FieldError::new("/idempotency_key", "what only reads carries no key"));
        }
        let (Some(method), Some(path), true) = (method, path, problems.is_empty()) else {
            if problems.is_empty() {
                problems.push(FieldError::new("", "the input is not what the operation takes"));
            }
            return Err(problems);
        };
        let verb = match method {
            MethodName::Get => Verb::Get,
            MethodName::Post => Verb::Post,
            MethodName::Delete => Verb::Delete,
        };
        self.finish(verb, &path, input).map_err(|problem| vec![FieldError::new("/path", problem)])
    }

    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the schemas bound it")]
    fn finish(&self, verb: Verb, path: &str, input: Input) -> Result<Planned, &'static str> {
        let mut url = self.settings.base.join(path)?;
        let params = input.params.0.unwrap_or_default();
        let (mut body, mut content_type) = (Bytes::new(), None);
        if verb == Verb::Post {
            (body, content_type) = written(path, params);
        } else if !params.is_empty() {
            url.query_pairs_mut().extend_pairs(form::pairs(&params));
        }
        let pages = input.max_pages.0.map(|pages| pages as usize);
        let paging = pages.map(|most| Paging::by_last_item("/data", "/id", "starting_after", "/has_more", most));
        let account = input.account.0.or_else(|| self.settings.account.clone());
        Ok(Planned { verb, url, body, content_type, account, idempotency_key: input.idempotency_key.0, paging })
    }

    async fn exchange<'a>(&self, context: &CallContext, planned: &'a Planned) -> Result<Exchange<'a>, CallError> {
        let client = self.connections.client().await?;
        let mut headers = HeaderMap::new();
        headers.insert(TRACEPARENT, header(&context.trace_id.traceparent())?);
        if let Some(fence) = context.fence {
            headers.insert(FENCE, HeaderValue::from(fence));
        }
        if let Some(version) = &self.settings.version {
            headers.insert(VERSION, version.clone());
        }
        if let Some(account) = &planned.account {
            headers.insert(ACCOUNT, header(account)?);
        }
        if planned.verb == Verb::Post {
            let key = planned.idempotency_key.as_deref().unwrap_or(&context.subject);
            headers.insert(IDEMPOTENCY_KEY, header(key)?);
        }
        if let Some(content_type) = &planned.content_type {
            headers.insert(CONTENT_TYPE, content_type.clone());
        }
        let unusable = |what: &str| {
            CallError::new(CallErrorKind::SecretUnavailable, Sent::No, format!("the secret slot `{API_KEY}` {what}"))
        };
        let key = self.secrets.get(API_KEY).await.map_err(|_| unusable("cannot be read now"))?;
        let key = key.ok_or_else(|| unusable("is not filled"))?;
        let value = HeaderValue::from_str(&format!("Bearer {}", key.expose()));
        let mut value = value.map_err(|_| unusable("holds characters that a header cannot carry"))?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
        Ok(Exchange { client, headers, planned })
    }
}

/// The body of a `POST`: a form, or JSON for the second version of the API.
fn written(path: &str, params: Map<String, Value>) -> (Bytes, Option<HeaderValue>) {
    if path.starts_with("/v2/") {
        return (Value::Object(params).to_string().into(), Some(HeaderValue::from_static("application/json")));
    }
    (form::encode(&params).into(), Some(HeaderValue::from_static("application/x-www-form-urlencoded")))
}

/// A call with its headers.
struct Exchange<'a> {
    client: EgressClient,
    headers: HeaderMap,
    planned: &'a Planned,
}

#[async_trait]
impl Fetch for Exchange<'_> {
    async fn fetch(&self, url: Url, most: usize) -> Result<EgressAnswer, CallError> {
        let limits = EgressLimits { success: BodyLimit::Whole(most), ..EgressLimits::default() };
        let method: Method = self.planned.verb.method();
        self.client.send(method, url, self.headers.clone(), self.planned.body.clone(), limits).await
    }

    fn judge(&self, answer: &EgressAnswer) -> Result<Output, CallError> {
        if answer.status.is_success() { judge(answer) } else { Err(failure(answer)) }
    }
}

fn shown(output: &Output, paging: Option<&PagingOutput>) -> Value {
    let mut shown = json!({
        "status": output.status(),
        "request_id": output.header(REQUEST_ID),
        "replayed": output.header(REPLAYED) == Some("true"),
        "body": output.body(),
    });
    if let (Some(paging), Some(fields)) = (paging, shown.as_object_mut()) {
        fields.insert("paging".to_owned(), json!(paging));
    }
    shown
}

fn header(text: &str) -> Result<HeaderValue, CallError> {
    HeaderValue::from_str(text).map_err(|problem| unsendable(&problem.to_string()))
}

fn unsendable(problem: &str) -> CallError {
    CallError::new(CallErrorKind::Rejected, Sent::No, format!("the call cannot be sent: {problem}"))
}
