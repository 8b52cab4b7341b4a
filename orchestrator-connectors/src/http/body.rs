//! The body of a request: JSON, a form, text, bytes, or several parts.

use std::collections::BTreeMap;

use aws_lc_rs::digest;
use bytes::Bytes;
use data_encoding::{BASE64, HEXLOWER};
use http::HeaderValue;
use orchestrator_types::{FieldError, PayloadId};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use url::form_urlencoded;

use super::input::{Values, pairs};
use super::shape::{Given, pointer};
use crate::payloads::PayloadName;

/// More parts than this are refused.
const MOST_PARTS: usize = 100;

/// What a body is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum BodyKind {
    /// JSON.
    Json,
    /// Form fields.
    Form,
    /// Text.
    Text,
    /// Bytes, given in base64 or as a payload.
    Bytes,
    /// Several parts, as a form with files.
    Multipart,
    /// None: what would be in it goes into the query.
    Query,
    /// None.
    None,
}

/// One part of a body of several. One of `text`, `json` and `body_base64` gives what is in it.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields, rename = "HttpPart", extend("required" = ["name"]))]
pub(super) struct Part {
    /// The field's name.
    #[serde(default)]
    name: Given<String>,
    /// Text.
    #[serde(default)]
    text: Given<String>,
    /// JSON.
    #[serde(default)]
    json: Given<Value>,
    /// Bytes, in base64.
    #[serde(default)]
    body_base64: Given<String>,
    /// The file's name, if it is one.
    #[serde(default)]
    filename: Given<String>,
    /// Its type, if not that of what is given.
    #[serde(default)]
    content_type: Given<String>,
}

/// The ways in which an input gives a body.
#[derive(Debug, Default)]
pub(super) struct Bodies {
    pub(super) json: Option<Value>,
    pub(super) form: Option<BTreeMap<String, Values>>,
    pub(super) text: Option<String>,
    pub(super) body_base64: Option<String>,
    pub(super) payload_ref: Option<PayloadName>,
    pub(super) multipart: Option<Vec<Part>>,
}

/// A body, and its type where the caller names none.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Body {
    pub(super) bytes: Bytes,
    pub(super) content_type: Option<HeaderValue>,
    /// The payload that the bytes are, if they have still to be read.
    pub(super) payload: Option<PayloadId>,
}

impl Body {
    fn of(bytes: impl Into<Bytes>, content_type: &'static str) -> Self {
        Self { bytes: bytes.into(), content_type: Some(HeaderValue::from_static(content_type)), payload: None }
    }

    pub(super) fn json(value: &Value) -> Self {
        Self::of(value.to_string(), "application/json")
    }

    pub(super) fn form(fields: &BTreeMap<String, Values>) -> Self {
        let encoded = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs(fields)).finish();
        Self::of(encoded, "application/x-www-form-urlencoded")
    }
}

impl Bodies {
    /// The one body that is given, if any; of `only` this kind, where the operation has one.
    ///
    /// # Errors
    /// Several are given, one of another kind, or one that is wrong in itself.
    pub(super) fn read(self, only: Option<BodyKind>) -> Result<Option<Body>, Vec<FieldError>> {
        let mut problems = Vec::new();
        let mut bodies: Vec<(&str, BodyKind, Body)> = Vec::new();
        if let Some(json) = self.json {
            bodies.push(("/json", BodyKind::Json, Body::json(&json)));
        }
        if let Some(form) = self.form {
            bodies.push(("/form", BodyKind::Form, Body::form(&form)));
        }
        if let Some(text) = self.text {
            bodies.push(("/text", BodyKind::Text, Body::of(text, "text/plain; charset=utf-8")));
        }
        if let Some(encoded) = self.body_base64 {
            let bytes = BASE64.decode(encoded.as_bytes()).unwrap_or_else(|_| {
                problems.push(FieldError::new("/body_base64", "this is not base64"));
                Vec::new()
            });
            bodies.push(("/body_base64", BodyKind::Bytes, Body::of(bytes, "application/octet-stream")));
        }
        if let Some(payload) = self.payload_ref {
            bodies.push(("/payload_ref", BodyKind::Bytes, Body { payload: Some(payload.id), ..Body::default() }));
        }
        if let Some(parts) = self.multipart {
            let body = multipart(&parts).unwrap_or_else(|found| {
                problems.extend(found);
                Body::default()
            });
            bodies.push(("/multipart", BodyKind::Multipart, body));
        }
        let one =
            "a request has one body: give one of `json`, `form`, `text`, `body_base64`, `payload_ref`, `multipart`";
        for (place, ..) in bodies.iter().skip(1) {
            problems.push(FieldError::new(*place, one));
        }
        if let (Some(only), Some((place, kind, _))) = (only, bodies.first())
            && only != *kind
        {
            problems.push(FieldError::new(*place, "the operation takes no body of this kind"));
        }
        if problems.is_empty() { Ok(bodies.pop().map(|(.., body)| body)) } else { Err(problems) }
    }
}

