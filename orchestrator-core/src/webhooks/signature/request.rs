//! A webhook as it came in.

use std::fmt;
use std::sync::OnceLock;

use http::HeaderMap;
use serde_json::Value;

use super::body::{BodyError, parse_json};
use super::{EventError, header};

/// A webhook: its headers and its raw body. The body is parsed at most once, when a provider first looks into it.
pub struct InboundWebhook<'a> {
    headers: &'a HeaderMap,
    body: &'a [u8],
    json: OnceLock<Result<Value, BodyError>>,
}

impl<'a> InboundWebhook<'a> {
    /// The webhook of these headers and these bytes, as they were sent: neither decompressed nor rewritten.
    #[must_use]
    pub fn new(headers: &'a HeaderMap, body: &'a [u8]) -> Self {
        Self { headers, body, json: OnceLock::new() }
    }

    /// Its headers.
    #[must_use]
    pub fn headers(&self) -> &'a HeaderMap {
        self.headers
    }

    /// Its raw body.
    #[must_use]
    pub fn body(&self) -> &'a [u8] {
        self.body
    }

    /// Its body as JSON.
    ///
    /// # Errors
    /// It is none, or too deep.
    pub fn json(&self) -> Result<&Value, BodyError> {
        self.json.get_or_init(|| parse_json(self.body)).as_ref().map_err(|failed| *failed)
    }

    /// The text or whole number at a JSON pointer, as text; `None` if nothing or `null` is there.
    ///
    /// # Errors
    /// The body is no JSON; or something else is there, or a text that is empty, over-long or holds control characters.
    pub fn fact(&self, pointer: &str) -> Result<Option<String>, EventError> {
        match self.json()?.pointer(pointer) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => header::checked(text).map(Some),
            Some(Value::Number(number)) if !number.is_f64() => Ok(Some(number.to_string())),
            Some(_) => Err(EventError::Malformed),
        }
    }
}

impl fmt::Debug for InboundWebhook<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "InboundWebhook({} headers, {} bytes)", self.headers.len(), self.body.len())
    }
}
