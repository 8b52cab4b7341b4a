//! Spans of time as they are typed: `30s`, `15m`, `1h`, or bare seconds.

use std::time::Duration;

/// Reads a span of time.
pub(super) fn span(text: &str) -> Result<Duration, String> {
    let wrong = || "a number with ms, s, m, h or d is expected, as 30s or 15m".to_owned();
    let unit = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let seconds = |factor: u64| number.checked_mul(factor).map(Duration::from_secs).ok_or_else(wrong);
    match unit {
        "ms" => Ok(Duration::from_millis(number)),
        "" | "s" => seconds(1),
        "m" => seconds(60),
        "h" => seconds(3_600),
        "d" => seconds(86_400),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_with_their_units() {
        assert_eq!(span("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(span("3600"), Ok(Duration::from_secs(3_600)));
        assert_eq!(span("1h"), span("60m"));
        for text in ["", "s", "-1s", "1 s", "1w", "1.5h", "99999999999999999999", "9999999999999999999d"] {
            assert!(span(text).is_err(), "{text}");
        }
    }
}
