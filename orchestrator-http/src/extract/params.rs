//! Query parameters: those that are known, once each, and nothing else.

use axum::extract::{FromRequestParts, Query};
use http::request::Parts;
use serde::de::{DeserializeOwned, Error};
use serde::{Deserialize, Deserializer};

use crate::problem::Refusal;

/// The query of a request. Derive `Deserialize` for `T` with `deny_unknown_fields`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Params<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Refusal> {
        let Query(params) = Query::<T>::try_from_uri(&parts.uri).map_err(|rejection| {
            let said = std::error::Error::source(&rejection).map(ToString::to_string).unwrap_or_default();
            let detail: String = said.chars().take(300).collect();
            Refusal::invalid("", format!("a query parameter is not valid: {detail}"))
        })?;
        Ok(Self(params))
    }
}

/// How many items a page may have: 1 to 500.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit(usize);

impl Limit {
    const MAX: usize = 500;

    /// The number.
    #[must_use]
    pub const fn get(self) -> usize {
        self.0
    }
}

impl Default for Limit {
    fn default() -> Self {
        Self(50)
    }
}

impl<'de> Deserialize<'de> for Limit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match usize::deserialize(deserializer)? {
            limit @ 1..=Self::MAX => Ok(Self(limit)),
            _ => Err(D::Error::custom("a limit is 1 to 500")),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct Page {
        limit: Limit,
        cursor: Option<String>,
    }

    async fn read(query: &str) -> Result<Page, Refusal> {
        let request = http::Request::get(format!("/jobs?{query}")).body(()).unwrap();
        let Params(page) = Params::from_request_parts(&mut request.into_parts().0, &()).await?;
        Ok(page)
    }

    #[tokio::test]
    async fn a_list_has_fifty_items_if_nothing_else_is_said_and_five_hundred_at_most() {
        assert_eq!(read("").await.unwrap().limit.get(), 50);
        assert_eq!(read("limit=500&cursor=a").await.unwrap(), Page { limit: Limit(500), cursor: Some("a".to_owned()) });
        for query in
            ["limit=0", "limit=501", "limit=-1", "limit=x", "limit=", "limt=5", "limit=5&limit=6", "limit=1e400"]
        {
            let refusal = read(query).await.unwrap_err();
            assert_eq!((refusal.status().as_u16(), refusal.code()), (400, "invalid_request"), "{query}");
        }
    }
}
