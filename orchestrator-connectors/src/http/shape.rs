//! Reading a JSON document by its schema: every problem at once, each with its pointer.

use jsonschema::Validator;
use jsonschema::error::ValidationErrorKind;
use orchestrator_types::FieldError;
use schemars::{JsonSchema, Schema, SchemaGenerator, schema_for};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use std::borrow::Cow;

/// A document's schema, compiled.
pub(crate) struct Shape {
    schema: Value,
    validator: Validator,
}

impl Shape {
    #[allow(clippy::expect_used, reason = "a schema derived from a type of ours; the tests compile each of them")]
    pub(crate) fn of<T: JsonSchema>() -> Self {
        let schema = schema_for!(T).to_value();
        let validator = jsonschema::validator_for(&schema).expect("a derived schema is a schema");
        Self { schema, validator }
    }

    pub(crate) fn schema(&self) -> &Value {
        &self.schema
    }

    /// What could be read of the document, and everything that its schema has against it. The messages repeat no value.
    pub(crate) fn read<T: DeserializeOwned + Default>(&self, document: &Value) -> (T, Vec<FieldError>) {
        (T::deserialize(document).unwrap_or_default(), problems(&self.validator, document))
    }
}

/// Everything that a schema has against a document. The messages repeat no value.
pub(crate) fn problems(schema: &Validator, document: &Value) -> Vec<FieldError> {
    // Most documents are right, and that is found out for much less than what is wrong with one.
    if schema.is_valid(document) {
        return Vec::new();
    }
    schema.iter_errors(document).flat_map(|error| told(&error)).collect()
}

fn told(error: &jsonschema::ValidationError<'_>) -> Vec<FieldError> {
    let place = error.instance_path().to_string();
    match error.kind() {
        ValidationErrorKind::AdditionalProperties { unexpected } => {
            unexpected.iter().map(|field| FieldError::new(pointer(&place, field), "there is no such field")).collect()
        }
        ValidationErrorKind::Required { property } => {
            let field = property.as_str().unwrap_or_default();
            vec![FieldError::new(pointer(&place, field), "this field is required")]
        }
        _ => vec![FieldError::new(place, error.masked_with("the value").to_string())],
    }
}

/// The pointer to a member of the object at `parent` (RFC 6901).
pub(crate) fn pointer(parent: &str, member: &str) -> String {
    format!("{parent}/{}", member.replace('~', "~0").replace('/', "~1"))
}

/// A field as it was given: nothing if it is absent, and nothing if it is not what its type asks for, which the schema
/// then tells. So the rest of a document is still looked at when one field is wrong.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Given<T>(pub(crate) Option<T>);

impl<T> Default for Given<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Given<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Ok(Self(serde_json::from_value(Value::deserialize(from)?).ok()))
    }
}

impl<T: JsonSchema> JsonSchema for Given<T> {
    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }

    fn inline_schema() -> bool {
        T::inline_schema()
    }
}
