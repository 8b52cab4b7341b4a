//! The input of operations, as documents.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Number, Value};

use super::body::Part;
use super::method::MethodName;
use super::paging::PagingDocument;
use super::shape::Given;
use crate::payloads::PayloadName;

/// The input of `request`. At most one of `json`, `form`, `text`, `body_base64`,
/// `payload_ref` and `multipart` gives the body.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields, rename = "HttpRequest", extend("required" = ["method", "path"]))]
pub(super) struct RequestInput {
    /// The method.
    #[serde(default)]
    pub(super) method: Given<MethodName>,
    /// The path below the base URL, beginning with `/`; empty for the base URL itself. May end in `?` and a query.
    #[serde(default)]
    pub(super) path: Given<String>,
    /// Query parameters, encoded and appended. A list repeats its parameter.
    #[serde(default)]
    pub(super) query: Given<BTreeMap<String, Values>>,
    /// Headers. Credentials, framing, and what the settings fix are refused. With an `Idempotency-Key` the call counts
    /// as idempotent.
    #[serde(default)]
    pub(super) headers: Given<BTreeMap<String, String>>,
    /// A body of JSON.
    #[serde(default)]
    pub(super) json: Given<Value>,
    /// A body of form fields.
    #[serde(default)]
    pub(super) form: Given<BTreeMap<String, Values>>,
    /// A body of text.
    #[serde(default)]
    pub(super) text: Given<String>,
    /// A body of bytes, in base64.
    #[serde(default)]
    pub(super) body_base64: Given<String>,
    /// A body of bytes, as a payload of at most 64 MiB. Its type is the payload's, if no header says another.
    #[serde(default)]
    pub(super) payload_ref: Given<PayloadName>,
    /// A body of several parts, as a form with files.
    #[serde(default)]
    pub(super) multipart: Given<Vec<Part>>,
    /// Reads a list page by page. With `GET` only.
    #[serde(default)]
    pub(super) paginate: Given<PagingDocument>,
}

/// The input of an operation that the settings name. At most one of `json`, `form`, `text`, `body_base64`,
/// `payload_ref` and `multipart` gives the body.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields, rename = "HttpOperationInput")]
pub(super) struct NamedInput {
    /// What fills the parameters of the path.
    #[serde(default)]
    pub(super) params: Given<BTreeMap<String, Scalar>>,
    /// Query parameters, encoded and appended. A list repeats its parameter.
    #[serde(default)]
    pub(super) query: Given<BTreeMap<String, Values>>,
    /// Headers. Credentials, framing, and what the settings fix are refused. With an `Idempotency-Key` the call counts
    /// as idempotent.
    #[serde(default)]
    pub(super) headers: Given<BTreeMap<String, String>>,
    /// A body of JSON.
    #[serde(default)]
    pub(super) json: Given<Value>,
    /// A body of form fields.
    #[serde(default)]
    pub(super) form: Given<BTreeMap<String, Values>>,
    /// A body of text.
    #[serde(default)]
    pub(super) text: Given<String>,
    /// A body of bytes, in base64.
    #[serde(default)]
    pub(super) body_base64: Given<String>,
    /// A body of bytes, as a payload of at most 64 MiB. Its type is the payload's, if no header says another.
    #[serde(default)]
    pub(super) payload_ref: Given<PayloadName>,
    /// A body of several parts, as a form with files.
    #[serde(default)]
    pub(super) multipart: Given<Vec<Part>>,
}

/// The input of `webhook`: the event, any JSON.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "WebhookEvent")]
#[allow(dead_code, reason = "only its schema is used: the event goes out as it came")]
pub(super) struct WebhookInput(Value);

/// A text, a number, or true or false.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum Scalar {
    /// A text.
    Text(String),
    /// A number, written as JSON does.
    Number(Number),
    /// `true` or `false`.
    Flag(bool),
}

/// One value, or several.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum Values {
    /// One.
    One(Scalar),
    /// Several, in their order.
    Several(Vec<Scalar>),
}

impl Scalar {
    pub(super) fn to_text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Number(number) => number.to_string(),
            Self::Flag(flag) => flag.to_string(),
        }
    }
}

/// Each name with each of its values.
pub(super) fn pairs(fields: &BTreeMap<String, Values>) -> impl Iterator<Item = (&str, String)> {
    fields.iter().flat_map(|(name, values)| {
        let values = match values {
            Values::One(value) => std::slice::from_ref(value),
            Values::Several(values) => values.as_slice(),
        };
        values.iter().map(move |value| (name.as_str(), value.to_text()))
    })
}
