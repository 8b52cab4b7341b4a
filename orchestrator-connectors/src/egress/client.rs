//! The one client.

use std::collections::HashMap;
use std::error::Error;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method};
use orchestrator_core::connector::{CallError, CallErrorKind, Sent};
use url::{Host, Url};

use super::answer::{EgressAnswer, EgressLimits};
use super::names::{Lookup, NameError, Names, SystemLookup};
use super::policy::{EgressPolicy, EgressRefusal, Forbidden};
use super::resolver::GuardedResolver;
use super::transport::{Transport, TransportError};

/// TCP and TLS together; the attempt's own deadline is usually shorter.
const CONNECT: Duration = Duration::from_secs(10);
/// Below what peers keep: a connection that they close as we write to it is a call of unknown outcome.
const IDLE: Duration = Duration::from_secs(30);
const IDLE_PER_HOST: usize = 256;
const KEEPALIVE: Duration = Duration::from_secs(30);
const HEADERS: usize = 128;
const USER_AGENT: &str = concat!("Orchestrator/", env!("CARGO_PKG_VERSION"));

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
#[error("outbound HTTP cannot be set up: is the system's store of CA certificates installed?")]
pub struct EgressError(#[from] reqwest::Error);

/// Sends requests to where the policy lets them go, and reads answers within bounds.
///
/// Follows no redirect, repeats nothing, uses no proxy of the environment, inflates no body, speaks HTTP/1.1 (over HTTP/2 all tenants
/// would share one connection to a host, and one body that nobody reads would stop them all).
///
/// Cloning is cheap and shares the pool of connections. An install needs one.
#[derive(Clone)]
pub struct EgressClient(Arc<Inner>);

struct Inner {
    policy: EgressPolicy,
    names: Names,
    /// What all calls go through; if there is one, `elsewhere` knows it and makes all of them.
    proxy: Option<Url>,
    elsewhere: reqwest::Client,
    /// One for each port of the install's own, since a resolver is not told the port.
    own_ports: HashMap<u16, reqwest::Client>,
}

impl EgressClient {
    /// A client that resolves names as the system does.
    ///
    /// # Errors
    /// The system has no CA certificates, or TLS cannot be set up.
    pub fn new(policy: EgressPolicy) -> Result<Self, EgressError> {
        Self::with_lookup(policy, Arc::new(SystemLookup))
    }

    /// A client that trusts the CA certificates of this PEM text, and no others.
    ///
    /// # Errors
    /// It holds no certificates, or TLS cannot be set up.
    pub fn trusting(policy: EgressPolicy, ca: &str) -> Result<Self, EgressError> {
        let certificates = reqwest::Certificate::from_pem_bundle(ca.as_bytes())?;
        Self::made(policy, Arc::new(SystemLookup), |builder| builder.tls_certs_only(certificates.clone()))
    }

    /// A client that resolves names by `lookup`.
    ///
    /// # Errors
    /// The system has no CA certificates, or TLS cannot be set up.
    pub fn with_lookup(policy: EgressPolicy, lookup: Arc<dyn Lookup>) -> Result<Self, EgressError> {
        Self::made(policy, lookup, |builder| builder)
    }

    fn made(
        policy: EgressPolicy,
        lookup: Arc<dyn Lookup>,
        apply: impl Fn(reqwest::ClientBuilder) -> reqwest::ClientBuilder,
    ) -> Result<Self, EgressError> {
        let names = Names::new(lookup);
        let client = |port| apply(base(GuardedResolver::new(names.clone(), policy.clone(), port))).build();
        let elsewhere = client(0)?;
        let mut own_ports = HashMap::new();
        for port in policy.own_ports() {
            own_ports.insert(port, client(port)?);
        }
        Ok(Self(Arc::new(Inner { policy, names, proxy: None, elsewhere, own_ports })))
    }

    /// A client under the same policy whose connections are made by `transport`. It has a pool of connections of its own.
    ///
    /// # Errors
    /// The transport cannot be set up.
    pub fn with_transport(&self, transport: &Transport) -> Result<Self, TransportError> {
        let (policy, names) = (self.0.policy.clone(), self.0.names.clone());
        let client = |port| {
            let resolver = GuardedResolver::new(names.clone(), policy.clone(), port);
            transport.apply(base(resolver))?.build().map_err(|_| TransportError::Together)
        };
        let proxy = transport.proxy.as_ref().map(|server| server.url.clone());
        let mut own_ports = HashMap::new();
        let elsewhere = match &proxy {
            // All connections are made to the proxy: its port is the one to judge its addresses with.
            Some(url) => client(url.port_or_known_default().ok_or(TransportError::Proxy)?)?,
            None => {
                for port in policy.own_ports() {
                    own_ports.insert(port, client(port)?);
                }
                client(0)?
            }
        };
        Ok(Self(Arc::new(Inner { policy, names, proxy, elsewhere, own_ports })))
    }

    /// What it lets through.
    #[must_use]
    pub fn policy(&self) -> &EgressPolicy {
        &self.0.policy
    }

    /// The client for a URL that may be called.
    pub(super) fn guarded(&self, url: &Url) -> Result<&reqwest::Client, EgressRefusal> {
        self.0.policy.check_url(url)?;
        let own = url.port_or_known_default().and_then(|port| self.0.own_ports.get(&port));
        Ok(own.unwrap_or(&self.0.elsewhere))
    }

    pub(super) fn names(&self) -> &Names {
        &self.0.names
    }

    /// Makes one attempt. Any status is an answer.
    ///
    /// Through a proxy, the proxy's address is the one connected to, and is judged as any other; of the destination every
    /// address that its name has here must be one that may be reached, though the proxy resolves it once more.
    ///
    /// Has no deadline of its own but for connecting (10 s). Dropping the future closes the connection; the upstream may
    /// or may not have seen the request.
    ///
    /// # Errors
    /// The destination is forbidden, was not reached ([`Sent::No`]), gave no answer or one that broke off, or answered
    /// more than the limits let ([`Sent::Maybe`]).
    pub async fn send(
        &self,
        method: Method,
        url: Url,
        headers: HeaderMap,
        body: Bytes,
        limits: EgressLimits,
    ) -> Result<EgressAnswer, CallError> {
        EgressAnswer::read(self.begin(method, url, headers, body).await?, limits).await
    }

    /// As [`send`](Self::send), up to the answer's body, which is still to come: whoever reads it bounds it.
    pub(crate) async fn begin(
        &self,
        method: Method,
        url: Url,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<reqwest::Response, CallError> {
        let client = self.guarded(&url).map_err(refused)?;
        if let Some(proxy) = &self.0.proxy {
            self.0.policy.check_url(proxy).map_err(refused)?;
            self.check_behind_proxy(&url).await?;
        }
        let request = client.request(method, url).headers(headers).body(body);
        request.send().await.map_err(|problem| not_answered(&problem))
    }
}

impl EgressClient {
    /// Judges a destination that is reached by somebody else: one address that may not be reached is enough to refuse it.
    async fn check_behind_proxy(&self, url: &Url) -> Result<(), CallError> {
        let (Some(Host::Domain(name)), Some(port)) = (url.host(), url.port_or_known_default()) else {
            return Ok(());
        };
        let unreachable =
            |problem: NameError| CallError::new(CallErrorKind::Unreachable, Sent::No, problem.to_string());
        for address in self.0.names.addresses(name).await.map_err(unreachable)?.iter() {
            let address = SocketAddr::new(address.to_canonical(), port);
            self.0.policy.check_address(address).map_err(|forbidden| refused(forbidden.into()))?;
        }
        Ok(())
    }
}

impl fmt::Debug for EgressClient {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("EgressClient").field("policy", &self.0.policy).finish_non_exhaustive()
    }
}

/// The only place where an HTTP client begins.
#[allow(clippy::disallowed_methods, reason = "this is the one place that the lint points to")]
fn base(resolver: GuardedResolver) -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .dns_resolver(Arc::new(resolver))
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .http1_only()
        .http1_max_headers(HEADERS)
        .tls_backend_rustls()
        .user_agent(USER_AGENT)
        .connect_timeout(CONNECT)
        .pool_idle_timeout(IDLE)
        .pool_max_idle_per_host(IDLE_PER_HOST)
        .tcp_keepalive(KEEPALIVE)
}

