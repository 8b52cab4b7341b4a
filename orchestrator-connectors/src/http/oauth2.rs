//! Access tokens by OAuth 2.0 client credentials (RFC 6749, 4.4): kept, refreshed ahead of their end, one request at a time.
//!
//! **The one rule:** a token lives in memory only, under the client secret that it was got with, and is never shown.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use data_encoding::BASE64;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method};
use orchestrator_core::connector::{CallError, CallErrorKind, Sent};
use orchestrator_core::secrets::Secret;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::Instant;
use url::{Url, form_urlencoded};

use crate::egress::{BodyLimit, EgressAnswer, EgressClient, EgressLimits, retry_after};

/// How long a token is used whose end is not told.
const DEFAULT_LIFE: Duration = Duration::from_secs(300);
/// No token is used for longer, whatever is told.
const LONGEST_LIFE: Duration = Duration::from_secs(24 * 60 * 60);
/// A token is refreshed when a fifth of its life is left, and at most this long before its end.
const AHEAD: Duration = Duration::from_secs(60);
/// After a refresh that failed, so long is waited before another while the old token still serves.
const AGAIN: Duration = Duration::from_secs(5);
/// A larger answer is no token.
const ANSWER_BYTES: usize = 64 << 10;

/// Where tokens come from, and what is asked for.
#[derive(Debug, Clone)]
pub(super) struct TokenRequest {
    pub(super) url: Url,
    pub(super) client_id: String,
    pub(super) scope: Option<String>,
    pub(super) audience: Option<String>,
    /// Whether the client's id and secret go into the form and not into a header.
    pub(super) in_form: bool,
}

/// A token, and until when it is good.
pub(super) struct Token {
    value: Secret,
    /// The client secret that it was got with: another one gets another token.
    by: Secret,
    refresh_at: Instant,
    expires_at: Instant,
}

impl Token {
    pub(super) fn value(&self) -> &Secret {
        &self.value
    }
}

/// The tokens of one connector.
pub(super) struct Tokens {
    request: TokenRequest,
    current: Mutex<Option<Arc<Token>>>,
    /// Held while a token is asked for; keeps how the last time failed.
    turn: tokio::sync::Mutex<Option<(Instant, CallError)>>,
}

impl Tokens {
    pub(super) fn new(request: TokenRequest) -> Self {
        Self { request, current: Mutex::default(), turn: tokio::sync::Mutex::default() }
    }

    /// A token that is good now. `refused` is one that the API did not take: it is not given again.
    ///
    /// Dropping the future leaves the next caller to ask.
    ///
    /// # Errors
    /// There is none, and none could be got. Nothing was sent to the API.
    pub(super) async fn get(
        &self,
        client: &EgressClient,
        secret: &Secret,
        refused: Option<&Arc<Token>>,
    ) -> Result<Arc<Token>, CallError> {
        let asked = Instant::now();
        if let Some(token) = self.good(secret, refused) {
            if asked < token.refresh_at {
                return Ok(token);
            }
            // One caller refreshes ahead; the others go on with what there is.
            let Ok(mut turn) = self.turn.try_lock() else { return Ok(token) };
            if turn.as_ref().is_some_and(|(failed, _)| asked < *failed + AGAIN) {
                return Ok(token);
            }
            return Ok(self.refresh(&mut turn, client, secret).await.unwrap_or(token));
        }
        let mut turn = self.turn.lock().await;
        if let Some(token) = self.good(secret, refused) {
            return Ok(token);
        }
        match &*turn {
            // Who waited while it failed was asked for too.
            Some((failed, error)) if *failed >= asked => Err(error.clone()),
            _ => self.refresh(&mut turn, client, secret).await,
        }
    }

    fn good(&self, secret: &Secret, refused: Option<&Arc<Token>>) -> Option<Arc<Token>> {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        let taken = refused.is_none_or(|refused| !Arc::ptr_eq(refused, &current));
        let good = taken && Instant::now() < current.expires_at && current.by.expose() == secret.expose();
        good.then_some(current)
    }

