//! What an answer means, and how it is shown.

use std::collections::BTreeMap;

use data_encoding::BASE64;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, SET_COOKIE};
use http::{HeaderMap, StatusCode};
use orchestrator_core::connector::{CallError, CallErrorKind};
use orchestrator_types::UpstreamView;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::egress::{EXCERPT_BYTES, EgressAnswer, retry_after};

/// What an operation gives back.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "HttpAnswer")]
pub(crate) struct Output {
    /// The upstream's status: 200 to 299.
    status: u16,
    /// Its headers by their names in lower case; several of one name are joined by `, `. Without cookies.
    headers: BTreeMap<String, String>,
    /// Its body: the value, if it is JSON by its content type, else the text; null if there is none.
    body: Value,
    /// Its body in base64, if it is neither JSON nor text.
    #[serde(skip_serializing_if = "Option::is_none")]
    body_base64: Option<String>,
    /// How far a list was read, if it was read page by page.
    #[serde(skip_serializing_if = "Option::is_none")]
    paging: Option<PagingOutput>,
}

/// How far a list was read.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(rename = "HttpPages")]
pub(crate) struct PagingOutput {
    /// So many pages.
    pub(crate) pages: usize,
    /// Whether it was read to its end.
    pub(crate) complete: bool,
    /// What the next page is asked for by, if there is one that was not read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next: Option<String>,
}

impl Output {
    pub(crate) fn body(&self) -> &Value {
        &self.body
    }

    pub(crate) fn body_mut(&mut self) -> &mut Value {
        &mut self.body
    }

    pub(crate) fn status(&self) -> u16 {
        self.status
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// The same, with how far a list was read.
    pub(crate) fn paged(mut self, paging: PagingOutput) -> Self {
        self.paging = Some(paging);
        self
    }
}

/// What the answer of an upstream means: the output of a success, or how the attempt failed.
pub(crate) fn judge(answer: &EgressAnswer) -> Result<Output, CallError> {
    let status = answer.status;
    if status.is_success() {
        return Ok(output(answer));
    }
    let view = UpstreamView { status: status.as_u16(), body: excerpt(answer) };
    let may_pass =
        matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS);
    if may_pass || !(300..500).contains(&status.as_u16()) {
        let detail = format!("the upstream failed with status {}", status.as_u16());
        return Err(CallError::answered(CallErrorKind::Failed, view, detail).retry_after(retry_after(&answer.headers)));
    }
    let detail = if status.is_redirection() {
        format!("the upstream answered with a redirect ({}), which is not followed", status.as_u16())
    } else {
        format!("the upstream rejected the request with status {}", status.as_u16())
    };
    Err(CallError::answered(CallErrorKind::Rejected, view, detail))
}

fn output(answer: &EgressAnswer) -> Output {
    let (body, body_base64) = match shown(answer) {
        Some(body) => (body, None),
        None => (Value::Null, Some(BASE64.encode(&answer.body))),
    };
    Output { status: answer.status.as_u16(), headers: headers_of(&answer.headers), body, body_base64, paging: None }
}

fn headers_of(headers: &HeaderMap) -> BTreeMap<String, String> {
    let mut shown: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in headers.iter().filter(|(name, _)| *name != SET_COOKIE) {
        let value = clean(&String::from_utf8_lossy(value.as_bytes()));
        shown
            .entry(name.as_str().to_owned())
            .and_modify(|known| {
                known.push_str(", ");
                known.push_str(&value);
            })
            .or_insert(value);
    }
    shown
}

/// The body as JSON or text; `None` for bytes that are neither. A NUL is not text: no store keeps it as one.
fn shown(answer: &EgressAnswer) -> Option<Value> {
    if answer.body.is_empty() {
        return Some(Value::Null);
    }
    if is_encoded(&answer.headers) {
        return None;
    }
    if is_json(&answer.headers)
        && !answer.cut
        && let Ok(value) = serde_json::from_slice(&answer.body)
    {
        return Some(value);
    }
    let text = std::str::from_utf8(&answer.body).ok().filter(|text| !text.contains('\0'))?;
    Some(Value::String(text.to_owned()))
}

