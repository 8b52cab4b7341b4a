//! HTTP methods: any, but those that are not a request to an API.

use std::borrow::Cow;

use http::Method;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

/// The method of a request, in capitals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MethodName(Method);

/// `CONNECT` asks for a tunnel, and `TRACE` for what was sent, credentials too.
const REFUSED: &[&str] = &["CONNECT", "TRACE"];
const LONGEST: usize = 24;

impl MethodName {
    pub(super) fn method(&self) -> Method {
        self.0.clone()
    }

    pub(super) fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Whether it is idempotent by its definition (RFC 9110, 9.2.2).
    pub(super) fn is_idempotent(&self) -> bool {
        self.0.is_idempotent()
    }

    pub(super) fn is_get(&self) -> bool {
        self.0 == Method::GET
    }

    /// Whether it usually has a body.
    pub(super) fn has_body(&self) -> bool {
        matches!(self.as_str(), "POST" | "PUT" | "PATCH")
    }
}

impl<'de> Deserialize<'de> for MethodName {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let letters = text.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-');
        let sound = letters && text.starts_with(|first: char| first.is_ascii_uppercase()) && text.len() <= LONGEST;
        let method = Method::from_bytes(text.as_bytes()).ok().filter(|_| sound && !REFUSED.contains(&text.as_str()));
        method.map(Self).ok_or_else(|| D::Error::custom("not a method that can be sent"))
    }
}

impl JsonSchema for MethodName {
    fn schema_name() -> Cow<'static, str> {
        "HttpMethod".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "An HTTP method in capitals: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS, or another.",
            "pattern": "^[A-Z][A-Z-]{0,23}$",
            "not": {"enum": REFUSED},
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use jsonschema::validator_for;
    use schemars::schema_for;
    use serde_json::json;

    use super::*;

    #[test]
    fn the_schema_takes_what_the_type_takes() {
        let schema = validator_for(&schema_for!(MethodName).to_value()).unwrap();
        let good = ["GET", "PATCH", "PROPFIND", "M-SEARCH", "QUERY"];
        let long = "X".repeat(25);
        let bad = ["get", "TRACE", "CONNECT", "", "GET ", "G\r\nX", "-A", "A1", &long];
        for (text, sound) in good.map(|text| (text, true)).into_iter().chain(bad.map(|text| (text, false))) {
            let value = json!(text);
            assert_eq!(schema.is_valid(&value), sound, "{text:?}");
            assert_eq!(serde_json::from_value::<MethodName>(value).is_ok(), sound, "{text:?}");
        }
    }
}
