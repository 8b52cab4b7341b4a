//! The connections of a connector whose settings say how they are made: its own CA, certificate or proxy.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use orchestrator_core::connector::{CallError, CallErrorKind, SecretSlots, Sent};
use orchestrator_core::secrets::Secret;
use url::Url;

use crate::egress::{EgressClient, ProxyServer, Transport};

/// What the settings say of connections.
#[derive(Debug, Clone, Default)]
pub(crate) struct ConnectionSettings {
    /// The CA certificates that are trusted, in PEM.
    pub(crate) ca: Option<String>,
    /// The proxy.
    pub(crate) proxy: Option<Url>,
}

/// The clients of one connector: everybody's, or one built from its settings and the secrets of now.
pub(crate) struct Connections {
    shared: EgressClient,
    settings: ConnectionSettings,
    slots: SecretSlots,
    built: Mutex<Option<Built>>,
}

/// A client, and the secrets that it was built from.
struct Built {
    secrets: Secrets,
    client: EgressClient,
}

/// The certificate, its key, and the proxy's credentials.
#[derive(Clone)]
struct Secrets([Option<Secret>; 3]);

impl PartialEq for Secrets {
    fn eq(&self, other: &Self) -> bool {
        let text = |secret: &Option<Secret>| secret.as_ref().map(|secret| secret.expose().to_owned());
        self.0.iter().zip(&other.0).all(|(one, two)| text(one) == text(two))
    }
}

/// Every slot that is for connections.
pub(crate) const CONNECTION_SLOTS: &[&str] = &["client_certificate", "client_key", "proxy"];

impl Connections {
    pub(crate) fn new(shared: EgressClient, settings: ConnectionSettings, slots: SecretSlots) -> Self {
        Self { shared, settings, slots, built: Mutex::default() }
    }

    /// The client for a call that is made now. A rotated secret makes a new one.
    ///
    /// # Errors
    /// A secret cannot be had, or is not what connections need. Nothing was sent.
    pub(crate) async fn client(&self) -> Result<EgressClient, CallError> {
        let mut secrets = Secrets([None, None, None]);
        for (secret, slot) in secrets.0.iter_mut().zip(CONNECTION_SLOTS) {
            let unreadable = |_| unusable(&format!("the secret slot `{slot}` cannot be read now"));
            *secret = self.slots.get(slot).await.map_err(unreadable)?;
        }
        let transport = self.transport(&secrets);
        if transport.is_plain() {
            return Ok(self.shared.clone());
        }
        let built = || self.built.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = built().as_ref().filter(|known| known.secrets == secrets) {
            return Ok(known.client.clone());
        }
        let client = self.shared.with_transport(&transport).map_err(|problem| unusable(&problem.to_string()))?;
        *built() = Some(Built { secrets, client: client.clone() });
        Ok(client)
    }

    fn transport(&self, secrets: &Secrets) -> Transport {
        let [certificate, key, credentials] = &secrets.0;
        let identity = certificate.as_ref().map(|certificate| match key {
            Some(key) => Secret::new(format!("{}\n{}\n", certificate.expose(), key.expose())),
            None => certificate.clone(),
        });
        let proxy = self.settings.proxy.clone();
        let proxy = proxy.map(|url| ProxyServer { url, credentials: credentials.clone() });
        Transport { ca: self.settings.ca.clone(), identity, proxy }
    }
}

impl fmt::Debug for Connections {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Connections").field("settings", &self.settings).finish_non_exhaustive()
    }
}

fn unusable(detail: &str) -> CallError {
    CallError::new(CallErrorKind::SecretUnavailable, Sent::No, detail)
}

/// Reads the address of a proxy.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn read_proxy(text: &str) -> Result<Url, &'static str> {
    let url = endpoint(text)?;
    match url.path() {
        "" | "/" if url.query().is_none() => Ok(url),
        _ => Err("a proxy has no path and no query"),
    }
}

/// Reads a URL that is called as it is.
///
/// # Errors
/// What is wrong with it.
pub(super) fn endpoint(text: &str) -> Result<Url, &'static str> {
    let url = Url::parse(text).map_err(|_| "this is not an absolute URL")?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() || url.port_or_known_default() == Some(0) {
        return Err("the URL must begin with `http://` or `https://` and a host");
    }
    if !url.username().is_empty() || url.password().is_some() || text.contains('@') {
        return Err("the URL has a user or password in it: fill a secret slot instead");
    }
    if url.fragment().is_some() {
        return Err("the URL has a fragment, which is never sent");
    }
    Ok(url)
}
