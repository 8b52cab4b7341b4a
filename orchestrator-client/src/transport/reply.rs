//! An answer that was read whole, and what becomes of it.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use orchestrator_types::Problem;
use serde::de::DeserializeOwned;

use crate::answer::Answer;
use crate::error::{Error, ProblemAnswer};
use crate::retry::retry_after;

/// So much of a body that is no problem document is kept for the error, in characters.
const EXCERPT: usize = 512;

/// An answer that was read whole.
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(super) secret: bool,
}

impl Reply {
    /// The body as JSON.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_slice(&self.body)
            .map_err(|source| Error::Decode { what: short_name::<T>(), source: (!self.secret).then_some(source) })
    }

    /// The body as JSON, with what the headers tell.
    pub(crate) fn answer<T: DeserializeOwned>(&self) -> Result<Answer<T>, Error> {
        Ok(Answer::new(self.json()?, &self.headers))
    }

    /// The problem document, if it is one.
    pub(crate) fn problem(&self) -> Option<Problem> {
        let json = self.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).is_some_and(is_json);
        let problem = serde_json::from_slice::<Problem>(&self.body).ok().filter(|_| json)?;
        Some(Problem { status: self.status.as_u16(), ..problem })
    }

    /// The beginning of the body as text, without control characters.
    pub(crate) fn excerpt(&self) -> String {
        let text = String::from_utf8_lossy(&self.body);
        text.chars().map(|each| if each.is_control() { ' ' } else { each }).take(EXCERPT).collect()
    }

    /// Itself, or the error that it tells.
    pub(crate) fn into_result(self) -> Result<Self, Error> {
        if self.status.is_success() {
            return Ok(self);
        }
        let retry_after = retry_after(&self.headers);
        Err(match self.problem() {
            Some(problem) => Error::Problem(Box::new(ProblemAnswer { problem, retry_after })),
            None => {
                let excerpt = if self.secret { String::new() } else { self.excerpt() };
                Error::Status { status: self.status, excerpt, retry_after }
            }
        })
    }
}

fn is_json(content_type: &str) -> bool {
    let kind = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind == "application/problem+json" || kind == "application/json"
}

/// The last part of a type's path: what a reader knows it by.
fn short_name<T>() -> &'static str {
    let full = std::any::type_name::<T>();
    let outer = full.split('<').next().unwrap_or(full);
    outer.rsplit("::").next().unwrap_or(outer)
}
