//! A kind whose settings and operations are types.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;

use orchestrator_types::{FieldError, Name};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::connector::{Operations, TypedConnector};
use super::operation::Operation;
use super::shape::{Shape, merged};
use crate::connector::{CallContext, CallError, Connector, ConnectorKind, KindDescription, SecretSlots};

/// Why a kind cannot be put together.
#[derive(Debug, thiserror::Error)]
#[error("connector kind `{kind}`: {problem}")]
pub struct TypedKindError {
    kind: String,
    problem: String,
}

type Open<S, C> = Box<dyn Fn(S, SecretSlots) -> Result<C, Vec<FieldError>> + Send + Sync>;

/// A kind with settings of type `S`, whose connectors are `C`.
pub struct TypedKind<S, C> {
    name: Name,
    description: String,
    settings: Shape<S>,
    slots: Vec<Name>,
    open: Open<S, C>,
    operations: Arc<Operations<C>>,
}

impl<S, C> TypedKind<S, C>
where
    S: DeserializeOwned + JsonSchema + 'static,
    C: Send + Sync + 'static,
{
    /// Begins a kind. `open` makes a connector from settings that match their schema, or says everything that is wrong
    /// beyond it. It is also asked when a config is only checked, so it must not wait, nor resolve a secret.
    pub fn builder(
        name: impl Into<String>,
        description: impl Into<String>,
        open: impl Fn(S, SecretSlots) -> Result<C, Vec<FieldError>> + Send + Sync + 'static,
    ) -> TypedKindBuilder<S, C> {
        TypedKindBuilder {
            name: name.into(),
            description: description.into(),
            slots: Vec::new(),
            open: Box::new(open),
            operations: Operations { known: Vec::new(), health: None },
            problem: None,
        }
    }
}

/// A kind that is being put together.
pub struct TypedKindBuilder<S, C> {
    name: String,
    description: String,
    slots: Vec<String>,
    open: Open<S, C>,
    operations: Operations<C>,
    problem: Option<String>,
}

impl<S, C> TypedKindBuilder<S, C>
where
    S: DeserializeOwned + JsonSchema + 'static,
    C: Send + Sync + 'static,
{
    /// A slot that a workspace may fill with a secret.
    #[must_use]
    pub fn slot(mut self, name: impl Into<String>) -> Self {
        self.slots.push(name.into());
        self
    }

    /// Adds an operation.
    #[must_use]
    pub fn operation<I>(mut self, operation: Operation<C, I>) -> Self
    where
        I: DeserializeOwned + JsonSchema + Send + 'static,
    {
        match operation.compiled() {
            Ok(compiled) => self.operations.known.push(Box::new(compiled)),
            Err(problem) => self.problem = Some(format!("the schema of an input does not compile: {problem}")),
        }
        self
    }

    /// How the upstream is asked whether it would serve a call: see
    /// [`Connector::health`](crate::connector::Connector::health).
    #[must_use]
    pub fn health<F, R>(mut self, ask: R) -> Self
    where
        F: Future<Output = Result<(), CallError>> + Send + 'static,
        R: Fn(Arc<C>, CallContext) -> F + Send + Sync + 'static,
    {
        self.operations.health = Some(Box::new(move |connector, context| Box::pin(ask(connector, context))));
        self
    }

    /// The kind.
    ///
    /// # Errors
    /// The name of the kind or of a slot is none, two operations or slots have one name, or a type gives no schema.
    pub fn build(self) -> Result<TypedKind<S, C>, TypedKindError> {
        let kind = self.name.clone();
        self.checked().map_err(|problem| TypedKindError { kind, problem })
    }

    fn checked(self) -> Result<TypedKind<S, C>, String> {
        if let Some(problem) = self.problem {
            return Err(problem);
        }
        let mut names = BTreeSet::new();
        if let Some(twice) = self.operations.known.iter().find(|operation| !names.insert(operation.name())) {
            return Err(format!("the operation `{}` is there twice", twice.name()));
        }
        let mut slots: Vec<Name> = Vec::new();
        for slot in &self.slots {
            let slot: Name = slot.parse().map_err(|problem| format!("the slot `{slot}`: {problem}"))?;
            if slots.contains(&slot) {
                return Err(format!("the slot `{slot}` is there twice"));
            }
            slots.push(slot);
        }
        Ok(TypedKind {
            name: self.name.parse().map_err(|problem| format!("its name: {problem}"))?,
            description: self.description,
            settings: Shape::new().map_err(|problem| format!("its settings schema does not compile: {problem}"))?,
            slots,
            open: self.open,
            operations: Arc::new(self.operations),
        })
    }
}

impl<S, C> ConnectorKind for TypedKind<S, C>
where
    S: DeserializeOwned + JsonSchema + 'static,
    C: Send + Sync + 'static,
{
    fn describe(&self) -> KindDescription {
        KindDescription {
            name: self.name.clone(),
            description: self.description.clone(),
            settings_schema: self.settings.schema().clone(),
            secret_slots: self.slots.clone(),
            operations: self.operations.known.iter().map(|operation| operation.describe()).collect(),
        }
    }

    fn build(&self, settings: &Value, secrets: SecretSlots) -> Result<Arc<dyn Connector>, Vec<FieldError>> {
        let (settings, problems) = self.settings.read(settings);
        let opened = settings.map(|settings| (self.open)(settings, secrets));
        match opened {
            Some(Ok(state)) if problems.is_empty() => {
                Ok(Arc::new(TypedConnector { state: Arc::new(state), operations: self.operations.clone() }))
            }
            Some(Err(beyond)) => Err(merged(problems, beyond)),
            _ => Err(problems),
        }
    }
}