    async fn refresh(
        &self,
        turn: &mut Option<(Instant, CallError)>,
        client: &EgressClient,
        secret: &Secret,
    ) -> Result<Arc<Token>, CallError> {
        match self.ask(client, secret).await {
            Ok(token) => {
                let token = Arc::new(token);
                *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&token));
                *turn = None;
                Ok(token)
            }
            Err(failed) => {
                *turn = Some((Instant::now(), failed.clone()));
                Err(failed)
            }
        }
    }

    async fn ask(&self, client: &EgressClient, secret: &Secret) -> Result<Token, CallError> {
        let (headers, form) = self.message(secret)?;
        let limits =
            EgressLimits { success: BodyLimit::Whole(ANSWER_BYTES), other: BodyLimit::Beginning(ANSWER_BYTES) };
        let answer = client.send(Method::POST, self.request.url.clone(), headers, form, limits).await;
        let answer = answer.map_err(|mut failed| {
            // The API itself has seen nothing, whatever became of the token's request.
            failed.sent = Sent::No;
            failed.detail = format!("no access token: {}", failed.detail);
            failed
        })?;
        read(&answer, secret)
    }

    fn message(&self, secret: &Secret) -> Result<(HeaderMap, Bytes), CallError> {
        let request = &self.request;
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", "client_credentials");
        for (name, value) in [("scope", &request.scope), ("audience", &request.audience)] {
            if let Some(value) = value {
                form.append_pair(name, value);
            }
        }
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        if request.in_form {
            form.append_pair("client_id", &request.client_id).append_pair("client_secret", secret.expose());
        } else {
            // Both are form-encoded before they become a user and a password (RFC 6749, 2.3.1).
            let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
            let pair = format!("{}:{}", encoded(&request.client_id), encoded(secret.expose()));
            let value = HeaderValue::from_str(&format!("Basic {}", BASE64.encode(pair.as_bytes())));
            let mut value = value.map_err(|_| refusal("the client secret cannot be sent", CallErrorKind::Rejected))?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        Ok((headers, form.finish().into()))
    }
}

/// What a token endpoint answers (RFC 6749, 5.1 and 5.2).
#[derive(Deserialize)]
struct Answer {
    access_token: Option<String>,
    token_type: Option<String>,
    expires_in: Option<Value>,
    error: Option<String>,
}

fn read(answer: &EgressAnswer, secret: &Secret) -> Result<Token, CallError> {
    let told: Option<Answer> = serde_json::from_slice(&answer.body).ok();
    let status = answer.status;
    if !status.is_success() {
        // The code is a word of the standard; whatever else stands there may hold what we sent.
        let code = told
            .and_then(|told| told.error)
            .filter(|code| code.len() <= 64 && code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'));
        let code = code.map_or_else(String::new, |code| format!(" ({code})"));
        let detail = format!("no access token: the token endpoint answered {}{code}", status.as_u16());
        let passes = status.is_server_error() || matches!(status.as_u16(), 408 | 425 | 429);
        let kind = if passes { CallErrorKind::Failed } else { CallErrorKind::Rejected };
        let wait = retry_after(&answer.headers).filter(|_| passes);
        return Err(refusal(&detail, kind).retry_after(wait));
    }
    let crooked =
        || refusal("no access token: the token endpoint's answer holds no bearer token", CallErrorKind::Failed);
    let told = told.ok_or_else(crooked)?;
    if told.token_type.is_some_and(|kind| !kind.eq_ignore_ascii_case("bearer")) {
        return Err(crooked());
    }
    let value = told.access_token.filter(|token| !token.is_empty()).ok_or_else(crooked)?;
    let life = told.expires_in.as_ref().and_then(seconds).unwrap_or(DEFAULT_LIFE).min(LONGEST_LIFE);
    let now = Instant::now();
    let refresh_at = now + (life - (life / 5).min(AHEAD));
    Ok(Token { value: Secret::new(value), by: secret.clone(), refresh_at, expires_at: now + life })
}

/// Seconds, as a number or as some write it, in a text.
fn seconds(value: &Value) -> Option<Duration> {
    let seconds = match value {
        Value::String(text) => text.parse().ok()?,
        other => other.as_f64()?,
    };
    Duration::try_from_secs_f64(seconds.max(0.0)).ok()
}

fn refusal(detail: &str, kind: CallErrorKind) -> CallError {
    CallError::new(kind, Sent::No, detail)
}
