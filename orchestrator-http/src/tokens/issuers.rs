//! Issuers other than this install: their key sets, from a file or by URL.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::Uri;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::claims::Audience;
use super::jwks::{VerifyingKey, read_set};

/// Unknown key ids cause at most one fetch in this time, whoever sends them.
const REFETCH_AFTER: Duration = Duration::from_secs(30);
const FETCH_DEADLINE: Duration = Duration::from_secs(5);

/// Where an issuer's key set (JWKS) is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IssuerKeys {
    /// In a file, read at the start and on each [`refresh`](super::TokenAuthority::refresh).
    File(PathBuf),
    /// At a URL, fetched through the [`JwksFetcher`].
    Url(Uri),
}

/// An issuer whose tokens are taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerConfig {
    /// The exact `iss` of its tokens.
    pub issuer: String,
    /// The APIs that it may issue tokens for.
    pub audiences: Vec<Audience>,
    /// Its keys.
    pub keys: IssuerKeys,
}

/// Why an issuer cannot be configured.
#[derive(Debug, thiserror::Error)]
pub enum IssuerError {
    /// It is configured twice, or has the name of an install: tokens of another environment are never taken.
    #[error("the issuer `{0}` is configured twice, or named like an install of this server")]
    Twice(String),
    /// It may issue for nobody.
    #[error("the issuer `{0}` has no audience")]
    NoAudience(String),
    /// Its key file cannot be read, or holds no usable key.
    #[error("the key set of the issuer `{0}` cannot be read or holds no usable key")]
    Keys(String),
    /// It has a URL and there is nobody to fetch it.
    #[error("the key set of the issuer `{0}` is a URL, and this install fetches none")]
    NoFetcher(String),
}

/// A key set could not be fetched.
#[derive(Debug, thiserror::Error)]
#[error("the key set could not be fetched")]
pub struct JwksFetchError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// Fetches key sets. Implementations go through the egress guard, follow no redirect and bound the body.
#[async_trait]
pub trait JwksFetcher: Send + Sync + 'static {
    /// The bytes at `url`. Dropping the future gives up the fetch.
    ///
    /// # Errors
    /// There are none to be had.
    async fn fetch(&self, url: &Uri) -> Result<Bytes, JwksFetchError>;
}

type KeySet = Arc<HashMap<String, VerifyingKey>>;

/// An issuer at run time.
pub(super) struct Issuer {
    config: IssuerConfig,
    fetcher: Option<Arc<dyn JwksFetcher>>,
    keys: RwLock<KeySet>,
    last_fetch: Mutex<Option<Instant>>,
}

impl Issuer {
    pub(super) fn new(config: IssuerConfig, fetcher: Option<Arc<dyn JwksFetcher>>) -> Result<Self, IssuerError> {
        let name = || config.issuer.clone();
        if config.audiences.is_empty() {
            return Err(IssuerError::NoAudience(name()));
        }
        let keys = match &config.keys {
            IssuerKeys::File(path) => std::fs::read(path)
                .ok()
                .and_then(|text| read_set(&text))
                .filter(|keys| !keys.is_empty())
                .ok_or_else(|| IssuerError::Keys(name()))?,
            IssuerKeys::Url(_) if fetcher.is_none() => return Err(IssuerError::NoFetcher(name())),
            IssuerKeys::Url(_) => HashMap::new(),
        };
        Ok(Self { config, fetcher, keys: RwLock::new(Arc::new(keys)), last_fetch: Mutex::new(None) })
    }

    pub(super) fn audiences(&self) -> &[Audience] {
        &self.config.audiences
    }

    fn known(&self, kid: &str) -> Option<VerifyingKey> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).get(kid).cloned()
    }

    /// The key of this id. Fetches the set if it is unknown and none was fetched lately.
    pub(super) async fn key(&self, kid: &str) -> Option<VerifyingKey> {
        if let Some(key) = self.known(kid) {
            return Some(key);
        }
        let IssuerKeys::Url(url) = &self.config.keys else { return None };
        let mut last_fetch = self.last_fetch.lock().await;
        // Whoever waited for the lock may find that the one before has brought it.
        if let Some(key) = self.known(kid) {
            return Some(key);
        }
        if last_fetch.is_some_and(|at| at.elapsed() < REFETCH_AFTER) {
            return None;
        }
        *last_fetch = Some(Instant::now());
        self.fetch(url).await;
        self.known(kid)
    }

    /// Reads the set anew; a set that cannot be had leaves the old one. Answers whether keys went away or changed
    /// hands, so that what they verified must be verified again.
    pub(super) async fn refresh(self: &Arc<Self>) -> bool {
        match &self.config.keys {
            IssuerKeys::Url(url) => {
                let mut last_fetch = self.last_fetch.lock().await;
                *last_fetch = Some(Instant::now());
                self.fetch(url).await
            }
            IssuerKeys::File(path) => {
                let path = path.clone();
                let text = tokio::task::spawn_blocking(move || std::fs::read(path)).await;
                match text {
                    Ok(Ok(text)) => self.replace(&text),
                    Ok(Err(_)) | Err(_) => {
                        tracing::warn!(issuer = self.config.issuer, "the key file of an issuer cannot be read");
                        false
                    }
                }
            }
        }
    }

    async fn fetch(&self, url: &Uri) -> bool {
        let Some(fetcher) = &self.fetcher else { return false };
        match timeout(FETCH_DEADLINE, fetcher.fetch(url)).await {
            Ok(Ok(text)) => self.replace(&text),
            Ok(Err(_)) | Err(_) => {
                tracing::warn!(issuer = self.config.issuer, "the key set of an issuer cannot be fetched");
                false
            }
        }
    }

    fn replace(&self, text: &[u8]) -> bool {
        let Some(keys) = read_set(text).filter(|keys| !keys.is_empty()) else {
            tracing::warn!(issuer = self.config.issuer, "the key set of an issuer holds no usable key");
            return false;
        };
        let keys = Arc::new(keys);
        let old = std::mem::replace(&mut *self.keys.write().unwrap_or_else(PoisonError::into_inner), keys.clone());
        old.iter().any(|(kid, key)| keys.get(kid).is_none_or(|now| !now.is(key)))
    }
}
