//! Sending: one try, and the tries together.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::AUTHORIZATION;
use http::{Response, StatusCode};
use http_body::Body as _;
use http_body_util::BodyExt;
use orchestrator_types::TraceId;
use tracing::field::{Empty, display};
use tracing::{Instrument, Span};
use url::Url;

use super::call::{Call, Listener};
use super::reply::Reply;
use super::service::{Body, HttpService, Operation};
use crate::error::{Error, TransportError};
use crate::retry::{Retry, asks_again, retry_after};
use crate::token::{Token, TokenError, TokenSource};
use crate::trace::{TraceContext, TraceParent};

/// The connection pool and how it is used. A clone shares the pool.
#[derive(Clone)]
pub(crate) struct Transport(Arc<Settings>);

/// What a transport is made of.
pub(crate) struct Settings {
    pub(crate) http: HttpService,
    pub(crate) context: Option<Arc<dyn TraceContext>>,
    pub(crate) api: Url,
    pub(crate) ops: Url,
    pub(crate) timeout: Duration,
    pub(crate) silence: Duration,
    pub(crate) retry: Retry,
    pub(crate) answer_bytes: usize,
}

/// On whose behalf a call is sent.
#[derive(Clone, Copy)]
pub(crate) struct Caller<'a> {
    pub(crate) tokens: Option<&'a dyn TokenSource>,
    pub(crate) trace: Option<TraceId>,
}

impl Caller<'_> {
    /// Nobody: for calls that carry no token.
    pub(crate) const NOBODY: Self = Self { tokens: None, trace: None };
}

impl Transport {
    pub(crate) fn new(settings: Settings) -> Self {
        Self(Arc::new(settings))
    }

    pub(crate) fn retry(&self) -> &Retry {
        &self.0.retry
    }

    pub(crate) fn silence(&self) -> Duration {
        self.0.silence
    }

    pub(crate) fn address(&self) -> &Url {
        &self.0.api
    }

    /// Sends `call`, again where that is safe and helps, and gives the answer if it is a success.
    pub(crate) async fn send(&self, call: &Call, caller: Caller<'_>) -> Result<Reply, Error> {
        self.exchange(call, caller).await?.into_result()
    }

    /// The same, whatever the status of the answer.
    pub(crate) async fn exchange(&self, call: &Call, caller: Caller<'_>) -> Result<Reply, Error> {
        let span = span(call);
        let place = self.place(caller, &span);
        let exchange = async {
            let mut failures = 0;
            loop {
                let outcome = self.attempt(call, caller, &place).await;
                failures += 1;
                if !call.repeatable || failures >= self.0.retry.max_tries {
                    return (failures, outcome);
                }
                let told = match &outcome {
                    Ok(reply) if asks_again(reply.status) => retry_after(&reply.headers),
                    Err(Error::Transport(_)) => None,
                    _ => return (failures, outcome),
                };
                tokio::time::sleep(self.0.retry.delay(failures, told, &mut fastrand::Rng::new())).await;
            }
        };
        let (tries, outcome) = exchange.instrument(span.clone()).await;
        span.record("tries", tries);
        match &outcome {
            Ok(reply) => {
                span.record("status", reply.status.as_u16());
                if let Some(problem) = reply.problem() {
                    span.record("code", display(problem.code));
                }
            }
            Err(error) => {
                span.record("error", display(error));
            }
        }
        outcome
    }

    /// Sends `call` once and gives the answer once its headers are there, its body unread.
    pub(crate) async fn open(&self, call: &Call, caller: Caller<'_>) -> Result<Response<Body>, Error> {
        let span = span(call);
        let place = self.place(caller, &span);
        let opening = async {
            let response = self.start(call, caller, &place).await?;
            span.record("status", response.status().as_u16());
            if response.status().is_success() {
                return Ok(response);
            }
            Err(match self.read(call, response).await?.into_result() {
                Err(problem) => problem,
                Ok(_) => Error::Invalid("an answer changed its status"),
            })
        };
        within(call.time(self.0.timeout), opening.instrument(span.clone())).await
    }

