//! A call that is not sent yet. It holds its body as bytes, so that each try sends the same.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde::Serialize;
use url::Url;

use crate::error::Error;

/// The header that makes a write repeatable.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Which of the server's listeners a call is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Listener {
    Api,
    Ops,
}

/// A call that is not sent yet.
#[derive(Clone)]
pub(crate) struct Call {
    pub(super) operation: &'static str,
    pub(super) method: Method,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) listener: Listener,
    pub(super) with_token: bool,
    pub(super) repeatable: bool,
    pub(super) secret_answer: bool,
    pub(super) patience: Duration,
    pub(super) at_least: Duration,
    path: Vec<String>,
    query: Vec<(&'static str, String)>,
    /// What made the call impossible while it was put together; told when it is sent.
    flaw: Option<Flaw>,
}

#[derive(Clone)]
enum Flaw {
    Encode(String),
    Invalid(&'static str),
}

impl Call {
    fn new<S: Into<String>>(operation: &'static str, method: Method, path: impl IntoIterator<Item = S>) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        Self {
            operation,
            repeatable: method == Method::GET,
            method,
            headers,
            body: Bytes::new(),
            listener: Listener::Api,
            with_token: true,
            secret_answer: false,
            patience: Duration::ZERO,
            at_least: Duration::ZERO,
            path: path.into_iter().map(Into::into).collect(),
            query: Vec::new(),
            flaw: None,
        }
    }

    pub(crate) fn get<S: Into<String>>(operation: &'static str, path: impl IntoIterator<Item = S>) -> Self {
        Self::new(operation, Method::GET, path)
    }

    pub(crate) fn post<S: Into<String>>(operation: &'static str, path: impl IntoIterator<Item = S>) -> Self {
        Self::new(operation, Method::POST, path)
    }

    pub(crate) fn put<S: Into<String>>(operation: &'static str, path: impl IntoIterator<Item = S>) -> Self {
        Self::new(operation, Method::PUT, path)
    }

    pub(crate) fn delete<S: Into<String>>(operation: &'static str, path: impl IntoIterator<Item = S>) -> Self {
        Self::new(operation, Method::DELETE, path)
    }

    pub(crate) fn query(mut self, name: &'static str, value: Option<impl ToString>) -> Self {
        if let Some(value) = value {
            self.query.push((name, value.to_string()));
        }
        self
    }

    pub(crate) fn header(mut self, name: HeaderName, value: &str) -> Self {
        match HeaderValue::from_str(value) {
            Ok(value) => {
                self.headers.insert(name, value);
                self
            }
            Err(_) => self.flawed(Flaw::Invalid("a header's value has characters that no header can carry")),
        }
    }

    /// These headers and no others.
    pub(crate) fn headers(mut self, headers: HeaderMap) -> Self {
        self.headers = headers;
        self
    }

    pub(crate) fn json(self, body: &impl Serialize) -> Self {
        match serde_json::to_vec(body) {
            Ok(body) => self.header(CONTENT_TYPE, "application/json").raw(Bytes::from(body)),
            Err(problem) => self.flawed(Flaw::Encode(problem.to_string())),
        }
    }

    pub(crate) fn form(self, body: &impl Serialize) -> Self {
        let encoded = serde_json::to_value(body);
        let Ok(serde_json::Value::Object(fields)) = encoded else {
            return self.flawed(Flaw::Invalid("a form has named fields"));
        };
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        for (name, value) in &fields {
            form.append_pair(name, value.as_str().unwrap_or_default());
        }
        let body = Bytes::from(form.finish());
        self.header(CONTENT_TYPE, "application/x-www-form-urlencoded").raw(body)
    }

    pub(crate) fn raw(mut self, body: Bytes) -> Self {
        self.body = body;
        self
    }

    /// Carries an idempotency key, and may therefore be repeated.
    pub(crate) fn keyed(self, key: &str) -> Self {
        self.header(IDEMPOTENCY_KEY, key).repeatable()
    }

    pub(crate) fn repeatable(mut self) -> Self {
        self.repeatable = true;
        self
    }

    /// Is sent once, whatever comes.
    pub(crate) fn once(mut self) -> Self {
        self.repeatable = false;
        self
    }

    /// Carries no token.
    pub(crate) fn anonymous(mut self) -> Self {
        self.with_token = false;
        self
    }

    pub(crate) fn on(mut self, listener: Listener) -> Self {
        self.listener = listener;
        self
    }

    /// The answer holds a secret: nothing of it goes into an error.
    pub(crate) fn with_secret_answer(mut self) -> Self {
        self.secret_answer = true;
        self
    }

    /// The server may hold the answer back for so long, on top of the usual time.
    pub(crate) fn held_back(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// The answer may take so long by itself.
    pub(crate) fn taking(mut self, at_least: Duration) -> Self {
        self.at_least = at_least;
        self
    }

    /// How long one try may take.
    pub(super) fn time(&self, usual: Duration) -> Duration {
        usual.max(self.at_least).saturating_add(self.patience)
    }

    /// The address under `base`, or why there is none.
    pub(super) fn address(&self, base: &Url) -> Result<Url, Error> {
        match &self.flaw {
            Some(Flaw::Invalid(why)) => return Err(Error::Invalid(why)),
            Some(Flaw::Encode(why)) => return Err(Error::Encode(serde::ser::Error::custom(why))),
            None => {}
        }
        // Such a segment would silently address another thing.
        if self.path.iter().any(|segment| matches!(segment.as_str(), "" | "." | "..")) {
            return Err(Error::Invalid("a part of the path is empty, `.` or `..`"));
        }
        let mut address = base.clone();
        address
            .path_segments_mut()
            .map_err(|()| Error::Invalid("the server's address has no path"))?
            .pop_if_empty()
            .extend(&self.path);
        if !self.query.is_empty() {
            address.query_pairs_mut().extend_pairs(&self.query);
        }
        Ok(address)
    }

    fn flawed(mut self, flaw: Flaw) -> Self {
        self.flaw.get_or_insert(flaw);
        self
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn what_is_put_into_a_path_stays_one_part_of_it() {
        let base = Url::parse("https://host.example/under/").unwrap();
        let call = Call::get("test", ["workspaces", "a b/../c?d#e%2f"])
            .query("after", Some("x&y=z"))
            .query("limit", None::<u32>);
        assert_eq!(
            call.address(&base).unwrap().as_str(),
            "https://host.example/under/workspaces/a%20b%2F..%2Fc%3Fd%23e%252f?after=x%26y%3Dz"
        );
        for segment in ["", ".", ".."] {
            assert!(Call::get("test", ["workspaces", segment]).address(&base).is_err(), "{segment:?}");
        }
    }
}