/// A body of several parts (RFC 7578).
fn multipart(parts: &[Part]) -> Result<Body, Vec<FieldError>> {
    if parts.is_empty() || parts.len() > MOST_PARTS {
        return Err(vec![FieldError::new("/multipart", format!("a body has 1 to {MOST_PARTS} parts"))]);
    }
    let mut problems = Vec::new();
    let mut read = Vec::new();
    for (index, part) in parts.iter().enumerate() {
        let place = pointer("/multipart", &index.to_string());
        match part.read(&place) {
            Ok(part) => read.push(part),
            Err(found) => problems.extend(found),
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    // Made of what it parts, so that each attempt sends the same bytes, and nothing inside can hold it.
    let mut context = digest::Context::new(&digest::SHA256);
    for (head, body) in &read {
        context.update(head.as_bytes());
        context.update(body);
    }
    let boundary = HEXLOWER.encode(&context.finish().as_ref()[..16]);
    let mut bytes = Vec::new();
    for (head, body) in read {
        bytes.extend_from_slice(format!("--{boundary}\r\n{head}\r\n").as_bytes());
        bytes.extend_from_slice(&body);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    let content_type = HeaderValue::from_str(&format!("multipart/form-data; boundary={boundary}")).ok();
    Ok(Body { bytes: bytes.into(), content_type, payload: None })
}

impl Part {
    /// Its headers, and what is in it.
    fn read(&self, place: &str) -> Result<(String, Vec<u8>), Vec<FieldError>> {
        let mut problems = Vec::new();
        let mut contents = Vec::new();
        if let Some(text) = &self.text.0 {
            contents.push((text.clone().into_bytes(), "text/plain; charset=utf-8"));
        }
        if let Some(json) = &self.json.0 {
            contents.push((json.to_string().into_bytes(), "application/json"));
        }
        if let Some(encoded) = &self.body_base64.0 {
            match BASE64.decode(encoded.as_bytes()) {
                Ok(bytes) => contents.push((bytes, "application/octet-stream")),
                Err(_) => problems.push(FieldError::new(pointer(place, "body_base64"), "this is not base64")),
            }
        }
        if contents.len() != 1 && problems.is_empty() {
            problems.push(FieldError::new(place, "a part has one of `text`, `json`, `body_base64`"));
        }
        let type_given = self.content_type.0.as_deref();
        if type_given.is_some_and(|text| HeaderValue::from_str(text).is_err() || text.is_empty()) {
            problems.push(FieldError::new(pointer(place, "content_type"), "this cannot be a type"));
        }
        let (Some((body, own_type)), true) = (contents.pop(), problems.is_empty()) else { return Err(problems) };
        let mut head = format!("Content-Disposition: form-data; name=\"{}\"", quoted(self.name.0.as_deref()));
        if let Some(filename) = &self.filename.0 {
            head = format!("{head}; filename=\"{}\"", quoted(Some(filename)));
        }
        // A plain field has no type of its own, as browsers send it.
        let is_field = self.text.0.is_some() && self.filename.0.is_none();
        match type_given {
            None if is_field => head.push_str("\r\n"),
            given => head = format!("{head}\r\nContent-Type: {}\r\n", given.unwrap_or(own_type)),
        }
        Ok((head, body))
    }
}

/// A name within quotes, as browsers write it.
fn quoted(text: Option<&str>) -> String {
    text.unwrap_or_default().replace('"', "%22").replace('\r', "%0D").replace('\n', "%0A")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use serde_json::json;

    use super::*;

    fn of(parts: Value) -> Result<Body, Vec<FieldError>> {
        multipart(&serde_json::from_value::<Vec<Part>>(parts).unwrap())
    }

    #[test]
    fn parts_are_written_as_browsers_do() {
        let parts = json!([
            {"name": "title", "text": "caf\u{e9}"},
            {"name": "da\"ta\r\nX: y", "json": {"a": 1}},
            {"name": "file", "body_base64": "AP8=", "filename": "a.bin", "content_type": "image/png"},
        ]);
        let body = of(parts.clone()).unwrap();
        assert_eq!(of(parts).unwrap(), body, "each attempt sends the same bytes");
        let content_type = body.content_type.unwrap();
        let boundary = content_type.to_str().unwrap().split_once("boundary=").unwrap().1;
        let expected = [
            format!("--{boundary}\r\nContent-Disposition: form-data; name=\"title\"\r\n\r\ncaf\u{e9}\r\n").into_bytes(),
            format!("--{boundary}\r\nContent-Disposition: form-data; name=\"da%22ta%0D%0AX: y\"\r\nContent-Type: application/json\r\n\r\n{{\"a\":1}}\r\n").into_bytes(),
            format!("--{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.bin\"\r\nContent-Type: image/png\r\n\r\n").into_bytes(),
            b"\x00\xff\r\n".to_vec(),
            format!("--{boundary}--\r\n").into_bytes(),
        ];
        assert_eq!(body.bytes, expected.concat());
    }

    #[test]
    fn each_problem_of_a_part_is_told() {
        let parts = json!([
            {"name": "a"}, {"name": "b", "text": "x", "json": 1}, {"name": "c", "body_base64": "!"},
            {"name": "d", "text": "x", "content_type": "a\r\nb"},
        ]);
        let problems = of(parts).unwrap_err();
        let found: Vec<_> = problems.iter().map(|problem| problem.pointer.as_str()).collect();
        assert_eq!(found, ["/multipart/0", "/multipart/1", "/multipart/2/body_base64", "/multipart/3/content_type"]);
        assert!(of(json!([])).is_err());
        assert!(of(vec![json!({"name": "a", "text": ""}); MOST_PARTS + 1].into()).is_err());
    }
}
