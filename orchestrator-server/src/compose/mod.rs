//! One server in one process: the store, the keys, the engine and the listeners, put together.
//!
//! One rule: whatever starts here is ended by [`Running::shutdown`], in the order that loses nothing.

mod jwks;
mod listeners;
mod parts;

use std::sync::Arc;
use std::time::Duration;

use orchestrator_core::Orchestrator;
use orchestrator_http::tokens::TokenAuthority;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use url::Url;

use crate::roles::Roles;
use crate::settings::Settings;
use listeners::Listeners;

/// How often the key sets of other issuers are read anew.
const REFRESH: Duration = Duration::from_secs(5 * 60);
/// How long the ops listener may take to end: its answers are short.
const OPS_END: Duration = Duration::from_secs(2);

/// A server that runs. Dropping it ends nothing: call [`shutdown`](Self::shutdown).
#[derive(Clone)]
pub struct Running {
    /// Where the exec API and the webhook ingress are, if this process serves one of them.
    pub api_url: Option<Url>,
    /// Where the control API is, if this process serves it.
    pub control_url: Option<Url>,
    /// Where health and metrics are.
    pub ops_url: Url,
    /// The engine.
    pub orchestrator: Orchestrator,
    /// Who decides about tokens, and issues the install's own.
    pub tokens: Arc<TokenAuthority>,
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
pub async fn start(settings: &Settings, roles: Roles) -> anyhow::Result<Running> {
    let listeners = Listeners::bind(&settings.listen, roles).await?;
    let parts = parts::build(settings, roles, &listeners.addresses()).await?;
    let (faces, background) = (Group::default(), Group::default());
    let (api_url, control_url, ops_url) = listeners.urls(roles);
    listeners.serve(&parts.api, &settings.edge_limits, roles, &faces, &background);
    let tokens = parts.tokens;
    if !settings.issuers.is_empty() {
        background.tasks.spawn(refresh(tokens.clone(), background.ending.clone()));
    }
    Ok(Running { api_url, control_url, ops_url, orchestrator: parts.engine, tokens, faces, background })
}

impl Running {
    /// Stops: no new work; requests and jobs that run have up to `drain` to end, the rest is given back; then the store is
    /// closed. Readiness says so from the beginning. The settings' own drain bounds it as well.
    pub async fn shutdown(&self, drain: Duration) {
        let begun = Instant::now();
        // Streams and long polls end, the worker takes nothing more, `/readyz` says 503.
        self.orchestrator.draining().cancel();
        if tokio::time::timeout(drain, self.faces.end()).await.is_err() {
            tracing::warn!("requests were still running at the end of the drain");
        }
        self.orchestrator.shutdown(drain.saturating_sub(begun.elapsed())).await;
        if tokio::time::timeout(OPS_END, self.background.end()).await.is_err() {
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
