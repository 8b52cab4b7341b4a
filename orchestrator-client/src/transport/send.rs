//! Sending: one try, and the tries together.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::AUTHORIZATION;
use http::{HeaderName, HeaderValue, StatusCode};
use orchestrator_types::TraceId;
use url::Url;

use super::call::{Call, Listener};
use super::reply::Reply;
use crate::error::{Error, TransportError};
use crate::retry::{Retry, asks_again, retry_after};
use crate::token::{Token, TokenError, TokenSource};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The connection pool and how it is used. A clone shares the pool.
#[derive(Clone)]
pub(crate) struct Transport(Arc<Settings>);

/// What a transport is made of.
pub(crate) struct Settings {
    pub(crate) http: reqwest::Client,
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
        let mut failures = 0;
        loop {
            let outcome = self.attempt(call, caller).await;
            failures += 1;
            if !call.repeatable || failures >= self.0.retry.max_tries {
                return outcome;
            }
            let told = match &outcome {
                Ok(reply) if asks_again(reply.status) => retry_after(&reply.headers),
                Err(Error::Transport(_)) => None,
                _ => return outcome,
            };
            tokio::time::sleep(self.0.retry.delay(failures, told, &mut fastrand::Rng::new())).await;
        }
    }

    /// Sends `call` once and gives the answer once its headers are there, its body unread.
    pub(crate) async fn open(&self, call: &Call, caller: Caller<'_>) -> Result<reqwest::Response, Error> {
        let time = call.time(self.0.timeout);
        let opening = async {
            let response = self.start(call, caller, None).await?;
            if response.status().is_success() {
                return Ok(response);
            }
            Err(match self.read(call, response).await?.into_result() {
                Err(problem) => problem,
                Ok(_) => Error::Invalid("an answer changed its status"),
            })
        };
        match tokio::time::timeout(time, opening).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Error::Transport(TransportError::silent(time))),
        }
    }

    async fn attempt(&self, call: &Call, caller: Caller<'_>) -> Result<Reply, Error> {
        let response = self.start(call, caller, Some(call.time(self.0.timeout))).await?;
        self.read(call, response).await
    }

    async fn start(
        &self,
        call: &Call,
        caller: Caller<'_>,
        timeout: Option<Duration>,
    ) -> Result<reqwest::Response, Error> {
        let base = match call.listener {
            Listener::Api => &self.0.api,
            Listener::Ops => &self.0.ops,
        };
        let mut request = reqwest::Request::new(call.method.clone(), call.address(base)?);
        *request.timeout_mut() = timeout;
        *request.headers_mut() = call.headers.clone();
        if !call.body.is_empty() {
            *request.body_mut() = Some(call.body.clone().into());
        }
        if let Some(trace) = caller.trace {
            let value = HeaderValue::try_from(trace.traceparent()).map_err(|_| Error::Invalid("not a trace id"))?;
            request.headers_mut().insert(TRACEPARENT, value);
        }
        let token = self.token(call, caller).await?;
        if let Some((_, token)) = &token {
            request.headers_mut().insert(AUTHORIZATION, token.authorization()?);
        }
        let response = self.0.http.execute(request).await?;
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

    async fn read(&self, call: &Call, mut response: reqwest::Response) -> Result<Reply, Error> {
        let limit = self.0.answer_bytes;
        let too_large = Error::TooLarge { limit };
        if response.content_length().is_some_and(|length| usize::try_from(length).map_or(true, |length| length > limit))
        {
            return Err(too_large);
        }
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await? {
            if chunk.len() > limit - body.len() {
                return Err(too_large);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Reply {
            status: response.status(),
            headers: std::mem::take(response.headers_mut()),
            body: Bytes::from(body),
            secret: call.secret_answer,
        })
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_tuple("Transport").field(&self.0.api.as_str()).finish()
    }
}
