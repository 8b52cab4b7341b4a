//! The options of a client.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use secrecy::SecretString;
use tower::{Layer, Service};
use url::Url;

use crate::client::Client;
use crate::error::Error;
use crate::retry::Retry;
use crate::token::{ClientCredentials, ClientKey, FileToken, Proof, StaticToken, Token, TokenError, TokenSource};
use crate::trace::TraceContext;
use crate::transport::{Body, BoxError, HttpService, Settings, Transport};

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
    context: Option<Arc<dyn TraceContext>>,
    layers: Vec<Wrap>,
}

/// Puts a layer around what is there so far.
type Wrap = Box<dyn FnOnce(HttpService) -> HttpService + Send>;

enum Tokens {
    None,
    Source(Arc<dyn TokenSource>),
    Static(Result<Token, TokenError>),
    Credentials(String, Proof),
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
            context: None,
            layers: Vec::new(),
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
        let secret = Proof::Secret(SecretString::from(client_secret.into()));
        self.tokens = Tokens::Credentials(client_id.into(), secret);
        self
    }

    /// Calls as a service identity that has a key instead of a secret (`private_key_jwt`, RFC 7523). `audience` is the server's issuer,
    /// `orchestrator-<environment>`: the `iss` of its tokens.
    pub fn private_key_jwt(
        mut self,
        client_id: impl Into<String>,
        audience: impl Into<String>,
        key: ClientKey,
    ) -> Self {
        self.tokens = Tokens::Credentials(client_id.into(), Proof::Key { key, audience: audience.into() });
        self
    }

    /// Calls with the token in a file, which is read again when it has changed: a projected token of Kubernetes, say.
    pub fn token_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.tokens = Tokens::Source(Arc::new(FileToken::new(path)));
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

    /// Puts a [tower] layer around what sends requests. The one that is added last is outermost.
    ///
    /// A layer sees each try of each call, token requests and event streams included, with all its headers; the client's own retries
    /// and its time limit are around it. The request's extensions tell which [`Operation`](crate::Operation) it is, and its body is
    /// [`Body::as_bytes`]. An error of a layer is an [`Error::Transport`]: a repeatable call is tried again after it.
    ///
    /// ```
    /// use http::{HeaderName, HeaderValue};
    /// use orchestrator_client::{Body, Client};
    /// use tower::util::MapRequestLayer;
    ///
    /// # fn main() -> Result<(), orchestrator_client::Error> {
    /// let team = MapRequestLayer::new(|mut request: http::Request<Body>| {
    ///     request.headers_mut().insert(HeaderName::from_static("team"), HeaderValue::from_static("billing"));
    ///     request
    /// });
    /// let client = Client::builder("https://orchestrator.example").token("…").layer(team).build();
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// [tower]: https://docs.rs/tower
    pub fn layer<L, B>(mut self, layer: L) -> Self
    where
        L: Layer<HttpService> + Send + 'static,
        L::Service: Service<http::Request<Body>, Response = http::Response<B>> + Clone + Send + Sync + 'static,
        <L::Service as Service<http::Request<Body>>>::Error: Into<BoxError>,
        <L::Service as Service<http::Request<Body>>>::Future: Send + 'static,
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        self.layers.push(Box::new(move |service| service.within(&layer)));
        self
    }

    /// Continues the trace that the program is in; without it, and without [`Client::with_trace`], each call begins a trace.
    pub fn trace_context(mut self, context: impl TraceContext) -> Self {
        self.context = Some(Arc::new(context));
        self
    }

    /// The client.
    ///
    /// # Errors
    /// [`Error::Invalid`] if an address is not `http` or `https`, or has a user, password, query or fragment;
    /// [`Error::Token`] if the token cannot be one; [`Error::Transport`] if TLS cannot be set up.
    pub fn build(mut self) -> Result<Client, Error> {
        let tokens = std::mem::replace(&mut self.tokens, Tokens::None);
        let url = server_url(&self.url)?;
        let transport = self.transport(url)?;
        let tokens: Option<Arc<dyn TokenSource>> = match tokens {
            Tokens::None => None,
            Tokens::Source(source) => Some(source),
            Tokens::Static(token) => Some(Arc::new(StaticToken::new(token?))),
            Tokens::Credentials(id, proof) => Some(Arc::new(ClientCredentials::over(transport.clone(), id, proof))),
        };
        Ok(Client::over(transport, tokens))
    }

    pub(crate) fn transport(self, api: Url) -> Result<Transport, Error> {
        let connections = HttpService::over(self.http().map_err(BoxError::from)?);
        Ok(Transport::new(Settings {
            http: self.layers.into_iter().fold(connections, |service, wrap| wrap(service)),
            context: self.context,
            ops: self.ops_url.as_deref().map_or_else(|| Ok(api.clone()), server_url)?,
            api,
            timeout: self.timeout,
            silence: self.stream_silence,
            retry: self.retry,
            answer_bytes: self.answer_bytes,
        }))
    }

    #[allow(clippy::disallowed_methods, reason = "the one place of this crate that makes an HTTP client")]
    fn http(&self) -> Result<reqwest::Client, reqwest::Error> {
        reqwest::Client::builder()
            // A variable of the environment must not divert tokens.
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .connect_timeout(self.connect_timeout)
            // Below the 30 s after which servers and balancers commonly hang up.
            .pool_idle_timeout(Duration::from_secs(20))
            .tcp_keepalive(Duration::from_secs(30))
            .user_agent(self.user_agent.as_str())
            .build()
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
