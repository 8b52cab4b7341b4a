//! Operations that the settings name.

use std::sync::Arc;

use jsonschema::Validator;
use orchestrator_core::connector::{Idempotency, OperationDescription};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::body::BodyKind;
use super::method::MethodName;
use super::paging::{Paging, PagingDocument};
use super::shape::Given;
use super::template::PathTemplate;

/// A named operation: a method and a path. Without `input_schema` its input may give `params`, `query`, `headers` and a
/// body; with it, the input is what the schema says, and its fields fill the path and the body.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields, rename = "HttpOperation", extend("required" = ["method", "path"]))]
pub(super) struct OperationDocument {
    /// What it does, in a sentence.
    #[serde(default)]
    #[schemars(length(max = 500))]
    pub(super) description: Given<String>,
    /// The method.
    #[serde(default)]
    pub(super) method: Given<MethodName>,
    /// The path below the base URL; `{name}` is filled with `params.name`, or with the input's `name` where there is an
    /// `input_schema`.
    #[serde(default)]
    pub(super) path: Given<String>,
    /// Whether making it twice is as good as once. If absent: by its method, or `idempotency_header`.
    #[serde(default)]
    pub(super) idempotent: Given<bool>,
    /// What its body is. With an `input_schema`: where the fields go that are not of the path (`json`, `form`, `query` or
    /// `none`; if absent, `json` for `POST`, `PUT` and `PATCH`, else `query`). Without: the one kind of body that it takes.
    #[serde(default)]
    pub(super) body: Given<BodyKind>,
    /// JSON Schema of its input, an object. References lead nowhere but into the schema itself.
    #[serde(default)]
    pub(super) input_schema: Given<Map<String, Value>>,
    /// Reads a list page by page. With `GET` only.
    #[serde(default)]
    pub(super) paginate: Given<PagingDocument>,
}

/// The same, sound.
#[derive(Debug)]
pub(super) struct NamedOperation {
    pub(super) description: Option<String>,
    pub(super) method: MethodName,
    pub(super) path: PathTemplate,
    pub(super) idempotent: Option<bool>,
    pub(super) body: Option<BodyKind>,
    pub(super) input: Option<InputSchema>,
    pub(super) paging: Option<Paging>,
}

/// A schema of an input, compiled.
#[derive(Debug, Clone)]
pub(super) struct InputSchema {
    pub(super) schema: Value,
    pub(super) validator: Arc<Validator>,
}

impl InputSchema {
    /// Compiles a schema.
    ///
    /// # Errors
    /// It is none.
    pub(super) fn compile(schema: Map<String, Value>) -> Result<Self, &'static str> {
        let schema = Value::Object(schema);
        let compiled = jsonschema::validator_for(&schema);
        let validator = compiled.map_err(|_| "this is not a JSON Schema, or it refers to something outside of it")?;
        Ok(Self { schema, validator: Arc::new(validator) })
    }
}

impl NamedOperation {
    /// Where the fields of an input go that are not of the path.
    pub(super) fn rest(&self) -> BodyKind {
        let by_method = if self.method.has_body() { BodyKind::Json } else { BodyKind::Query };
        self.body.unwrap_or(by_method)
    }

    /// What it tells about itself.
    pub(super) fn describe(&self, name: &str, keyed: bool, plain: &Value, output: &Value) -> OperationDescription {
        let idempotency = match self.idempotent {
            Some(true) => Idempotency::Always,
            Some(false) => Idempotency::Never,
            None if self.method.is_idempotent() => Idempotency::Always,
            None if keyed => Idempotency::ByKey,
            // A header of the input may bring a key.
            None if self.input.is_none() => Idempotency::Depends,
            None => Idempotency::Never,
        };
        let described = self.description.clone();
        OperationDescription {
            name: name.to_owned(),
            description: described.unwrap_or_else(|| format!("{} {}", self.method.as_str(), self.path.as_str())),
            idempotency,
            input_schema: self.input.as_ref().map_or_else(|| plain.clone(), |input| input.schema.clone()),
            output_schema: output.clone(),
        }
    }
}