    /// Where in a trace a call is: as the caller says, else as the program's tracer does, else in a trace of its own.
    fn place(&self, caller: Caller<'_>, span: &Span) -> Place {
        let place = match caller.trace {
            Some(trace) => Place::Ours(trace),
            None => {
                let current = self.0.context.as_ref().and_then(|context| span.in_scope(|| context.current()));
                current.map_or_else(|| Place::Ours(TraceId::new()), Place::Theirs)
            }
        };
        span.record("trace_id", display(place.trace_id()));
        place
    }

    async fn attempt(&self, call: &Call, caller: Caller<'_>, place: &Place) -> Result<Reply, Error> {
        let attempt = async { self.read(call, self.start(call, caller, place).await?).await };
        within(call.time(self.0.timeout), attempt).await
    }

    async fn start(&self, call: &Call, caller: Caller<'_>, place: &Place) -> Result<Response<Body>, Error> {
        let base = match call.listener {
            Listener::Api => &self.0.api,
            Listener::Ops => &self.0.ops,
        };
        let address = call.address(base)?;
        let mut request = http::Request::new(Body::from(call.body.clone()));
        *request.method_mut() = call.method.clone();
        *request.uri_mut() =
            address.as_str().parse().map_err(|_| Error::Invalid("the address is too long or not well formed"))?;
        *request.headers_mut() = call.headers.clone();
        request.extensions_mut().insert(Operation(call.operation));
        if let Some(parent) = place.parent() {
            parent.write(request.headers_mut());
        }
        let token = self.token(call, caller).await?;
        if let Some((_, token)) = &token {
            request.headers_mut().insert(AUTHORIZATION, token.authorization()?);
        }
        let response = self.0.http.send(request).await?;
        if let Some((tokens, token)) = token
            && response.status() == StatusCode::UNAUTHORIZED
        {
            tokens.rejected(&token);
        }
        Ok(response)
    }

    async fn token<'a>(
        &self,
        call: &Call,
        caller: Caller<'a>,
    ) -> Result<Option<(&'a dyn TokenSource, Token)>, TokenError> {
        if !call.with_token {
            return Ok(None);
        }
        let tokens = caller.tokens.ok_or(TokenError::NoSource)?;
        Ok(Some((tokens, tokens.token().await?)))
    }

    async fn read(&self, call: &Call, response: Response<Body>) -> Result<Reply, Error> {
        let limit = self.0.answer_bytes;
        let too_large = Error::TooLarge { limit };
        let (head, mut stream) = response.into_parts();
        if usize::try_from(stream.size_hint().lower()).map_or(true, |length| length > limit) {
            return Err(too_large);
        }
        let mut body = BytesMut::new();
        while let Some(frame) = stream.frame().await {
            let Ok(chunk) = frame?.into_data() else { continue };
            if chunk.len() > limit - body.len() {
                return Err(too_large);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Reply { status: head.status, headers: head.headers, body: Bytes::from(body), secret: call.secret_answer })
    }
}

/// Where in a trace a call is.
enum Place {
    /// In a trace that the program's own tracer does not follow: each try is a step of its own.
    Ours(TraceId),
    Theirs(TraceParent),
}

impl Place {
    const fn trace_id(&self) -> TraceId {
        match self {
            Self::Ours(trace) => *trace,
            Self::Theirs(parent) => parent.trace_id(),
        }
    }

    fn parent(&self) -> Option<TraceParent> {
        match self {
            Self::Ours(trace) => TraceParent::within(*trace),
            Self::Theirs(parent) => Some(parent.clone()),
        }
    }
}

/// The span of a call. Neither addresses nor bodies are in it.
fn span(call: &Call) -> Span {
    tracing::info_span!(
        "orchestrator_call",
        operation = call.operation,
        trace_id = Empty,
        status = Empty,
        code = Empty,
        tries = Empty,
        error = Empty,
    )
}

async fn within<T>(time: Duration, outcome: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    match tokio::time::timeout(time, outcome).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Error::Transport(TransportError::silent(time))),
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_tuple("Transport").field(&self.0.api.as_str()).finish()
    }
}
