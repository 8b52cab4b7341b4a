//! Headers that say how an answer came about.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use orchestrator_core::policy::RateLimitSnapshot;

/// Says that this is the answer of an earlier request with the same key.
pub(super) fn replayed(headers: &mut HeaderMap) {
    headers.insert(HeaderName::from_static("idempotency-replayed"), HeaderValue::from_static("true"));
}

/// Says how the connector's rate limit stands, as the IETF draft writes it.
pub(super) fn rate_limit(headers: &mut HeaderMap, limit: Option<&RateLimitSnapshot>) {
    let Some(limit) = limit else { return };
    let window = if limit.per_second > 0.0 { f64::from(limit.limit) / limit.per_second } else { 1.0 };
    // A window of a policy is seconds to minutes, far within the range.
    let policy = format!("\"connector\";q={};w={}", limit.limit, window.ceil().max(1.0) as u64);
    let stands = format!("\"connector\";r={};t={}", limit.remaining, whole_seconds(limit.reset));
    for (name, text) in [("ratelimit-policy", policy), ("ratelimit", stands)] {
        if let Ok(value) = HeaderValue::from_str(&text) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
}

fn whole_seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_limit_is_told_in_whole_seconds() {
        let mut headers = HeaderMap::new();
        let reset = Duration::from_millis(1_200);
        rate_limit(&mut headers, Some(&RateLimitSnapshot { limit: 100, remaining: 40, reset, per_second: 50.0 }));
        assert_eq!(headers["ratelimit-policy"], "\"connector\";q=100;w=2");
        assert_eq!(headers["ratelimit"], "\"connector\";r=40;t=2");
    }
}
