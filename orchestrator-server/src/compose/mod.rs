//! One server in one process: the store, the keys, the engine and the listeners, put together.
//!
//! One rule: whatever starts here is ended by [`Running::shutdown`], in the order that loses nothing.

mod jwks;
mod listeners;
mod parts;
pub(crate) mod payloads;

use std::sync::Arc;
use std::time::Duration;

use orchestrator_core::Orchestrator;
use orchestrator_http::tokens::TokenAuthority;
use orchestrator_types::WorkspaceId;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::Server;
use crate::keys;
use crate::settings::Settings;
use listeners::{Addresses, Listeners};
pub(crate) use parts::to_vault;

/// How often the key sets of other issuers are read anew.
const REFRESH: Duration = Duration::from_secs(5 * 60);
/// How long the ops listener may take to end: its answers are short.
const OPS_END: Duration = Duration::from_secs(2);

/// A server that runs. Dropping it ends nothing: call [`shutdown`](Self::shutdown). Clones share it.
#[derive(Clone)]
pub struct Running {
    addresses: Addresses,
    engine: Orchestrator,
    tokens: Arc<TokenAuthority>,
    faces: Group,
    background: Group,
}

/// Tasks that end together.
#[derive(Clone, Default)]
struct Group {
    ending: CancellationToken,
    tasks: TaskTracker,
}

impl Group {
    async fn end(&self) {
        self.ending.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// Starts a server with these settings. Answers once everything listens and is ready to work.
///
/// Dropping the future may leave listeners bound until the runtime ends.
///
/// # Errors
/// A listener's address is taken, the store is in use or of another environment, or a key does not open. The message is
/// one line for the operator.
pub async fn start(settings: Settings) -> anyhow::Result<Running> {
    start_with(settings, &Server::new()).await
}

/// The same, with the connector kinds that were added to `server`.
pub(crate) async fn start_with(settings: Settings, server: &Server) -> anyhow::Result<Running> {
    let listeners = Listeners::bind(&settings.listen, settings.roles).await?;
    let parts = parts::build(&settings, &listeners.bound(), server).await?;
    let (faces, background) = (Group::default(), Group::default());
    let addresses = listeners.addresses(settings.roles);
    listeners.serve(&parts.api, &settings, &faces, &background);
    if !settings.issuers.is_empty() {
        background.tasks.spawn(refresh(parts.tokens.clone(), background.ending.clone()));
    }
    if let Some(vault) = parts.vault {
        let ending = background.ending.clone();
        background.tasks.spawn(async move { vault.keep(ending).await });
    }
    Ok(Running { addresses, engine: parts.engine, tokens: parts.tokens, faces, background })
}

impl Running {
    /// Where the exec API and the webhook ingress are, as `http://127.0.0.1:8080`; empty if this process serves neither.
    #[must_use]
    pub fn api_url(&self) -> &str {
        &self.addresses.api
    }

    /// Where the control API is; empty if this process does not serve it.
    #[must_use]
    pub fn control_url(&self) -> &str {
        &self.addresses.control
    }

    /// Where health and metrics are.
    #[must_use]
    pub fn ops_url(&self) -> &str {
        &self.addresses.ops
    }

    /// The engine.
    #[must_use]
    pub fn orchestrator(&self) -> &Orchestrator {
        &self.engine
    }

    /// A token of the install's own; `scope` is a list with spaces between.
    ///
    /// # Errors
    /// The audience, the scopes or the subject are none, a token of the exec API names no workspace of this environment,
    /// or it would live longer than an hour.
    pub fn mint(
        &self,
        audience: &str,
        subject: &str,
        workspace: Option<&WorkspaceId>,
        scope: &str,
        ttl: Duration,
    ) -> anyhow::Result<String> {
        keys::mint(&self.tokens, audience, subject, workspace, scope, ttl)
    }

    /// Stops: no new work; requests and jobs that run have up to `drain` to end, the rest is given back; then the store is
    /// closed. Readiness says so from the beginning. The settings' own drain bounds it as well.
    pub async fn shutdown(&self, drain: Duration) {
        let begun = Instant::now();
        // Streams and long polls end, the worker takes nothing more, `/readyz` says 503.
        self.engine.draining().cancel();
        if timeout(drain, self.faces.end()).await.is_err() {
            tracing::warn!("requests were still running at the end of the drain");
        }
        self.engine.shutdown(drain.saturating_sub(begun.elapsed())).await;
        if timeout(OPS_END, self.background.end()).await.is_err() {
            tracing::debug!("the ops listener was cut");
        }
    }
}

async fn refresh(tokens: Arc<TokenAuthority>, ending: CancellationToken) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(REFRESH) => tokens.refresh().await,
            () = ending.cancelled() => return,
        }
    }
}
