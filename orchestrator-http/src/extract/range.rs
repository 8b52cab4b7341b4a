//! Ranges (RFC 9110, 14): which part of a body a caller wants.

use std::ops::Range;

use http::HeaderMap;
use http::header::{IF_RANGE, RANGE};

/// What of a body is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// All of it. Also what several ranges, other units and crooked ranges get: a server may ignore them.
    Whole,
    /// These bytes, which it has.
    Part(Range<u64>),
    /// Bytes that it does not have.
    Nothing,
}

impl Wanted {
    /// What the headers want of a body of `size` bytes that is now tagged `etag`.
    #[must_use]
    pub fn of(headers: &HeaderMap, etag: &str, size: u64) -> Self {
        let once = |name| {
            let mut all = headers.get_all(name).iter();
            match (all.next(), all.next()) {
                (Some(value), None) => value.to_str().ok(),
                _ => None,
            }
        };
        // A part of another version would be spliced to what the caller has.
        if headers.contains_key(IF_RANGE) && once(IF_RANGE) != Some(etag) {
            return Self::Whole;
        }
        let Some((first, last)) = once(RANGE).and_then(parse) else { return Self::Whole };
        let range = match (first, last) {
            (Some(first), Some(last)) if first > last => return Self::Whole,
            (Some(first), last) => first..last.map_or(size, |last| last.saturating_add(1).min(size)),
            (None, Some(length)) => size.saturating_sub(length)..size,
            (None, None) => return Self::Whole,
        };
        if range.start < range.end { Self::Part(range) } else { Self::Nothing }
    }
}

/// `bytes=first-last`, `bytes=first-`, `bytes=-length`.
fn parse(text: &str) -> Option<(Option<u64>, Option<u64>)> {
    let (unit, range) = text.split_once('=')?;
    let (first, last) = range.trim().split_once('-')?;
    let number = |text: &str| -> Option<Option<u64>> {
        match text {
            "" => Some(None),
            // A number past every size is as good as any other past it.
            digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                Some(Some(digits.parse().unwrap_or(u64::MAX)))
            }
            _ => None,
        }
    };
    let range = (number(first)?, number(last)?);
    unit.trim().eq_ignore_ascii_case("bytes").then_some(range)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use http::HeaderValue;

    use super::*;

    fn wanted(range: &str, if_range: Option<&str>) -> Wanted {
        let mut headers = HeaderMap::new();
        headers.insert(RANGE, HeaderValue::from_str(range).unwrap());
        if let Some(tag) = if_range {
            headers.insert(IF_RANGE, HeaderValue::from_str(tag).unwrap());
        }
        Wanted::of(&headers, "\"a\"", 1_000)
    }

    #[test]
    fn a_range_is_read_as_the_rfc_has_it() {
        for (text, range) in [
            ("bytes=0-0", 0..1),
            ("bytes=0-499", 0..500),
            ("Bytes = 500-", 500..1_000),
            ("bytes=-1", 999..1_000),
            ("bytes=-5000", 0..1_000),
            ("bytes=999-5000", 999..1_000),
            ("bytes=5-99999999999999999999999", 5..1_000),
        ] {
            assert_eq!(wanted(text, None), Wanted::Part(range), "{text}");
        }
        for text in ["bytes=1000-", "bytes=99999999999999999999999-", "bytes=-0", "bytes=2000-3000"] {
            assert_eq!(wanted(text, None), Wanted::Nothing, "{text}");
        }
        let ignored = ["bytes=5-3", "bytes=-", "bytes=0-1,5-6", "items=0-1", "bytes=a-b", "bytes", "", "bytes=0x1-2"];
        for text in ignored {
            assert_eq!(wanted(text, None), Wanted::Whole, "{text}");
        }
    }

    #[test]
    fn a_part_is_of_the_version_that_the_caller_has() {
        assert_eq!(wanted("bytes=0-9", Some("\"a\"")), Wanted::Part(0..10));
        for other in ["\"b\"", "W/\"a\"", "Fri, 27 Nov 2026 14:00:00 GMT", "a"] {
            assert_eq!(wanted("bytes=0-9", Some(other)), Wanted::Whole, "{other}");
        }
        assert_eq!(Wanted::of(&HeaderMap::new(), "\"a\"", 10), Wanted::Whole);
    }

    #[test]
    fn nothing_can_be_had_of_an_empty_body() {
        let mut headers = HeaderMap::new();
        headers.insert(RANGE, HeaderValue::from_static("bytes=0-"));
        assert_eq!(Wanted::of(&headers, "\"a\"", 0), Wanted::Nothing);
    }
}
