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

/// The caller's `If-Match`, as the engine compares it; absent means whatever is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IfMatch(pub Option<String>);

impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Refusal> {
        let tag = once(&parts.headers, &IF_MATCH)
            .map_err(|()| Refusal::invalid("", "`If-Match` takes the `ETag` that this service gave, or `*`"))?;
        Ok(Self(tag.map(str::to_owned)))
    }
}

/// Whether the caller's `If-None-Match` names this `ETag`: then 304 is the whole answer.
#[must_use]
pub fn none_match(headers: &HeaderMap, etag: &str) -> bool {
    let named = |tag: &str| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag;
    let tags = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    tags.flat_map(|tags| tags.split(',')).any(|tag| named(tag.trim()))
}

/// A version's `ETag`, quotes included, as a header.
#[must_use]
pub fn etag(tag: &str) -> HeaderValue {
    HeaderValue::from_str(tag).unwrap_or_else(|_| HeaderValue::from_static("\"\""))
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
        assert_eq!(read(&[]).await.unwrap(), IfMatch(None));
        assert_eq!(read(&["\"7-1\""]).await.unwrap(), IfMatch(Some("\"7-1\"".to_owned())));
        assert_eq!(read(&["\"1\"", "\"2\""]).await.unwrap_err().status().as_u16(), 400);
        let given = |tag: &str| none_match(&parts("if-none-match", &[tag]).headers, "\"7-1\"");
        assert!(given("\"7-1\"") && given("\"6-1\", W/\"7-1\"") && given("*"));
        assert!(!given("\"6-1\"") && !given("7-1") && !given(""));
    }
}