/// The beginning of a failure's body, whatever it is.
pub(crate) fn excerpt(answer: &EgressAnswer) -> Value {
    if let Some(value) = shown(answer).filter(|_| !answer.cut) {
        return value;
    }
    let mut text = clean(&String::from_utf8_lossy(&answer.body));
    // Bytes that are not text grow when they are replaced.
    let mut most = text.len().min(EXCERPT_BYTES);
    while !text.is_char_boundary(most) {
        most -= 1;
    }
    text.truncate(most);
    Value::String(text)
}

fn clean(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

fn is_json(headers: &HeaderMap) -> bool {
    let Some(given) = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()) else {
        return false;
    };
    let essence = given.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || essence == "text/json" || essence.ends_with("+json")
}

fn is_encoded(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_ENCODING).is_some_and(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::time::Duration;

    use bytes::Bytes;

    use super::*;

    fn answer(status: u16, headers: &[(&'static str, &str)], body: &[u8]) -> EgressAnswer {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        let status = StatusCode::from_u16(status).unwrap();
        EgressAnswer { status, headers: map, body: Bytes::copy_from_slice(body), cut: false }
    }

    #[test]
    fn a_status_decides_whether_it_may_pass() {
        for status in 200..300 {
            assert!(judge(&answer(status, &[], b"")).is_ok(), "{status}");
        }
        for status in [408, 425, 429].into_iter().chain(500..600) {
            let failed = judge(&answer(status, &[("retry-after", "7")], b"")).unwrap_err();
            assert_eq!(
                (failed.kind, failed.retry_after),
                (CallErrorKind::Failed, Some(Duration::from_secs(7))),
                "{status}"
            );
        }
        for status in (300..500).filter(|status| ![408, 425, 429].contains(status)) {
            let rejected = judge(&answer(status, &[("retry-after", "7")], b"")).unwrap_err();
            assert_eq!((rejected.kind, rejected.retry_after), (CallErrorKind::Rejected, None), "{status}");
        }
        assert_eq!(judge(&answer(999, &[], b"")).unwrap_err().kind, CallErrorKind::Failed);
    }

    #[test]
    fn a_body_is_json_text_or_bytes() {
        let json = ("content-type", "application/problem+json; charset=utf-8");
        let shown = |headers: &[(&'static str, &str)], body: &[u8]| {
            let output = output(&answer(200, headers, body));
            (output.body, output.body_base64)
        };
        let base64 = |text: &str| (Value::Null, Some(text.to_owned()));
        assert_eq!(shown(&[json], br#"{"a":1}"#), (serde_json::json!({"a": 1}), None));
        assert_eq!(shown(&[json], b"{broken"), ("{broken".into(), None));
        assert_eq!(shown(&[("content-type", "text/html")], b"[1]"), ("[1]".into(), None));
        assert_eq!(shown(&[], "caf\u{e9}".as_bytes()), ("caf\u{e9}".into(), None));
        assert_eq!(shown(&[], b"\xff\x00"), base64("/wA="));
        assert_eq!(shown(&[], b"a\0b"), base64("YQBi"));
        assert_eq!(shown(&[json, ("content-encoding", "gzip")], b"{}"), base64("e30="));
        assert_eq!(shown(&[json], b""), (Value::Null, None));
    }

    #[test]
    fn deep_json_is_text_and_not_a_crash() {
        let deep = "[".repeat(100_000);
        let output = output(&answer(200, &[("content-type", "application/json")], deep.as_bytes()));
        assert_eq!(output.body, Value::String(deep));
    }

    #[test]
    fn cookies_are_not_shown_and_repeated_headers_are_joined() {
        let output = output(&answer(200, &[("set-cookie", "session=1"), ("x-a", "1"), ("x-a", "2")], b""));
        assert_eq!(output.headers, BTreeMap::from([("x-a".to_owned(), "1, 2".to_owned())]));
    }

    #[test]
    fn an_excerpt_is_at_most_16_kib_of_text() {
        let mut failed = answer(500, &[], &[0xff; EXCERPT_BYTES]);
        failed.cut = true;
        let shown = excerpt(&failed);
        assert!(shown.as_str().is_some_and(|text| text.len() <= EXCERPT_BYTES && text.len() > EXCERPT_BYTES - 4));
    }
}
