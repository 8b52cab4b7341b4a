//! The kinds that are compiled in.

use std::collections::BTreeMap;
use std::sync::Arc;

use jsonschema::Validator;
use orchestrator_types::{ConnectorKindView, FieldError, Name, OperationView};
use serde_json::Value;

use super::kind::{Connector, ConnectorKind, KindDescription, OperationDescription};
use super::secrets::SecretSlots;

/// Why a kind could not be registered.
#[derive(Debug, thiserror::Error)]
#[error("connector kind `{kind}`: {problem}")]
pub struct RegistryError {
    kind: Name,
    problem: String,
}

struct Registered {
    kind: Arc<dyn ConnectorKind>,
    description: KindDescription,
    settings: Validator,
}

/// Every connector kind of this engine, each schema compiled once.
#[derive(Default)]
pub struct ConnectorRegistry {
    kinds: BTreeMap<Name, Registered>,
}

impl ConnectorRegistry {
    /// Adds a kind.
    ///
    /// # Errors
    /// Its name is taken, or its settings schema is not a schema.
    pub fn register(&mut self, kind: Arc<dyn ConnectorKind>) -> Result<(), RegistryError> {
        let description = kind.describe();
        let name = description.name.clone();
        let refuse = |problem: String| RegistryError { kind: name.clone(), problem };
        if self.kinds.contains_key(&name) {
            return Err(refuse("the name is taken".to_owned()));
        }
        let settings = jsonschema::validator_for(&description.settings_schema)
            .map_err(|error| refuse(format!("its settings schema does not compile: {error}")))?;
        self.kinds.insert(name.clone(), Registered { kind, description, settings });
        Ok(())
    }

    /// What a kind tells about itself.
    #[must_use]
    pub fn describe(&self, kind: &Name) -> Option<&KindDescription> {
        self.kinds.get(kind).map(|registered| &registered.description)
    }

    /// Everything that is wrong with settings of a kind beside these secrets, with pointers relative to the settings;
    /// `None` for an unknown kind. Which slots are filled counts, not what is in them: nothing is resolved.
    #[must_use]
    pub fn check(&self, kind: &Name, settings: &Value, secrets: SecretSlots) -> Option<Vec<FieldError>> {
        let registered = self.kinds.get(kind)?;
        let mut problems: Vec<_> = registered
            .settings
            .iter_errors(settings)
            .map(|error| FieldError::new(error.instance_path().to_string(), error.masked_with("the value").to_string()))
            .collect();
        if problems.is_empty()
            && let Err(more) = registered.kind.build(settings, secrets)
        {
            problems = more;
        }
        Some(problems)
    }

    /// Builds a connector; `None` for an unknown kind.
    ///
    /// # Errors
    /// What is wrong with the settings.
    #[must_use]
    pub fn build(
        &self,
        kind: &Name,
        settings: &Value,
        secrets: SecretSlots,
    ) -> Option<Result<Arc<dyn Connector>, Vec<FieldError>>> {
        self.kinds.get(kind).map(|registered| registered.kind.build(settings, secrets))
    }

    /// Every kind, as the contract shows it.
    #[must_use]
    pub fn views(&self) -> Vec<ConnectorKindView> {
        self.kinds.values().map(|registered| view(&registered.description)).collect()
    }
}

fn view(description: &KindDescription) -> ConnectorKindView {
    ConnectorKindView {
        kind: description.name.clone(),
        description: description.description.clone(),
        settings_schema: description.settings_schema.clone(),
        secret_slots: description.secret_slots.clone(),
        operations: description.operations.iter().map(operation_view).collect(),
    }
}

/// An operation, as the contract shows it.
pub(super) fn operation_view(operation: &OperationDescription) -> OperationView {
    OperationView {
        name: operation.name.clone(),
        description: operation.description.clone(),
        idempotency: operation.idempotency,
        input_schema: operation.input_schema.clone(),
        output_schema: operation.output_schema.clone(),
    }
}
