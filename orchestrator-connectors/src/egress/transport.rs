//! How the connections of one connector are made, where they are not made like everybody's.

use std::fmt;

use orchestrator_core::secrets::Secret;
use reqwest::{Certificate, Identity, Proxy};
use url::Url;

/// Whom connections trust, who they say they are, and which proxy they go through. The default is everybody's: the
/// system's CA certificates, no certificate of one's own, no proxy.
#[derive(Clone, Default)]
pub struct Transport {
    /// CA certificates in PEM: if given, these are trusted and no others.
    pub ca: Option<String>,
    /// A certificate, with those between it and its CA, and its private key, in PEM.
    pub identity: Option<Secret>,
    /// The proxy.
    pub proxy: Option<ProxyServer>,
}

/// A proxy: `CONNECT` for `https`, plain forwarding for `http`.
#[derive(Clone)]
pub struct ProxyServer {
    /// Where it is: `http` or `https`, a host and a port.
    pub url: Url,
    /// `user:password`.
    pub credentials: Option<Secret>,
}

/// Why connections cannot be made so. Holds nothing of a key or password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// The CA certificates.
    #[error("the CA certificates are not certificates in PEM")]
    Ca,
    /// The client certificate or its key.
    #[error("the client certificate and its key are not a certificate and its private key in PEM")]
    Identity,
    /// The proxy.
    #[error("the proxy's address or credentials cannot be used")]
    Proxy,
    /// All together.
    #[error("TLS cannot be set up with these certificates: do the client certificate and its key belong together?")]
    Together,
}

impl Transport {
    /// Whether it is everybody's.
    pub(crate) fn is_plain(&self) -> bool {
        self.ca.is_none() && self.identity.is_none() && self.proxy.is_none()
    }

    /// The client's builder with it.
    pub(super) fn apply(&self, mut builder: reqwest::ClientBuilder) -> Result<reqwest::ClientBuilder, TransportError> {
        if let Some(pem) = &self.ca {
            builder = builder.tls_certs_only(ca_certificates(pem)?);
        }
        if let Some(pem) = &self.identity {
            let identity = Identity::from_pem(pem.expose().as_bytes()).map_err(|_| TransportError::Identity)?;
            builder = builder.identity(identity);
        }
        if let Some(server) = &self.proxy {
            let mut proxy = Proxy::all(server.url.clone()).map_err(|_| TransportError::Proxy)?;
            if let Some(credentials) = &server.credentials {
                let (user, password) = credentials.expose().split_once(':').ok_or(TransportError::Proxy)?;
                proxy = proxy.basic_auth(user, password);
            }
            builder = builder.proxy(proxy);
        }
        Ok(builder)
    }
}

/// Reads CA certificates.
///
/// # Errors
/// They are none, or there are none.
pub(crate) fn ca_certificates(pem: &str) -> Result<Vec<Certificate>, TransportError> {
    let certificates = Certificate::from_pem_bundle(pem.as_bytes()).map_err(|_| TransportError::Ca)?;
    if certificates.is_empty() { Err(TransportError::Ca) } else { Ok(certificates) }
}

impl fmt::Debug for Transport {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Transport")
            .field("ca", &self.ca.is_some())
            .field("identity", &self.identity.is_some())
            .field("proxy", &self.proxy.as_ref().map(|proxy| proxy.url.host_str().unwrap_or_default().to_owned()))
            .finish()
    }
}
