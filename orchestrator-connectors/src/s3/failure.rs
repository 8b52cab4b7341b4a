//! What a store's answer means.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::StatusCode;
use orchestrator_core::connector::{CallError, CallErrorKind, Sent};
use orchestrator_types::UpstreamView;
use serde_json::{Map, Value};

use crate::egress::{EgressAnswer, retry_after};

/// The most that is shown of a store's message.
const SHOWN: usize = 1_024;

/// Codes that may pass, whatever the status they come with.
const MAY_PASS: &[&str] = &[
    "ConditionalRequestConflict",
    "InternalError",
    "OperationAborted",
    "RequestTimeout",
    "ServiceUnavailable",
    "SlowDown",
    "Throttling",
    "TooManyRequests",
];

/// How the last request of a call went, as it was seen on the way. Cloning shares it.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen(Arc<Mutex<Option<CallError>>>);

impl Seen {
    pub(super) fn went_well(&self) {
        self.set(None);
    }

    pub(super) fn was_not_answered(&self, error: CallError) {
        self.set(Some(error));
    }

    pub(super) fn was_refused(&self, answer: &EgressAnswer) {
        self.set(Some(refused(answer)));
    }

    fn set(&self, outcome: Option<CallError>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = outcome;
    }

    /// Why the call failed.
    pub(super) fn failure(&self) -> CallError {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        // The store said yes, and what came with it was no sense.
        seen.unwrap_or_else(|| {
            CallError::new(CallErrorKind::Failed, Sent::Maybe, "the object store's answer could not be read")
        })
    }
}

fn refused(answer: &EgressAnswer) -> CallError {
    let body = String::from_utf8_lossy(&answer.body);
    let (code, message) = (element(&body, "Code"), element(&body, "Message"));
    let kind = kind(answer.status, code.as_deref());
    let mut detail = format!("the object store answered {}", answer.status.as_u16());
    if let Some(code) = &code {
        detail.push_str(&format!(" ({code})"));
    }
    if answer.status.is_redirection() {
        detail.push_str(": the bucket is elsewhere, see `region` and `endpoint`");
    }
    // The rest of what a store says may hold the id of the key and the text that was signed.
    let shown = [("code", code), ("message", message)];
    let shown: Map<String, Value> =
        shown.into_iter().filter_map(|(name, text)| Some((name.to_owned(), Value::String(text?)))).collect();
    let body = if shown.is_empty() { Value::Null } else { Value::Object(shown) };
    let view = UpstreamView { status: answer.status.as_u16(), body };
    let wait: Option<Duration> = (kind == CallErrorKind::Failed).then(|| retry_after(&answer.headers)).flatten();
    CallError::answered(kind, view, detail).retry_after(wait)
}

fn kind(status: StatusCode, code: Option<&str>) -> CallErrorKind {
    let passes =
        matches!(status.as_u16(), 408 | 425 | 429 | 500..) || code.is_some_and(|code| MAY_PASS.contains(&code));
    if passes { CallErrorKind::Failed } else { CallErrorKind::Rejected }
}

/// The text of an element that stands once in an answer of S3.
fn element(body: &str, name: &str) -> Option<String> {
    let (_, rest) = body.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    let text = text
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&#39;", "'")
        .replace("&amp;", "&");
    Some(text.chars().map(|one| if one.is_control() { ' ' } else { one }).take(SHOWN).collect())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::HeaderMap;

    use super::*;

    fn answer(status: u16, body: &str) -> EgressAnswer {
        let status = StatusCode::from_u16(status).unwrap_or_default();
        EgressAnswer { status, headers: HeaderMap::new(), body: Bytes::copy_from_slice(body.as_bytes()), cut: false }
    }

    fn error(code: &str) -> String {
        format!(
            "<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>a &lt;b&gt;</Message><AWSAccessKeyId>AK</AWSAccessKeyId></Error>"
        )
    }

    #[test]
    fn status_and_code_decide_whether_it_may_pass() {
        for (status, code, kind) in [
            (404, "NoSuchKey", CallErrorKind::Rejected),
            (403, "AccessDenied", CallErrorKind::Rejected),
            (412, "PreconditionFailed", CallErrorKind::Rejected),
            (301, "PermanentRedirect", CallErrorKind::Rejected),
            (503, "SlowDown", CallErrorKind::Failed),
            (500, "InternalError", CallErrorKind::Failed),
            (429, "", CallErrorKind::Failed),
            (400, "RequestTimeout", CallErrorKind::Failed),
            (409, "OperationAborted", CallErrorKind::Failed),
            (409, "BucketNotEmpty", CallErrorKind::Rejected),
        ] {
            assert_eq!(refused(&answer(status, &error(code))).kind, kind, "{status} {code}");
        }
    }

    #[test]
    fn code_and_message_are_shown_and_nothing_else() {
        let failed = refused(&answer(403, &error("SignatureDoesNotMatch")));
        assert_eq!(failed.detail, "the object store answered 403 (SignatureDoesNotMatch)");
        let shown = failed.upstream.map(|view| view.body);
        assert_eq!(shown, Some(serde_json::json!({"code": "SignatureDoesNotMatch", "message": "a <b>"})));
        assert_eq!(refused(&answer(502, "<html>")).upstream.map(|view| view.body), Some(Value::Null));
    }
}
