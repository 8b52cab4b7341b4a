//! Tokens by client credentials: fetched once, shared, and renewed ahead of their end.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use orchestrator_types::{TokenRequest, TokenResponse};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::key::ClientKey;
use super::source::{Token, TokenError, TokenSource};
use crate::builder::{ClientBuilder, server_url};
use crate::error::Error;
use crate::transport::{Call, Caller, Transport};

/// A token is renewed this long before its end, or when a tenth of its life is left if that is shorter.
const AHEAD: Duration = Duration::from_secs(60);
/// After a failed renewal the token at hand serves this long before the next one is tried.
const PAUSE: Duration = Duration::from_secs(5);
/// No token is believed to live longer.
const LONGEST: Duration = Duration::from_secs(24 * 3_600);

const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// How a service identity proves itself.
pub(crate) enum Proof {
    Secret(SecretString),
    Key { key: ClientKey, audience: String },
}

/// A service identity's id and its secret or key, exchanged for tokens at `POST /oauth/token`.
///
/// The token is shared by all callers. One renewal runs at a time: while the old token still lasts the others go on with
/// it, else they wait for the one renewal and share its outcome, also if it fails. Dropping a waiting call ends nothing
/// but that wait; if the one that renews is dropped, the next takes over.
pub struct ClientCredentials {
    transport: Transport,
    client_id: String,
    proof: Proof,
    scope: Option<String>,
    state: RwLock<State>,
    renewal: Mutex<()>,
}

#[derive(Default)]
struct State {
    lease: Option<Lease>,
    failure: Option<(Instant, TokenError)>,
}

#[derive(Clone)]
struct Lease {
    token: Token,
    renew_at: Instant,
    expires_at: Instant,
}

impl ClientCredentials {
    /// Tokens of the server at `url`, on a connection pool of its own. [`ClientBuilder::client_credentials`] shares the client's.
    ///
    /// # Errors
    /// [`Error::Invalid`] if `url` is not a usable address.
    pub fn new(url: &str, client_id: impl Into<String>, client_secret: impl Into<String>) -> Result<Self, Error> {
        let transport = ClientBuilder::new(url).transport(server_url(url)?)?;
        Ok(Self::over(transport, client_id.into(), Proof::Secret(SecretString::from(client_secret.into()))))
    }

    /// The same for an identity that has a key (`private_key_jwt`): each token request carries a fresh assertion for `audience`,
    /// signed by it. The audience is the server's issuer, `orchestrator-<environment>`: the `iss` of its tokens.
    ///
    /// # Errors
    /// [`Error::Invalid`] if `url` is not a usable address.
    pub fn with_key(
        url: &str,
        client_id: impl Into<String>,
        audience: impl Into<String>,
        key: ClientKey,
    ) -> Result<Self, Error> {
        let transport = ClientBuilder::new(url).transport(server_url(url)?)?;
        Ok(Self::over(transport, client_id.into(), Proof::Key { key, audience: audience.into() }))
    }

    /// Asks for these scopes only (separated by spaces) instead of all that the identity has.
    #[must_use]
    pub fn with_scope(mut self, scope: impl Into<String>) -> Self {
        self.scope = Some(scope.into());
        self
    }

    pub(crate) fn over(transport: Transport, client_id: String, proof: Proof) -> Self {
        Self { transport, client_id, proof, scope: None, state: RwLock::default(), renewal: Mutex::new(()) }
    }

    /// The lease if it is still to be had, and whether it is time for another.
    fn at_hand(&self) -> Option<(Token, bool)> {
        let now = Instant::now();
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let lease = state.lease.as_ref().filter(|lease| now < lease.expires_at)?;
        let resting = state.failure.as_ref().is_some_and(|(at, _)| now.duration_since(*at) < PAUSE);
        Some((lease.token.clone(), now >= lease.renew_at && !resting))
    }

    fn failure_since(&self, since: Instant) -> Option<TokenError> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        state.failure.as_ref().filter(|(at, _)| *at >= since).map(|(_, failure)| failure.clone())
    }

    /// Fetches a token and keeps the outcome. The caller holds the renewal lock.
    async fn renew(&self) -> Result<Token, TokenError> {
        let outcome = self.fetch().await;
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        match outcome {
            Ok(lease) => {
                let token = lease.token.clone();
                *state = State { lease: Some(lease), failure: None };
                Ok(token)
            }
            Err(failure) => {
                state.failure = Some((Instant::now(), failure.clone()));
                Err(failure)
            }
        }
    }

    async fn fetch(&self) -> Result<Lease, TokenError> {
        let mut form = TokenRequest {
            grant_type: "client_credentials".to_owned(),
            client_id: Some(self.client_id.clone()),
            scope: self.scope.clone(),
            ..TokenRequest::default()
        };
        let call = Call::post("get_token", ["oauth", "token"]).anonymous().with_secret_answer();
        let call = match &self.proof {
            Proof::Secret(secret) => {
                form.client_secret = Some(secret.expose_secret().to_owned());
                // It makes nothing but a token, so it may be asked again.
                call.form(&form).repeatable()
            }
            Proof::Key { key, audience } => {
                form.client_assertion_type = Some(ASSERTION.to_owned());
                form.client_assertion = Some(key.assertion(&self.client_id, audience)?);
                // The assertion is good for one use: a try whose answer was lost has used it up.
                call.form(&form).once()
            }
        };
        let asked_at = Instant::now();
        let endpoint = |source| TokenError::Endpoint(Arc::new(source));
        let reply = self.transport.send(&call, Caller::NOBODY).await.map_err(endpoint)?;
        let answer: TokenResponse = reply.json().map_err(endpoint)?;
        let life = Duration::from_secs(answer.expires_in).min(LONGEST);
        Ok(Lease {
            token: Token::new(answer.access_token)?,
            renew_at: asked_at + life.saturating_sub(AHEAD.min(life / 10)),
            expires_at: asked_at + life,
        })
    }
}

#[async_trait]
impl TokenSource for ClientCredentials {
    async fn token(&self) -> Result<Token, TokenError> {
        if let Some((token, due)) = self.at_hand() {
            if !due {
                return Ok(token);
            }
            let Ok(_renewing) = self.renewal.try_lock() else { return Ok(token) };
            return match self.at_hand() {
                Some((renewed, false)) => Ok(renewed),
                // The old one still lasts; a failed renewal is tried again later.
                _ => Ok(self.renew().await.unwrap_or(token)),
            };
        }
        let waiting_since = Instant::now();
        let _renewing = self.renewal.lock().await;
        if let Some((token, _)) = self.at_hand() {
            return Ok(token);
        }
        match self.failure_since(waiting_since) {
            Some(failure) => Err(failure),
            None => self.renew().await,
        }
    }

    fn rejected(&self, token: &Token) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        if state.lease.as_ref().is_some_and(|lease| lease.token.is(token)) {
            state.lease = None;
        }
    }
}

impl fmt::Debug for ClientCredentials {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("ClientCredentials")
            .field("client_id", &self.client_id)
            .field("proof", &"[redacted]")
            .field("scope", &self.scope)
            .finish_non_exhaustive()
    }
}
