//! How long an upstream asks to be left alone.

use std::time::Duration;

use chrono::{DateTime, Utc};
use http::HeaderMap;
use http::header::RETRY_AFTER;

/// Nobody is left alone for longer, whatever is asked; policies clamp it further.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);

/// The wait that a `Retry-After` header asks for, in seconds or until an HTTP date; at most a week. `None` if there is
/// none, or if it is negative, past or no such value.
#[must_use]
#[allow(clippy::disallowed_methods, reason = "a date on the wire is one of the wall clock")]
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    wait_at(headers, Utc::now())
}

fn wait_at(headers: &HeaderMap, now: DateTime<Utc>) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than fit a number still mean "long".
        return Some(text.parse().map_or(LONGEST, Duration::from_secs).min(LONGEST));
    }
    let until = DateTime::parse_from_rfc2822(text).ok()?;
    let wait = until.with_timezone(&Utc).signed_duration_since(now).to_std().ok()?;
    Some(wait.min(LONGEST))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn wait(text: &str) -> Option<Duration> {
        let now = DateTime::parse_from_rfc3339("2026-11-24T08:49:37Z").unwrap().with_timezone(&Utc);
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, text.parse().unwrap());
        wait_at(&headers, now)
    }

    #[test]
    fn seconds_and_dates_are_understood() {
        assert_eq!(wait("0"), Some(Duration::ZERO));
        assert_eq!(wait(" 120 "), Some(Duration::from_secs(120)));
        assert_eq!(wait("Tue, 24 Nov 2026 08:50:37 GMT"), Some(Duration::from_secs(60)));
        assert_eq!(wait_at(&HeaderMap::new(), DateTime::UNIX_EPOCH), None);
    }

    #[test]
    fn what_is_negative_past_or_garbage_is_ignored() {
        for text in
            ["", "-1", "1.5", "soon", "Tue, 24 Nov 2026 08:48:37 GMT", "Mon, 32 Nov 2026 08:50:37 GMT", "1e3", "+5"]
        {
            assert_eq!(wait(text), None, "{text}");
        }
    }

    #[test]
    fn no_wait_is_longer_than_a_week() {
        for text in ["9999999", "18446744073709551615", "99999999999999999999999", "Tue, 24 Nov 2099 08:50:37 GMT"] {
            assert_eq!(wait(text), Some(LONGEST), "{text}");
        }
    }
}
