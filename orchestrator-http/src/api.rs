//! What every handler shares.

use std::sync::Arc;
use std::time::Duration;

use orchestrator_core::Orchestrator;

use crate::auth::Liveness;
use crate::metrics::Metrics;
use crate::oauth::Failures;
use crate::tokens::{AssertionVerifier, TokenAuthority};
use crate::waiting::Waiting;

/// How much a request may bring and how long it may wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiLimits {
    /// Bytes of a JSON body.
    pub body_bytes: usize,
    /// Bytes of a webhook.
    pub ingress_bytes: usize,
    /// Bytes of a batch of jobs.
    pub batch_bytes: usize,
    /// Long polls and streams of one workspace at once.
    pub waiting_per_workspace: usize,
    /// How long issued tokens live: at most an hour.
    pub token_ttl: Duration,
}

impl Default for ApiLimits {
    fn default() -> Self {
        Self {
            body_bytes: 1024 * 1024,
            ingress_bytes: 512 * 1024,
            batch_bytes: 8 * 1024 * 1024,
            waiting_per_workspace: 1_000,
            token_ttl: Duration::from_secs(3600),
        }
    }
}

/// What every handler shares. Clones share it too.
#[derive(Clone)]
pub struct Api(Arc<Inner>);

struct Inner {
    engine: Orchestrator,
    tokens: Arc<TokenAuthority>,
    metrics: Arc<Metrics>,
    limits: ApiLimits,
    liveness: Liveness,
    failures: Failures,
    assertions: AssertionVerifier,
    waiting: Arc<Waiting>,
}

impl Api {
    /// The HTTP face of `engine`, whose callers `tokens` decides about.
    #[must_use]
    pub fn new(engine: Orchestrator, tokens: Arc<TokenAuthority>, metrics: Arc<Metrics>, limits: ApiLimits) -> Self {
        let waiting = Waiting::new(limits.waiting_per_workspace);
        Self(Arc::new(Inner {
            engine,
            tokens,
            metrics,
            limits,
            liveness: Liveness::default(),
            failures: Failures::default(),
            assertions: AssertionVerifier::default(),
            waiting,
        }))
    }

    /// The engine.
    #[must_use]
    pub fn engine(&self) -> &Orchestrator {
        &self.0.engine
    }

    /// Who decides about tokens.
    #[must_use]
    pub fn tokens(&self) -> &TokenAuthority {
        &self.0.tokens
    }

    /// Where requests are counted.
    #[must_use]
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.0.metrics
    }

    /// How much a request may bring.
    #[must_use]
    pub fn limits(&self) -> &ApiLimits {
        &self.0.limits
    }

    pub(crate) fn liveness(&self) -> &Liveness {
        &self.0.liveness
    }

    pub(crate) fn failures(&self) -> &Failures {
        &self.0.failures
    }

    pub(crate) fn assertions(&self) -> &AssertionVerifier {
        &self.0.assertions
    }

    pub(crate) fn waiting(&self) -> &Arc<Waiting> {
        &self.0.waiting
    }
}
