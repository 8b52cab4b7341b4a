//! An operation: its types, and the function that does it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use orchestrator_types::FieldError;
use schemars::{JsonSchema, schema_for};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::shape::{Shape, merged};
use crate::connector::{
    CallContext, CallError, CallErrorKind, CallPlan, Idempotency, OperationDescription, PlanError, Sent,
};

type Outcome = Pin<Box<dyn Future<Output = Result<Value, CallError>> + Send>>;
type Run<C, I> = Box<dyn Fn(Arc<C>, CallContext, I) -> Outcome + Send + Sync>;
type Check<C, I> = fn(&C, &I) -> Vec<FieldError>;

/// An operation of connectors whose state is `C`, with an input of type `I`.
///
/// The doc comments of the types become the descriptions in its schemas. Give an input `#[serde(deny_unknown_fields)]`:
/// a field that nobody knows is most likely a misspelt one.
pub struct Operation<C, I> {
    name: String,
    description: String,
    idempotency: Idempotency,
    output_schema: Value,
    run: Run<C, I>,
    check: Check<C, I>,
    repeatable: fn(&C, &I) -> bool,
    shown: Vec<&'static str>,
}

impl<C, I> Operation<C, I>
where
    C: Send + Sync + 'static,
    I: DeserializeOwned + JsonSchema + Send + 'static,
{
    /// An operation that an async function does: one attempt, told truly. It counts as one that must not be made twice
    /// until [`idempotency`](Self::idempotency) says otherwise.
    ///
    /// The function's future is dropped when the call is given up: it must leave nothing behind then.
    pub fn new<O, F, R>(name: impl Into<String>, description: impl Into<String>, run: R) -> Self
    where
        O: Serialize + JsonSchema + Send + 'static,
        F: Future<Output = Result<O, CallError>> + Send + 'static,
        R: Fn(Arc<C>, CallContext, I) -> F + Send + Sync + 'static,
    {
        let run = Box::new(move |connector, context, input| {
            let outcome = run(connector, context, input);
            Box::pin(async move { written(&outcome.await?) }) as Outcome
        });
        Self {
            name: name.into(),
            description: description.into(),
            idempotency: Idempotency::Never,
            output_schema: schema_for!(O).to_value(),
            run,
            check: |_, _| Vec::new(),
            repeatable: |_, _| false,
            shown: Vec::new(),
        }
    }

    /// Whether it may be made twice. Where that [depends](Idempotency::Depends), say on what by
    /// [`idempotent_if`](Self::idempotent_if).
    #[must_use]
    pub fn idempotency(mut self, idempotency: Idempotency) -> Self {
        self.idempotency = idempotency;
        self
    }

    /// It may be made twice if `repeatable` says so of the connector and the input.
    #[must_use]
    pub fn idempotent_if(mut self, repeatable: fn(&C, &I) -> bool) -> Self {
        self.idempotency = Idempotency::Depends;
        self.repeatable = repeatable;
        self
    }

    /// What its schema cannot say: everything that is wrong with an input, with pointers relative to it. Asked before
    /// anything is sent; it must not wait.
    #[must_use]
    pub fn check(mut self, check: Check<C, I>) -> Self {
        self.check = check;
        self
    }

    /// Secret slots whose values its output must carry: see
    /// [`Connector::shown_slots`](crate::connector::Connector::shown_slots).
    #[must_use]
    pub fn shows(mut self, slots: &[&'static str]) -> Self {
        self.shown = slots.to_vec();
        self
    }

    /// The operation with its schema compiled.
    ///
    /// # Errors
    /// Its input gives no schema.
    pub(super) fn compiled(self) -> Result<Compiled<C, I>, String> {
        Ok(Compiled { input: Shape::new()?, operation: self })
    }
}

fn written<O: Serialize>(output: &O) -> Result<Value, CallError> {
    serde_json::to_value(output)
        .map_err(|_| CallError::new(CallErrorKind::Failed, Sent::Maybe, "the upstream's answer cannot be shown"))
}

/// An operation whose input's type is forgotten.
pub(super) trait Known<C>: Send + Sync {
    fn name(&self) -> &str;
    fn describe(&self) -> OperationDescription;
    fn plan(&self, connector: &C, input: &Value) -> Result<CallPlan, PlanError>;
    fn call(&self, connector: Arc<C>, context: &CallContext, input: &Value) -> Result<Outcome, PlanError>;
    fn shown(&self) -> &[&'static str];
}

pub(super) struct Compiled<C, I> {
    operation: Operation<C, I>,
    input: Shape<I>,
}

impl<C, I> Compiled<C, I>
where
    I: DeserializeOwned + JsonSchema,
{
    fn read(&self, connector: &C, input: &Value) -> Result<I, PlanError> {
        let (value, problems) = self.input.read(input);
        let beyond = value.as_ref().map(|value| (self.operation.check)(connector, value)).unwrap_or_default();
        match (value, merged(problems, beyond)) {
            (Some(value), problems) if problems.is_empty() => Ok(value),
            (_, problems) => Err(PlanError::InvalidInput(problems)),
        }
    }
}

impl<C, I> Known<C> for Compiled<C, I>
where
    C: Send + Sync + 'static,
    I: DeserializeOwned + JsonSchema + Send + 'static,
{
    fn name(&self) -> &str {
        &self.operation.name
    }

    fn describe(&self) -> OperationDescription {
        OperationDescription {
            name: self.operation.name.clone(),
            description: self.operation.description.clone(),
            idempotency: self.operation.idempotency,
            input_schema: self.input.schema().clone(),
            output_schema: self.operation.output_schema.clone(),
        }
    }

    fn plan(&self, connector: &C, input: &Value) -> Result<CallPlan, PlanError> {
        let input = self.read(connector, input)?;
        let idempotent = match self.operation.idempotency {
            Idempotency::Always | Idempotency::ByKey => true,
            Idempotency::Depends => (self.operation.repeatable)(connector, &input),
            _ => false,
        };
        Ok(CallPlan { idempotent })
    }

    fn call(&self, connector: Arc<C>, context: &CallContext, input: &Value) -> Result<Outcome, PlanError> {
        let input = self.read(&connector, input)?;
        Ok((self.operation.run)(connector, context.clone(), input))
    }

    fn shown(&self) -> &[&'static str] {
        &self.operation.shown
    }
}
