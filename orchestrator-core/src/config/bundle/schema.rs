//! The published JSON Schema of a bundle, made from the types that read it; and what a document breaks of it, all at once.

use std::sync::OnceLock;

use jsonschema::error::ValidationErrorKind as Kind;
use jsonschema::{ValidationError, Validator};
use orchestrator_types::{Bundle, FieldError};
use serde_json::{Map, Value, json};
use utoipa::{PartialSchema, ToSchema};

use super::format::BUNDLE_FORMAT;
use super::text::escaped;

/// No more problems are told at once.
const PROBLEMS_MAX: usize = 100;
const COMPONENTS: &str = "#/components/schemas/";

/// The JSON Schema (2020-12) of a bundle: the one of the format that this build writes.
#[must_use]
pub fn bundle_schema() -> Value {
    let value = |schema| serde_json::to_value(schema).unwrap_or_default();
    let mut parts = Vec::new();
    Bundle::schemas(&mut parts);
    let parts: std::collections::BTreeMap<_, _> =
        parts.into_iter().map(|(name, schema)| (name, value(schema))).collect();
    let mut schema = value(Bundle::schema());
    if let Some(fields) = schema.as_object_mut() {
        fields.insert("$defs".to_owned(), Value::Object(parts.into_iter().collect()));
    }
    refer_within(&mut schema);
    complete(&mut schema);
    schema["properties"]["format"] = json!({"const": BUNDLE_FORMAT, "description": "The format of the document."});
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!("Bundle");
    sorted(schema)
}

/// The schema as it is published.
#[must_use]
pub fn bundle_schema_text() -> &'static str {
    static TEXT: OnceLock<String> = OnceLock::new();
    TEXT.get_or_init(|| format!("{:#}\n", bundle_schema()))
}

/// References into an OpenAPI document become references into this one.
fn refer_within(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            for (name, field) in fields.iter_mut() {
                match field.as_str().and_then(|to| to.strip_prefix(COMPONENTS)) {
                    Some(to) if name == "$ref" => *field = json!(format!("#/$defs/{to}")),
                    _ => refer_within(field),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(refer_within),
        _ => {}
    }
}

/// What names look like, and that no alternative takes fields of another: the types say it in code, an editor wants it here.
fn complete(schema: &mut Value) {
    let Some(parts) = schema.pointer_mut("/$defs").and_then(Value::as_object_mut) else { return };
    for (name, pattern) in
        [("Name", "^[a-z0-9]([a-z0-9._-]*[a-z0-9])?$"), ("WorkspaceId", "^[a-z0-9][a-z0-9-]*-[a-z0-9]+$")]
    {
        if let Some(part) = parts.get_mut(name).and_then(Value::as_object_mut) {
            part.insert("pattern".to_owned(), json!(pattern));
            part.insert("maxLength".to_owned(), json!(63));
        }
    }
    let of_names = parts.get("Name").and_then(|name| name.get("description")).cloned().unwrap_or_default();
    for part in parts.values_mut() {
        for alternative in part.get_mut("oneOf").and_then(Value::as_array_mut).into_iter().flatten() {
            if let Some(fields) = alternative.as_object_mut().filter(|fields| fields.contains_key("properties")) {
                fields.insert("additionalProperties".to_owned(), json!(false));
            }
        }
        for field in part.get_mut("properties").and_then(Value::as_object_mut).into_iter().flat_map(Map::values_mut) {
            if let Some(keys) = field.get_mut("propertyNames")
                && keys.get("description") == Some(&of_names)
            {
                *keys = json!({"$ref": "#/$defs/Name"});
            }
        }
    }
}

/// The same, each object in the order of its names: however JSON is kept in a build, what is published is the same.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields: std::collections::BTreeMap<_, _> =
                fields.into_iter().map(|(name, field)| (name, sorted(field))).collect();
            Value::Object(fields.into_iter().collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        other => other,
    }
}

/// What a document breaks of the schema, with pointers.
pub(super) fn problems(document: &Value) -> Vec<FieldError> {
    static COMPILED: OnceLock<Result<Validator, String>> = OnceLock::new();
    let compiled =
        COMPILED.get_or_init(|| jsonschema::validator_for(&bundle_schema()).map_err(|error| error.to_string()));
    let mut found = Vec::new();
    match compiled {
        Ok(validator) => {
            for error in validator.iter_errors(document).take(PROBLEMS_MAX) {
                tell(&error, &mut found);
            }
        }
        // A test compiles it; the types read the document all the same.
        Err(problem) => tracing::error!(%problem, "the schema of bundles does not compile"),
    }
    found.truncate(PROBLEMS_MAX);
    found
}

/// An error in words, without the values of the document.
fn tell(error: &ValidationError<'_>, found: &mut Vec<FieldError>) {
    let at = error.instance_path().to_string();
    match error.kind() {
        Kind::AdditionalProperties { unexpected } | Kind::UnevaluatedProperties { unexpected } => {
            let unknown =
                |name: &String| FieldError::new(format!("{at}{}", escaped(name)), "there is no such field here");
            found.extend(unexpected.iter().map(unknown));
        }
        Kind::Required { property } => {
            let name = property.as_str().unwrap_or_default();
            found.push(FieldError::new(format!("{at}{}", escaped(name)), "is required"));
        }
        Kind::OneOfNotValid { context } | Kind::AnyOf { context } => alternatives(&at, context, found),
        Kind::Constant { expected_value } => found.push(FieldError::new(at, format!("must be {expected_value}"))),
        Kind::Enum { options } => found.push(FieldError::new(at, one_of(options.as_array().into_iter().flatten()))),
        _ => found.push(FieldError::new(at, error.masked_with("the value").to_string())),
    }
}

fn one_of<'v>(options: impl Iterator<Item = &'v Value>) -> String {
    let options: Vec<String> = options.map(ToString::to_string).collect();
    format!("must be one of {}", options.join(", "))
}

/// Of alternatives, what the one breaks that was meant: that whose tag the document has.
fn alternatives(at: &str, context: &[Vec<ValidationError<'static>>], found: &mut Vec<FieldError>) {
    let fits = |errors: &&Vec<ValidationError<'static>>| {
        !errors.iter().any(|error| error.instance_path().as_str() == at && matches!(error.kind(), Kind::Type { .. }))
    };
    let tag = |error: &ValidationError<'static>| match error.kind() {
        Kind::Constant { .. } => true,
        Kind::Enum { options } => options.as_array().is_some_and(|options| options.len() == 1),
        _ => false,
    };
    let fitting: Vec<_> = context.iter().filter(fits).collect();
    let meant = fitting.iter().find(|errors| fitting.len() == 1 || !errors.iter().any(tag));
    if let Some(meant) = meant {
        meant.iter().for_each(|error| tell(error, found));
        return;
    }
    let tags: Vec<_> = fitting.iter().flat_map(|errors| errors.iter().filter(|error| tag(error))).collect();
    let mut options: Vec<&Value> = Vec::new();
    for error in &tags {
        match error.kind() {
            Kind::Constant { expected_value } => options.push(expected_value),
            Kind::Enum { options: more } => options.extend(more.as_array().into_iter().flatten()),
            _ => {}
        }
    }
    let (at, detail) = match tags.first() {
        Some(error) => (error.instance_path().to_string(), one_of(options.into_iter())),
        None => (at.to_owned(), "is of none of the forms that it may have".to_owned()),
    };
    found.push(FieldError::new(at, detail));
}
