//! Which headers a message may bring of its own.

use std::collections::BTreeMap;

use lettre::message::header::{HeaderName, HeaderValue};
use orchestrator_types::FieldError;

/// Those that neither route, authenticate nor describe the message.
const KNOWN: &[&str] = &[
    "auto-submitted",
    "feedback-id",
    "importance",
    "in-reply-to",
    "list-help",
    "list-id",
    "list-unsubscribe",
    "list-unsubscribe-post",
    "precedence",
    "priority",
    "references",
    "sensitivity",
];
/// Set by servers on the way, and believed by filters: not for a sender to claim.
const CLAIMS: &[&str] =
    &["x-originating-ip", "x-spam", "x-virus", "x-received", "x-forwarded", "x-google-smtp", "x-ms-exchange"];
const LONGEST_NAME: usize = 76;
const LONGEST_VALUE: usize = 4_096;

/// Adds what is wrong with the headers.
pub(super) fn check_headers(given: &BTreeMap<String, String>, problems: &mut Vec<FieldError>) {
    let mut seen: Vec<String> = Vec::new();
    for (name, value) in given {
        let lower = name.to_ascii_lowercase();
        let problem = if !is_name(name) {
            Some("this is not a header's name")
        } else if !(KNOWN.contains(&lower.as_str()) || (lower.starts_with("x-") && lower.len() > 2)) {
            Some("this header is not one that a message may bring: see the description of `headers`")
        } else if CLAIMS.iter().any(|claim| lower.starts_with(claim)) {
            Some("this header is set by servers on the way")
        } else if seen.contains(&lower) {
            Some("this header is given twice")
        } else if value.len() > LONGEST_VALUE || value.chars().any(char::is_control) {
            Some("a header's value has no line breaks or other control characters, and at most 4096 bytes")
        } else {
            None
        };
        if let Some(problem) = problem {
            let place = name.replace('~', "~0").replace('/', "~1");
            problems.push(FieldError::new(format!("/headers/{place}"), problem));
        }
        seen.push(lower);
    }
}

fn is_name(name: &str) -> bool {
    (1..=LONGEST_NAME).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// The header as it is written; `None` for one that the check refuses.
pub(super) fn header(name: &str, value: &str) -> Option<HeaderValue> {
    let name = is_name(name).then(|| HeaderName::new_from_ascii(name.to_owned()).ok()).flatten()?;
    (!value.chars().any(char::is_control)).then(|| HeaderValue::new(name, value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(name: &str, value: &str) -> bool {
        let mut problems = Vec::new();
        check_headers(&BTreeMap::from([(name.to_owned(), value.to_owned())]), &mut problems);
        !problems.is_empty()
    }

    #[test]
    fn a_message_brings_no_header_that_routes_signs_or_describes_it() {
        for name in [
            "From",
            "Sender",
            "To",
            "Cc",
            "Bcc",
            "Reply-To",
            "Return-Path",
            "Received",
            "Subject",
            "Date",
            "Message-ID",
            "Content-Type",
            "Content-Transfer-Encoding",
            "MIME-Version",
            "DKIM-Signature",
            "Authentication-Results",
            "ARC-Seal",
            "X-Originating-IP",
            "X-Spam-Status",
            "X-",
            "",
            "X-A B",
            "X-A:",
            "X-A\r\nBcc",
            "X-\u{e9}",
        ] {
            assert!(refused(name, "x"), "{name:?}");
        }
        for name in ["X-Campaign", "x-order-id", "In-Reply-To", "List-Unsubscribe", "Auto-Submitted"] {
            assert!(!refused(name, "x"), "{name}");
        }
    }

    #[test]
    fn a_value_cannot_begin_another_header() {
        for value in ["a\r\nBcc: b@c.example", "a\nb", "a\rb", "a\0", "a\u{b}b", "a\u{85}b"] {
            assert!(refused("X-A", value), "{value:?}");
            assert!(header("X-A", value).is_none(), "{value:?}");
        }
        assert!(!refused("X-A", "caf\u{e9}"));
    }
}
