//! The five calls that are made of a vault.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use orchestrator_core::secrets::Secret;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::time::timeout;
use url::Url;

use crate::egress::{BodyLimit, EgressClient, EgressLimits};

/// One call; the resolver waits no longer than five seconds for the whole.
const ANSWERS: Duration = Duration::from_secs(4);
const LIMITS: EgressLimits = EgressLimits { success: BodyLimit::Whole(1 << 20), other: BodyLimit::Beginning(4096) };
const TOKEN: HeaderName = HeaderName::from_static("x-vault-token");
const NAMESPACE: HeaderName = HeaderName::from_static("x-vault-namespace");
/// What a vault wants to see of every caller, so that no page in a browser can be one.
const REQUEST: HeaderName = HeaderName::from_static("x-vault-request");

/// Why a vault does not give what it was asked for. Tells nothing of a credential, nor where the vault is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VaultError {
    /// No answer, or one that is none.
    #[error("the vault does not answer")]
    Away,
    /// The guard does not let calls reach it.
    #[error("the vault's address is one that calls may not reach: allow it in `secrets.vault_allow`")]
    Forbidden,
    /// It is sealed, or not there to be asked.
    #[error("the vault is sealed or in standby")]
    Sealed,
    /// It refuses the token, the role, or the path.
    #[error("the vault refuses: the token or role is not good, or may not read this")]
    Refused,
    /// It has no such thing.
    #[error("the vault has nothing there")]
    Missing,
    /// A file with a credential cannot be read.
    #[error("the file of the vault's token or secret id cannot be read, or is empty")]
    Credential,
    /// The answer is not of the second key-value engine, or the field is no text.
    #[error("what the vault holds there is no text of its second key-value engine")]
    Content,
}

impl VaultError {
    /// In one word, for the log.
    pub(super) fn cause(self) -> &'static str {
        match self {
            Self::Away => "away",
            Self::Forbidden => "forbidden",
            Self::Sealed => "sealed",
            Self::Refused => "refused",
            Self::Missing => "missing",
            Self::Credential => "credential",
            Self::Content => "content",
        }
    }

    /// Whether it is the vault that is not well, rather than what was asked.
    pub(super) fn is_of_the_vault(self) -> bool {
        matches!(self, Self::Away | Self::Forbidden | Self::Sealed)
    }
}

/// What a login or a renewal gives.
#[derive(Deserialize)]
pub(super) struct Grant {
    pub(super) client_token: String,
    /// In seconds; 0 is without end.
    pub(super) lease_duration: u64,
    pub(super) renewable: bool,
}

#[derive(Deserialize)]
struct Granted {
    auth: Grant,
}

/// What a token says of itself.
#[derive(Deserialize)]
pub(super) struct TokenFacts {
    /// In seconds; 0 is without end.
    pub(super) ttl: u64,
    #[serde(default)]
    pub(super) renewable: bool,
}

#[derive(Deserialize)]
struct Told<T> {
    data: T,
}

/// A vault's API under one address and namespace.
pub(super) struct Api {
    client: EgressClient,
    base: Url,
    namespace: Option<String>,
}

impl Api {
    pub(super) fn new(client: EgressClient, base: Url, namespace: Option<String>) -> Self {
        Self { client, base, namespace }
    }

    pub(super) async fn login(&self, mount: &str, role: &str, secret: Option<&Secret>) -> Result<Grant, VaultError> {
        let mut body = json!({"role_id": role});
        if let Some(secret) = secret {
            body["secret_id"] = secret.expose().into();
        }
        let body = serde_json::to_vec(&body).map_err(|_| VaultError::Credential)?;
        let granted: Granted = self.ask(Method::POST, &format!("auth/{mount}/login"), None, None, body).await?;
        Ok(granted.auth)
    }

    pub(super) async fn renew(&self, token: &Secret) -> Result<Grant, VaultError> {
        let body = b"{}".to_vec();
        let granted: Granted = self.ask(Method::POST, "auth/token/renew-self", None, Some(token), body).await?;
        Ok(granted.auth)
    }

    pub(super) async fn lookup(&self, token: &Secret) -> Result<TokenFacts, VaultError> {
        let told: Told<TokenFacts> =
            self.ask(Method::GET, "auth/token/lookup-self", None, Some(token), Vec::new()).await?;
        Ok(told.data)
    }

    /// Reads a path as the API has it.
    pub(super) async fn read<T: DeserializeOwned>(
        &self,
        path: &str,
        version: Option<u64>,
        token: &Secret,
    ) -> Result<T, VaultError> {
        let told: Told<T> = self.ask(Method::GET, path, version, Some(token), Vec::new()).await?;
        Ok(told.data)
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        version: Option<u64>,
        token: Option<&Secret>,
        body: Vec<u8>,
    ) -> Result<T, VaultError> {
        let url = self.url(path, version)?;
        let headers = self.headers(token)?;
        let sent = self.client.send(method, url, headers, Bytes::from(body), LIMITS);
        let answer = match timeout(ANSWERS, sent).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) if error.kind == orchestrator_core::connector::CallErrorKind::DestinationForbidden => {
                return Err(VaultError::Forbidden);
            }
            Ok(Err(_)) | Err(_) => return Err(VaultError::Away),
        };
        match answer.status {
            status if status.is_success() => serde_json::from_slice(&answer.body).map_err(|_| VaultError::Content),
            StatusCode::NOT_FOUND => Err(VaultError::Missing),
            StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(VaultError::Refused),
            StatusCode::SERVICE_UNAVAILABLE => Err(VaultError::Sealed),
            // A standby that sends to its leader: redirects are not followed.
            status if status.is_redirection() => Err(VaultError::Sealed),
            _ => Err(VaultError::Away),
        }
    }

    fn url(&self, path: &str, version: Option<u64>) -> Result<Url, VaultError> {
        let mut url = self.base.clone();
        let below = ["v1"].into_iter().chain(path.split('/'));
        url.path_segments_mut().map_err(|()| VaultError::Away)?.pop_if_empty().extend(below);
        if let Some(version) = version {
            url.query_pairs_mut().append_pair("version", &version.to_string());
        }
        Ok(url)
    }

    fn headers(&self, token: Option<&Secret>) -> Result<HeaderMap, VaultError> {
        let mut headers = HeaderMap::new();
        headers.insert(REQUEST, HeaderValue::from_static("true"));
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(token) = token {
            let mut value = HeaderValue::from_str(token.expose()).map_err(|_| VaultError::Credential)?;
            value.set_sensitive(true);
            headers.insert(TOKEN, value);
        }
        if let Some(namespace) = &self.namespace {
            headers.insert(NAMESPACE, HeaderValue::from_str(namespace).map_err(|_| VaultError::Refused)?);
        }
        Ok(headers)
    }
}
