//! HashiCorp Vault and OpenBao as a source of secrets: the second key-value engine, read through the egress guard.
//!
//! The install logs in by a token in a file or by AppRole, renews its token ahead of its end, and logs in again when it was
//! revoked or has reached its last day. Both files are read anew at each login, so that whoever keeps them may change
//! them at any time. Which paths are whose is decided by the core
//! ([`VaultPrefix`](orchestrator_core::secrets::VaultPrefix)); what the install may read at all, by the policies of its
//! token in the vault.
//!
//! **The one rule:** while the vault is away it is asked ever more seldom, by one at a time, and everybody else is told at
//! once that it is. Nothing of a credential or of where the vault is shows in an error or a log line.

mod api;
mod backoff;
mod login;
mod read;
mod session;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::egress::EgressClient;
use api::Api;
use session::Sessions;

pub use api::VaultError;

/// So many reads are under way at once.
const READS: usize = 16;

/// Where a vault is, and how to log in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VaultOptions {
    /// Its address, as `https://vault.example:8200`.
    pub url: Url,
    /// The namespace that everything is in.
    pub namespace: Option<String>,
    /// How to log in.
    pub auth: VaultAuth,
}

/// How to log in to a vault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VaultAuth {
    /// By the token in this file.
    TokenFile(PathBuf),
    /// By AppRole.
    AppRole {
        /// Where the method is mounted: `approle`.
        mount: String,
        /// The role's id, which is no secret.
        role_id: String,
        /// The file of the secret id; none for a role that is bound to none.
        secret_id_file: Option<PathBuf>,
    },
}

/// A vault. Clones share the session.
#[derive(Clone)]
pub struct Vault(Arc<Inner>);

struct Inner {
    sessions: Sessions,
    reads: Semaphore,
}

impl Vault {
    /// A vault, reached by `client`. Asks nothing yet.
    #[must_use]
    pub fn new(client: EgressClient, options: VaultOptions) -> Self {
        let api = Api::new(client, options.url, options.namespace);
        Self(Arc::new(Inner { sessions: Sessions::new(api, options.auth), reads: Semaphore::new(READS) }))
    }

    /// Logs in if need be, and asks the vault whether the token is good.
    ///
    /// # Errors
    /// The vault does not answer or refuses, or a file with a credential cannot be read.
    pub async fn check(&self) -> Result<(), VaultError> {
        let session = self.0.sessions.session().await?;
        self.0.sessions.api.lookup(&session.token).await.map(drop)
    }

    /// Keeps the session alive until `ending` is cancelled.
    pub async fn keep(&self, ending: CancellationToken) {
        tokio::select! {
            () = self.0.sessions.keep() => {}
            () = ending.cancelled() => {}
        }
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Vault")
    }
}
