//! A document's type and schema together: reading tells every problem at once, each with its pointer.

use std::marker::PhantomData;

use jsonschema::Validator;
use jsonschema::error::ValidationErrorKind;
use orchestrator_types::FieldError;
use schemars::{JsonSchema, schema_for};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// The schema of a type, compiled.
pub(super) struct Shape<T> {
    schema: Value,
    validator: Validator,
    of: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned + JsonSchema> Shape<T> {
    /// # Errors
    /// The schema that the type gives is none.
    pub(super) fn new() -> Result<Self, String> {
        let schema = schema_for!(T).to_value();
        let validator = jsonschema::validator_for(&schema).map_err(|problem| problem.to_string())?;
        Ok(Self { schema, validator, of: PhantomData })
    }

    pub(super) fn schema(&self) -> &Value {
        &self.schema
    }

    /// What the document says, and everything that its schema has against it. Where fields were refused that it can do
    /// without, it is read without them, so that the rest is still looked at. The messages repeat no value.
    pub(super) fn read(&self, document: &Value) -> (Option<T>, Vec<FieldError>) {
        let problems: Vec<_> = self.validator.iter_errors(document).flat_map(|error| told(&error)).collect();
        if problems.is_empty() {
            return match serde_path_to_error::deserialize(document) {
                Ok(value) => (Some(value), problems),
                // Schema and type differ in little, as 1.0 where an integer is asked for.
                Err(problem) => (None, vec![FieldError::new(pointer_of(problem.path()), NOT_THIS)]),
            };
        }
        let mut rest = document.clone();
        for problem in &problems {
            remove(&mut rest, &problem.pointer);
        }
        (T::deserialize(&rest).ok(), problems)
    }
}

const NOT_THIS: &str = "this is not what the field takes";

/// The problems found by the schema and those found beyond it: a field that was refused already is not refused twice.
pub(super) fn merged(mut problems: Vec<FieldError>, beyond: Vec<FieldError>) -> Vec<FieldError> {
    let within = |inner: &str, outer: &str| {
        inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let told = problems.len();
    for problem in beyond {
        let known = |known: &FieldError| {
            !known.pointer.is_empty()
                && (within(&problem.pointer, &known.pointer) || within(&known.pointer, &problem.pointer))
        };
        if !problems[..told].iter().any(known) {
            problems.push(problem);
        }
    }
    problems
}

fn told(error: &jsonschema::ValidationError<'_>) -> Vec<FieldError> {
    let place = error.instance_path().to_string();
    match error.kind() {
        ValidationErrorKind::AdditionalProperties { unexpected } => {
            unexpected.iter().map(|field| FieldError::new(member(&place, field), "there is no such field")).collect()
        }
        ValidationErrorKind::Required { property } => {
            let field = property.as_str().unwrap_or_default();
            vec![FieldError::new(member(&place, field), "this field is required")]
        }
        _ => vec![FieldError::new(place, error.masked_with("the value").to_string())],
    }
}

/// The pointer to a member of the object at `parent` (RFC 6901).
fn member(parent: &str, member: &str) -> String {
    format!("{parent}/{}", member.replace('~', "~0").replace('/', "~1"))
}

fn pointer_of(path: &serde_path_to_error::Path) -> String {
    path.iter().fold(String::new(), |place, segment| match segment {
        serde_path_to_error::Segment::Map { key } => member(&place, key),
        serde_path_to_error::Segment::Seq { index } => format!("{place}/{index}"),
        _ => place,
    })
}

/// Takes out what a pointer leads to. An entry of a list becomes null: the others keep their places.
fn remove(document: &mut Value, pointer: &str) {
    let Some((parent, last)) = pointer.rsplit_once('/') else { return };
    match document.pointer_mut(parent) {
        Some(Value::Object(fields)) => {
            fields.remove(&last.replace("~1", "/").replace("~0", "~"));
        }
        Some(Value::Array(entries)) => {
            if let Some(entry) = last.parse().ok().and_then(|index: usize| entries.get_mut(index)) {
                *entry = Value::Null;
            }
        }
        _ => {}
    }
}
