//! When a webhook was signed: not long ago, and not in the future.

use std::time::Duration;

use orchestrator_types::Timestamp;

use super::SignatureError;

/// How far the time of signing may be from ours, either way.
pub const TOLERANCE: Duration = Duration::from_secs(300);

const DIGITS_MAX: usize = 12;

/// Checks the seconds since the epoch that a sender signed. Its text must be the number's only one.
pub(super) fn check(seconds: &str, now: Timestamp) -> Result<(), SignatureError> {
    check_within(seconds, now, TOLERANCE)
}

/// The same, for a scheme that is stricter.
pub(super) fn check_within(seconds: &str, now: Timestamp, tolerance: Duration) -> Result<(), SignatureError> {
    let plain = (1..=DIGITS_MAX).contains(&seconds.len())
        && seconds.bytes().all(|byte| byte.is_ascii_digit())
        && (seconds == "0" || !seconds.starts_with('0'));
    let signed: i64 = plain.then(|| seconds.parse().ok()).flatten().ok_or(SignatureError::Malformed)?;
    match now.unix_seconds().abs_diff(signed) <= tolerance.as_secs() {
        true => Ok(()),
        false if signed < now.unix_seconds() => Err(SignatureError::Stale),
        false => Err(SignatureError::Early),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use super::*;

    #[test]
    fn inv_42_the_tolerance_holds_both_ways() {
        let now = Timestamp::from_unix_ms(1_700_000_000_000);
        for (seconds, expected) in [
            ("1700000000", Ok(())),
            ("1699999700", Ok(())),
            ("1700000300", Ok(())),
            ("1699999699", Err(SignatureError::Stale)),
            ("1700000301", Err(SignatureError::Early)),
            ("0", Err(SignatureError::Stale)),
            ("999999999999", Err(SignatureError::Early)),
        ] {
            assert_eq!(check(seconds, now), expected, "{seconds}");
        }
    }

    #[test]
    fn inv_42_a_time_of_another_form_is_refused() {
        let now = Timestamp::from_unix_ms(1_700_000_000_000);
        for seconds in [
            "",
            "-1",
            "+1700000000",
            "01700000000",
            " 1700000000",
            "1700000000 ",
            "1700000000.0",
            "1.7e9",
            "0x6553f100",
            "١",
            &"1".repeat(40),
            &"9".repeat(13),
        ] {
            assert_eq!(check(seconds, now), Err(SignatureError::Malformed), "{seconds:?}");
        }
        for extreme in [i64::MIN, -1, 0, i64::MAX] {
            let _ = check("1700000000", Timestamp::from_unix_ms(extreme));
        }
    }
}
