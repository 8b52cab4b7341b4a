//! The client itself: what it holds, and the ways that a call goes out.

use std::fmt;
use std::sync::Arc;

use http::StatusCode;
use http::header::IF_NONE_MATCH;
use orchestrator_types::TraceId;
use serde::de::DeserializeOwned;

use crate::answer::{Answer, ETag};
use crate::builder::ClientBuilder;
use crate::error::Error;
use crate::token::TokenSource;
use crate::transport::{Call, Caller, Reply, Transport};

/// A client of one server. A clone shares connections and tokens, and is cheap.
///
/// Every method may be dropped while it waits: nothing is left behind but, where the call writes, the question whether the
/// server acted on it. With an idempotency key of your own you may ask again.
#[derive(Clone)]
pub struct Client {
    transport: Transport,
    tokens: Option<Arc<dyn TokenSource>>,
    trace: Option<TraceId>,
}

impl Client {
    /// A client of the server at `url` that calls with `token`; everything else as [`ClientBuilder`] has it.
    ///
    /// # Errors
    /// As [`ClientBuilder::build`].
    pub fn new(url: &str, token: impl Into<String>) -> Result<Self, Error> {
        Self::builder(url).token(token).build()
    }

    /// Options for a client of the server at `url`.
    pub fn builder(url: &str) -> ClientBuilder {
        ClientBuilder::new(url)
    }

    /// The same client, whose calls continue `trace`: each carries a `traceparent` of it.
    #[must_use]
    pub fn with_trace(&self, trace: TraceId) -> Self {
        Self { trace: Some(trace), ..self.clone() }
    }

    pub(crate) fn over(transport: Transport, tokens: Option<Arc<dyn TokenSource>>) -> Self {
        Self { transport, tokens, trace: None }
    }

    pub(crate) fn transport(&self) -> &Transport {
        &self.transport
    }

    pub(crate) fn caller(&self) -> Caller<'_> {
        Caller { tokens: self.tokens.as_deref(), trace: self.trace }
    }

    /// The reply to `call`, if it is a success.
    pub(crate) async fn reply(&self, call: &Call) -> Result<Reply, Error> {
        self.transport.send(call, self.caller()).await
    }

    /// The body of the answer to `call`.
    pub(crate) async fn body<T: DeserializeOwned>(&self, call: &Call) -> Result<T, Error> {
        self.reply(call).await?.json()
    }

    /// The answer to `call`, with what its headers tell.
    pub(crate) async fn answer<T: DeserializeOwned>(&self, call: &Call) -> Result<Answer<T>, Error> {
        self.reply(call).await?.answer()
    }

    /// The answer to `call`, unless it is still what `etag` came with (304).
    pub(crate) async fn changed<T: DeserializeOwned>(
        &self,
        call: Call,
        etag: &ETag,
    ) -> Result<Option<Answer<T>>, Error> {
        let call = call.header(IF_NONE_MATCH, etag.as_str());
        let reply = self.transport.exchange(&call, self.caller()).await?;
        if reply.status == StatusCode::NOT_MODIFIED {
            return Ok(None);
        }
        reply.into_result()?.answer().map(Some)
    }

    /// Sends `call`; what the server answers to a success does not matter.
    pub(crate) async fn done(&self, call: &Call) -> Result<(), Error> {
        self.reply(call).await.map(|_| ())
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Client")
            .field("url", &self.transport.address().as_str())
            .field("trace", &self.trace)
            .finish_non_exhaustive()
    }
}
