//! The options of a client.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use url::Url;

use crate::client::Client;
use crate::error::Error;
use crate::retry::Retry;
use crate::token::{ClientCredentials, StaticToken, Token, TokenError, TokenSource};
use crate::transport::{Settings, Transport};

/// Put together a [`Client`]. Mistakes are told by [`ClientBuilder::build`].
#[must_use]
pub struct ClientBuilder {
    url: String,
    ops_url: Option<String>,
    tokens: Tokens,
    connect_timeout: Duration,
    timeout: Duration,
    stream_silence: Duration,
    retry: Retry,
    user_agent: String,
    answer_bytes: usize,
}

enum Tokens {
    None,
    Source(Arc<dyn TokenSource>),
    Static(Result<Token, TokenError>),
    Credentials(String, SecretString),
}

impl ClientBuilder {
    pub(crate) fn new(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            ops_url: None,
            tokens: Tokens::None,
            connect_timeout: Duration::from_secs(5),
            timeout: Duration::from_secs(60),
            stream_silence: Duration::from_secs(60),
            retry: Retry::default(),
            user_agent: concat!("orchestrator-client/", env!("CARGO_PKG_VERSION")).to_owned(),
            answer_bytes: 64 * 1024 * 1024,
        }
    }

    /// Calls with this token, for as long as it lasts.
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.tokens = Tokens::Static(Token::new(token));
        self
    }

    /// Calls with the tokens of a source.
    pub fn token_source(mut self, source: impl TokenSource) -> Self {
        self.tokens = Tokens::Source(Arc::new(source));
        self
    }

    /// Calls as a service identity: its tokens are fetched from the same server, cached and renewed.
    pub fn client_credentials(mut self, client_id: impl Into<String>, client_secret: impl Into<String>) -> Self {
        self.tokens = Tokens::Credentials(client_id.into(), SecretString::from(client_secret.into()));
        self
    }

    /// Where [`Client::health`] and [`Client::ready`] ask; the server's address if not set.
    pub fn ops_url(mut self, url: &str) -> Self {
        self.ops_url = Some(url.to_owned());
        self
    }

    /// The longest that a connection may take to come about; 5 s if not set.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// The longest that one try may take, its connection and body included; 60 s if not set, which outlasts the 30 s that
    /// the server holds the replay of a running call back. What a long poll waits comes on top.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// An event stream that is silent for so long is taken for dead and opened anew; 60 s if not set.
    pub fn stream_silence(mut self, silence: Duration) -> Self {
        self.stream_silence = silence;
        self
    }

    /// The retries that the client makes by itself.
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// What the client calls itself.
    pub fn user_agent(mut self, user_agent: impl Into<String>) -> Self {
        self.user_agent = user_agent.into();
        self
    }

    /// Answers larger than this are refused, in bytes; 64 MiB if not set.
    pub fn max_answer_bytes(mut self, bytes: usize) -> Self {
        self.answer_bytes = bytes;
        self
    }

    /// The client.
    ///
    /// # Errors
    /// [`Error::Invalid`] if an address is not `http` or `https`, or has a user, password, query or fragment;
    /// [`Error::Token`] if the token cannot be one; [`Error::Transport`] if TLS cannot be set up.
    pub fn build(mut self) -> Result<Client, Error> {
        let tokens = std::mem::replace(&mut self.tokens, Tokens::None);
        let transport = self.transport(server_url(&self.url)?)?;
        let tokens: Option<Arc<dyn TokenSource>> = match tokens {
            Tokens::None => None,
            Tokens::Source(source) => Some(source),
            Tokens::Static(token) => Some(Arc::new(StaticToken::new(token?))),
            Tokens::Credentials(id, secret) => Some(Arc::new(ClientCredentials::over(transport.clone(), id, secret))),
        };
        Ok(Client::over(transport, tokens))
    }

    pub(crate) fn transport(&self, api: Url) -> Result<Transport, Error> {
        Ok(Transport::new(Settings {
            http: self.http()?,
            ops: self.ops_url.as_deref().map_or_else(|| Ok(api.clone()), server_url)?,
            api,
            timeout: self.timeout,
            silence: self.stream_silence,
            retry: self.retry,
            answer_bytes: self.answer_bytes,
        }))
    }

    #[allow(clippy::disallowed_methods, reason = "the one place of this crate that makes an HTTP client")]
    fn http(&self) -> Result<reqwest::Client, Error> {
        Ok(reqwest::Client::builder()
            // A variable of the environment must not divert tokens.
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .connect_timeout(self.connect_timeout)
            // Below the 30 s after which servers and balancers commonly hang up.
            .pool_idle_timeout(Duration::from_secs(20))
            .tcp_keepalive(Duration::from_secs(30))
            .user_agent(self.user_agent.as_str())
            .build()?)
    }
}

impl fmt::Debug for ClientBuilder {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Neither the tokens nor an address that is not checked yet: it may have a password in it.
        out.debug_struct("ClientBuilder")
            .field("timeout", &self.timeout)
            .field("retry", &self.retry)
            .field("user_agent", &self.user_agent)
            .finish_non_exhaustive()
    }
}

/// A server's address, checked.
pub(crate) fn server_url(text: &str) -> Result<Url, Error> {
    let url = Url::parse(text).map_err(|_| Error::Invalid("the server's address is not a URL"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(Error::Invalid("the server's address begins with http:// or https://"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Error::Invalid("the server's address holds no user and no password: give a token"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(Error::Invalid("the server's address has no query and no fragment"));
    }
    Ok(url)
}
