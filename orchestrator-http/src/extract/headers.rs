//! Conditional requests and idempotency keys.

use axum::extract::FromRequestParts;
use http::header::{HeaderName, IF_MATCH, IF_NONE_MATCH};
use http::request::Parts;
use http::{HeaderMap, HeaderValue};
use orchestrator_types::IdempotencyKey;

use crate::problem::Refusal;

/// The `Idempotency-Key` of a request, where it has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyHeader(pub Option<IdempotencyKey>);

impl<S: Send + Sync> FromRequestParts<S> for IdempotencyHeader {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Refusal> {
        let wrong = || Refusal::invalid("", "an `Idempotency-Key` is 1 to 255 visible ASCII characters, given once");
        let Some(text) = once(&parts.headers, &HeaderName::from_static("idempotency-key")).map_err(|()| wrong())?
        else {
            return Ok(Self(None));
        };
        text.parse().map(|key| Self(Some(key))).map_err(|_| wrong())
    }
}

/// The version that the caller's `If-Match` names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IfMatch {
    /// No header: whatever is there.
    Absent,
    /// `*`: anything, as long as it is there.
    Any,
    /// A version.
    Version(u64),
}

impl IfMatch {
    /// The version, if one is named.
    #[must_use]
    pub const fn version(self) -> Option<u64> {
        match self {
            Self::Version(version) => Some(version),
            Self::Absent | Self::Any => None,
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Refusal> {
        let wrong = || Refusal::invalid("", "`If-Match` takes one `ETag` as this service gave it, or `*`");
        match once(&parts.headers, &IF_MATCH).map_err(|()| wrong())? {
            None => Ok(Self::Absent),
            Some("*") => Ok(Self::Any),
            // A tag that was never ours is of no version: it matches nothing.
            Some(tag) => tag_of(tag).map(Self::Version).ok_or_else(Refusal::stale),
        }
    }
}

/// Whether the caller's `If-None-Match` names this version: then 304 is the whole answer.
#[must_use]
pub fn none_match(headers: &HeaderMap, version: u64) -> bool {
    headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok()).any(|tags| {
        tags.split(',').map(str::trim).any(|tag| tag == "*" || tag_of(tag.trim_start_matches("W/")) == Some(version))
    })
}

/// The `ETag` of a version.
#[must_use]
pub fn etag(version: u64) -> HeaderValue {
    HeaderValue::from_str(&format!("\"{version}\"")).unwrap_or_else(|_| HeaderValue::from_static("\"\""))
}

fn tag_of(tag: &str) -> Option<u64> {
    let digits = tag.strip_prefix('"')?.strip_suffix('"')?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}

/// The value of a header that must not be given twice.
fn once<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, ()> {
    let mut all = headers.get_all(name).iter();
    match (all.next(), all.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(drop),
        _ => Err(()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn parts(name: &str, values: &[&str]) -> Parts {
        let mut request = http::Request::get("/").body(()).unwrap();
        for value in values {
            let name: HeaderName = name.parse().unwrap();
            request.headers_mut().append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        request.into_parts().0
    }

    #[tokio::test]
    async fn an_idempotency_key_is_given_once_and_well() {
        let read = async |values: &[&str]| {
            IdempotencyHeader::from_request_parts(&mut parts("idempotency-key", values), &()).await
        };
        assert_eq!(read(&[]).await.unwrap().0, None);
        assert_eq!(read(&["a-1"]).await.unwrap().0.unwrap().as_str(), "a-1");
        for wrong in [&["a", "b"][..], &[""], &["a b"], &[&"x".repeat(256)], &["é"]] {
            assert_eq!(read(wrong).await.unwrap_err().status().as_u16(), 400, "{wrong:?}");
        }
    }

    #[tokio::test]
    async fn a_tag_matches_its_version_only() {
        let read = async |values: &[&str]| IfMatch::from_request_parts(&mut parts("if-match", values), &()).await;
        assert_eq!(read(&[]).await.unwrap(), IfMatch::Absent);
        assert_eq!(read(&["*"]).await.unwrap(), IfMatch::Any);
        assert_eq!(read(&[etag(7).to_str().unwrap()]).await.unwrap(), IfMatch::Version(7));
        for (wrong, status) in [(&["\"1\"", "\"2\""][..], 400), (&["7"], 412), (&["\"x\""], 412), (&["\"\""], 412)] {
            assert_eq!(read(wrong).await.unwrap_err().status().as_u16(), status, "{wrong:?}");
        }
        let given = |tag: &str| none_match(&parts("if-none-match", &[tag]).headers, 7);
        assert!(given("\"7\"") && given("\"6\", W/\"7\"") && given("*"));
        assert!(!given("\"6\"") && !given("7") && !given(""));
    }
}
