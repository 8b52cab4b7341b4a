//! TLS for what is not HTTP: the system's CA certificates, and those that settings add.

use std::fmt;
use std::sync::Arc;

use orchestrator_core::connector::{CallError, CallErrorKind, Sent};
use rustls::ClientConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls_platform_verifier::Verifier;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use url::Host;

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsTrustError {
    /// What settings give is no PEM of certificates, or holds none.
    #[error("this is not a list of certificates in PEM")]
    NotCertificates,
    /// The system has no CA certificates, or does not tell them.
    #[error("the system's CA certificates cannot be read")]
    System,
}

/// Whose certificates are believed.
#[derive(Clone)]
pub(crate) struct TlsTrust(Arc<ClientConfig>);

impl TlsTrust {
    /// Those of the system, and those that stand in `pem` besides.
    ///
    /// # Errors
    /// `pem` is none, or the system's cannot be read.
    pub(crate) fn new(pem: Option<&str>) -> Result<Self, TlsTrustError> {
        let extra = pem.map(certificates).transpose()?.unwrap_or_default();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let unread = if extra.is_empty() { TlsTrustError::System } else { TlsTrustError::NotCertificates };
        let verifier = Verifier::new_with_extra_roots(extra, provider.clone()).map_err(|_| unread)?;
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|_| TlsTrustError::System)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        Ok(Self(Arc::new(config)))
    }

    /// Makes a connection a TLS one with the host that it leads to. Has no deadline of its own.
    ///
    /// # Errors
    /// The host's certificate is not believed, or it does not speak TLS. Nothing of a call has been sent.
    pub(crate) async fn connect(&self, host: &Host, stream: TcpStream) -> Result<TlsStream<TcpStream>, CallError> {
        let refused = |detail| CallError::new(CallErrorKind::Unreachable, Sent::No, detail);
        let name = match host {
            Host::Domain(name) => {
                ServerName::try_from(name.clone()).map_err(|_| refused("the host has no name for TLS"))?
            }
            Host::Ipv4(address) => ServerName::from(std::net::IpAddr::from(*address)),
            Host::Ipv6(address) => ServerName::from(std::net::IpAddr::from(*address)),
        };
        let connected = TlsConnector::from(self.0.clone()).connect(name, stream).await;
        connected
            .map_err(|_| refused("no TLS connection to the upstream could be made: is its certificate believed here?"))
    }
}

impl fmt::Debug for TlsTrust {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("TlsTrust")
    }
}

fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, TlsTrustError> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    read.ok().filter(|read| !read.is_empty()).ok_or(TlsTrustError::NotCertificates)
}
