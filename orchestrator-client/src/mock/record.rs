//! What was asked of the server.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{HeaderMap, Method};
use orchestrator_types::{JobId, Name, TraceId};
use serde_json::Value;

/// A request, as it came; but the token is left out.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct MockRequest {
    /// The method.
    pub method: Method,
    /// The path.
    pub path: String,
    /// The query, decoded.
    pub query: BTreeMap<String, String>,
    /// The headers, without `Authorization`.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl MockRequest {
    /// The body as JSON; `null` if it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The value of a header, if it is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// A call of an operation: an `/execute`, or an attempt of a job.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct MockCall {
    /// The connector's name.
    pub connector: Name,
    /// The operation.
    pub operation: String,
    /// The operation's input.
    pub input: Value,
    /// The job, if it is an attempt of one.
    pub job: Option<JobId>,
    /// 1 for the first.
    pub attempt: u32,
    /// The idempotency key that it came under.
    pub idempotency_key: Option<String>,
    /// As given with the job.
    pub metadata: BTreeMap<String, String>,
    /// The trace.
    pub trace_id: TraceId,
}
