//! Which headers a call may carry, and who sets them.

use std::collections::BTreeMap;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue};
use orchestrator_types::FieldError;

use super::shape::pointer;

/// More headers than this are refused.
const MOST: usize = 64;
/// All names and values together.
const MOST_BYTES: usize = 16 << 10;

/// The fencing token of the job that runs: a receiver refuses one that is lower than it has seen.
pub(crate) const FENCE: HeaderName = HeaderName::from_static("orchestrator-fence");
pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
pub(crate) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// They frame or route the message: the client's own.
const FRAMING: &[&str] = &[
    "connection",
    "content-length",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];
/// They carry credentials: secret slots' own.
const CREDENTIALS: &[&str] = &["authorization", "cookie", "proxy-authorization"];
/// Set on each call.
const OURS: &[&str] = &["baggage", "orchestrator-fence", "traceparent", "tracestate", "user-agent"];
/// A header with a word in its name that ends so is taken for a credential.
const SECRET_WORDS: &[&str] = &[
    "apikey",
    "auth",
    "authorization",
    "cookie",
    "credential",
    "credentials",
    "passwd",
    "password",
    "secret",
    "session",
    "signature",
    "token",
];

fn looks_secret(name: &HeaderName) -> bool {
    let mut words = name.as_str().split(['-', '_', '.']);
    words.any(|word| word == "key" || SECRET_WORDS.iter().any(|secret| word.ends_with(secret)))
}

/// Who asks for a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By<'a> {
    /// The settings, for every call: shown to whoever reads the config.
    Settings,
    /// The input of a call; the settings' own headers are not for it to change.
    Input(&'a HeaderMap),
}

/// Reads headers at `place`.
///
/// # Errors
/// Everything that is wrong with them.
pub(super) fn read(given: &BTreeMap<String, String>, place: &str, by: By<'_>) -> Result<HeaderMap, Vec<FieldError>> {
    let mut problems = Vec::new();
    let bytes: usize = given.iter().map(|(name, value)| name.len() + value.len()).sum();
    if given.len() > MOST || bytes > MOST_BYTES {
        problems.push(FieldError::new(place, format!("at most {MOST} headers of {MOST_BYTES} bytes in all are sent")));
        return Err(problems);
    }
    let mut headers = HeaderMap::new();
    for (name, value) in given {
        let problem = match (name.parse::<HeaderName>(), HeaderValue::from_str(value)) {
            (Err(_), _) => Some("this is not a header's name"),
            (Ok(name), _) if headers.contains_key(&name) => Some("this header is given twice"),
            (Ok(name), _) if not_theirs(&name, by).is_some() => not_theirs(&name, by),
            (Ok(_), Err(_)) => Some("the value has characters that a header cannot carry"),
            (Ok(name), Ok(value)) => {
                headers.insert(name, value);
                None
            }
        };
        if let Some(problem) = problem {
            problems.push(FieldError::new(pointer(place, name), problem));
        }
    }
    if problems.is_empty() { Ok(headers) } else { Err(problems) }
}

fn not_theirs(name: &HeaderName, by: By<'_>) -> Option<&'static str> {
    let within = |names: &[&str]| names.contains(&name.as_str());
    if within(FRAMING) {
        return Some("this header frames or routes the message and cannot be set");
    }
    if within(CREDENTIALS) {
        return Some("credentials are not given here: fill a secret slot");
    }
    if within(OURS) {
        return Some("this header is set by the orchestrator");
    }
    match by {
        By::Input(fixed) if fixed.contains_key(name) => Some("this header is fixed by the connector's settings"),
        By::Settings if looks_secret(name) => {
            Some("this looks like a credential: name it in `header_name` and fill the secret slot `header`")
        }
        By::Input(_) | By::Settings => None,
    }
}

/// Reads the name of the header that carries the secret of the slot `header`.
///
/// # Errors
/// It is no name, or one that is set by somebody else.
pub(super) fn read_credential_name(name: &str) -> Result<HeaderName, &'static str> {
    let Ok(name) = name.parse::<HeaderName>() else {
        return Err("this is not a header's name");
    };
    if FRAMING.contains(&name.as_str()) || OURS.contains(&name.as_str()) || name == CONTENT_TYPE {
        return Err("this header cannot be set");
    }
    Ok(name)
}

/// Reads the name of the header that carries the idempotency key.
///
/// # Errors
/// It is no name, or one that is set by somebody else.
pub(super) fn read_key_name(name: &str) -> Result<HeaderName, &'static str> {
    let name = read_credential_name(name)?;
    if CREDENTIALS.contains(&name.as_str()) { Err("this header carries credentials") } else { Ok(name) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn one(name: &str, value: &str) -> BTreeMap<String, String> {
        BTreeMap::from([(name.to_owned(), value.to_owned())])
    }

    #[test]
    fn a_call_sets_no_header_that_frames_routes_or_authenticates() {
        let fixed = read(&one("X-Tenant", "a"), "", By::Settings).unwrap();
        for name in [
            "Host",
            "Content-Length",
            "transfer-encoding",
            "Connection",
            "Keep-Alive",
            "Proxy-Connection",
            "TE",
            "Trailer",
            "Upgrade",
            "Expect",
            "Authorization",
            "Proxy-Authorization",
            "Cookie",
            "traceparent",
            "Orchestrator-Fence",
            "User-Agent",
            "x-tenant",
            "",
            "a b",
            "a:b",
            "a\r\nHost",
            "caf\u{e9}",
        ] {
            let problems = read(&one(name, "x"), "/headers", By::Input(&fixed)).unwrap_err();
            assert_eq!(problems[0].pointer, pointer("/headers", name));
        }
        for value in ["a\r\nHost: evil", "a\n b", "a\0", "\u{7f}"] {
            assert!(read(&one("x-a", value), "/headers", By::Input(&fixed)).is_err(), "{value:?}");
        }
        assert!(read(&one("Idempotency-Key", "k"), "/headers", By::Input(&fixed)).is_ok());
    }

    #[test]
    fn settings_hold_no_credentials() {
        for name in ["X-Api-Key", "X-Auth-Token", "apikey", "X-AccessToken", "client_secret", "X-Signature", "Cookie"] {
            assert!(read(&one(name, "x"), "/headers", By::Settings).is_err(), "{name}");
        }
        for name in ["X-Author", "X-Monkey", "Accept", "X-Tokenizer", "Stripe-Version"] {
            assert!(read(&one(name, "x"), "/headers", By::Settings).is_ok(), "{name}");
        }
    }

    #[test]
    fn one_name_in_two_cases_and_too_many_headers_are_refused() {
        let twice = BTreeMap::from([("X-A".to_owned(), "1".to_owned()), ("x-a".to_owned(), "2".to_owned())]);
        assert_eq!(read(&twice, "/headers", By::Settings).unwrap_err()[0].pointer, "/headers/x-a");
        let many = (0..=MOST).map(|number| (format!("x-{number}"), String::new())).collect();
        assert_eq!(read(&many, "/headers", By::Settings).unwrap_err().len(), 1);
        assert!(read(&one("x-a", &"v".repeat(MOST_BYTES)), "/headers", By::Settings).is_err());
    }
}
