//! When a call is made again, and after how long.

use std::time::Duration;

use chrono::{DateTime, Utc};
use http::StatusCode;
use http::header::{HeaderMap, RETRY_AFTER};

/// Retries that the client makes by itself.
///
/// Only a call that reads (GET), or that carries an idempotency key, is made again; and only if no answer came, or the
/// answer was 429 or 503. Everything else is the caller's decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// Tries in all, the first included; 1 means no retry.
    pub max_tries: u32,
    /// The first wait where the server names none; it doubles with each further one.
    pub initial: Duration,
    /// No wait is longer, a `Retry-After` included.
    pub cap: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self { max_tries: 4, initial: Duration::from_millis(200), cap: Duration::from_secs(10) }
    }
}

impl Retry {
    /// No retries at all.
    #[must_use]
    pub const fn never() -> Self {
        Self { max_tries: 1, initial: Duration::ZERO, cap: Duration::ZERO }
    }

    /// How long to wait after the `failures`-th failure in a row (1 is the first).
    ///
    /// A `Retry-After` below the cap is honoured in full and spread a little beyond, never short of it, so that clients
    /// told the same time do not come back together.
    pub(crate) fn delay(&self, failures: u32, retry_after: Option<Duration>, random: &mut fastrand::Rng) -> Duration {
        match retry_after {
            Some(told) if told < self.cap => told.mul_f64(1.0 + random.f64() / 4.0).min(self.cap),
            Some(_) => self.cap.mul_f64(1.0 - random.f64() / 4.0),
            None => {
                let doubled =
                    self.initial.saturating_mul(1u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX));
                doubled.min(self.cap).mul_f64(random.f64())
            }
        }
    }
}

/// Whether an answer of this status asks to come again.
pub(crate) fn asks_again(status: StatusCode) -> bool {
    matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE)
}

/// `Retry-After`: seconds, or a date as some proxies write it.
#[allow(clippy::disallowed_methods, reason = "a date on the wire is one of the wall clock")]
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = DateTime::parse_from_rfc2822(text).ok()?;
    Some(date.signed_duration_since(Utc::now()).to_std().unwrap_or(Duration::ZERO))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const RETRY: Retry = Retry { max_tries: 9, initial: Duration::from_millis(100), cap: Duration::from_millis(5_000) };

    #[test]
    fn a_wait_is_never_longer_than_the_cap_nor_shorter_than_told() {
        let mut random = fastrand::Rng::with_seed(7);
        for failures in (0..100).chain([u32::MAX]) {
            assert!(RETRY.delay(failures, None, &mut random) <= RETRY.cap);
            assert!(RETRY.delay(failures, Some(Duration::MAX), &mut random) <= RETRY.cap);
            let told = RETRY.delay(failures, Some(Duration::from_secs(2)), &mut random);
            assert!(Duration::from_secs(2) <= told && told <= Duration::from_millis(2_500), "{told:?}");
        }
    }

    #[test]
    fn waits_grow_and_are_spread() {
        let mut random = fastrand::Rng::with_seed(7);
        let mut longest = |failures| (0..200).map(|_| RETRY.delay(failures, None, &mut random)).max().unwrap();
        let (first, fourth) = (longest(1), longest(4));
        assert!(first <= Duration::from_millis(100));
        assert!(fourth > Duration::from_millis(400) && fourth <= Duration::from_millis(800), "{fourth:?}");
    }

    #[test]
    fn a_retry_after_is_seconds_or_a_date() {
        let of = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, text.parse().unwrap());
            retry_after(&headers)
        };
        assert_eq!(of("3"), Some(Duration::from_secs(3)));
        assert_eq!(of("Wed, 21 Oct 2015 07:28:00 GMT"), Some(Duration::ZERO));
        assert!(of("Fri, 21 Oct 2101 07:28:00 GMT").unwrap() > Duration::from_secs(3_600));
        for text in ["", "-1", "soon", "1.5"] {
            assert_eq!(of(text), None, "{text}");
        }
    }
}
