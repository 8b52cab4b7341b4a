//! The input of operations, as documents.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::http::shape::Given;

/// What each input may give: its schema says which of it an operation takes.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Input {
    #[serde(default)]
    pub(super) id: Given<String>,
    #[serde(default)]
    pub(super) method: Given<MethodName>,
    #[serde(default)]
    pub(super) path: Given<String>,
    #[serde(default)]
    pub(super) params: Given<Map<String, Value>>,
    #[serde(default)]
    pub(super) account: Given<String>,
    #[serde(default)]
    pub(super) idempotency_key: Given<String>,
    #[serde(default)]
    pub(super) max_pages: Given<f64>,
}

/// The input of `request`: any call of the API.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields, rename = "StripeRequest", extend("required" = ["method", "path"]))]
#[allow(dead_code, reason = "only its schema is used: all inputs are read alike")]
pub(super) struct RequestInput {
    /// The method.
    method: Given<MethodName>,
    /// The path, beginning with `/v1/` (sent as a form) or `/v2/` (sent as JSON).
    #[schemars(regex(pattern = "^/v[12]/"))]
    path: Given<String>,
    /// The parameters: in the query of a `GET` or `DELETE`, else in the body.
    params: Given<Map<String, Value>>,
    /// The connected account that the call is made for.
    #[schemars(regex(pattern = "^acct_[A-Za-z0-9]{1,250}$"))]
    account: Given<String>,
    /// The key under which the API does it once. The execution's or job's id if absent.
    #[schemars(regex(pattern = "^[!-~]{1,255}$"))]
    idempotency_key: Given<String>,
    /// Reads so many pages of a list at most, one after the other, into one list. With `GET` only. One page if absent.
    #[schemars(with = "u32", range(min = 1, max = 100))]
    max_pages: Given<f64>,
}

/// The methods of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
#[schemars(rename = "StripeMethod")]
#[allow(missing_docs, reason = "the names say it")]
pub(super) enum MethodName {
    Get,
    Post,
    Delete,
}