fn refused(refusal: EgressRefusal) -> CallError {
    let kind = match refusal {
        EgressRefusal::Forbidden(_) => CallErrorKind::DestinationForbidden,
        EgressRefusal::NotHttp | EgressRefusal::Userinfo => CallErrorKind::Rejected,
    };
    CallError::new(kind, Sent::No, refusal.to_string())
}

/// Says how an attempt ended without an answer, in words that hold no address: the client's own errors do.
fn not_answered(problem: &reqwest::Error) -> CallError {
    if let Some(forbidden) = cause::<Forbidden>(problem) {
        return CallError::new(CallErrorKind::DestinationForbidden, Sent::No, forbidden.to_string());
    }
    if let Some(name) = cause::<NameError>(problem) {
        return CallError::new(CallErrorKind::Unreachable, Sent::No, name.to_string());
    }
    if problem.is_connect() {
        let detail = "no connection to the upstream could be made (TCP or TLS)";
        return CallError::new(CallErrorKind::Unreachable, Sent::No, detail);
    }
    if problem.is_builder() {
        return CallError::new(CallErrorKind::Rejected, Sent::No, "the request cannot be sent over HTTP");
    }
    CallError::new(CallErrorKind::Failed, Sent::Maybe, "the upstream closed the connection without a sound answer")
}

fn cause<E: Error + 'static>(problem: &dyn Error) -> Option<&E> {
    let mut next = problem.source();
    while let Some(problem) = next {
        if let Some(found) = problem.downcast_ref::<E>() {
            return Some(found);
        }
        next = problem.source();
    }
    None
}
