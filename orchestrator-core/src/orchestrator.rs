//! The public face of the engine: one method a service.

use std::sync::Arc;
use std::time::Duration;

use orchestrator_types::{Environment, ProductConfig, WorkspaceId};
use tokio_util::sync::CancellationToken;

use crate::access::{Identities, Operators};
use crate::audit::Audit;
use crate::builder::Builder;
use crate::config::Configs;
use crate::connector::Connectors;
use crate::engine::Engine;
use crate::error::Error;
use crate::events::Events;
use crate::execute::{Call, Executed, Executions, execute};
use crate::jobs::{DeadLetters, Jobs};
use crate::payload::Payloads;
use crate::secrets::{Keys, Secrets};
use crate::store::{Store, StoreError};
use crate::webhooks::{Inbox, Webhooks};
use crate::workspaces::Workspaces;

/// How the engine stands, for metrics and readiness.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Health {
    /// The queue, over all workspaces.
    pub queue: crate::store::QueueStats,
    /// Hints that the queue holds; `None` if there is no queue beside the store, or it is away.
    pub hints: Option<u64>,
    /// Whether there is a queue beside the store, and it does not answer.
    pub queue_away: bool,
    /// Jobs that this node runs now.
    pub running: u64,
    /// Settlements that came too late.
    pub stale_settlements: u64,
    /// Leases that were lost and made ready again by this node.
    pub lost_leases: u64,
    /// Request-log records that were dropped because the store was too far behind.
    pub dropped_records: u64,
    /// Connectors and callbacks whose policies remember something.
    pub lanes: usize,
    /// How many secret references could be had when this node last looked.
    pub secrets: crate::secrets::SecretCounts,
}

/// The engine. Clones share it.
///
/// Built by [`Orchestrator::builder`]; everything it does is under one of its services.
#[derive(Clone)]
pub struct Orchestrator(pub(crate) Arc<Engine>);

impl Orchestrator {
    /// Begins to put an engine together.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Makes a synchronous call through a connector under its policy.
    ///
    /// Dropping the future does not stop a call that has begun: it is finished and recorded.
    ///
    /// # Errors
    /// What was refused before anything was sent. How a call that was made ended is in the answer.
    pub async fn execute(&self, workspace: &WorkspaceId, call: Call) -> Result<Executed, Error> {
        execute(&self.0, workspace, call).await
    }

    /// Calls that were made.
    #[must_use]
    pub fn executions(&self) -> Executions<'_> {
        Executions(&self.0)
    }

    /// Durable jobs.
    #[must_use]
    pub fn jobs(&self) -> Jobs<'_> {
        Jobs(&self.0)
    }

    /// Jobs and deliveries that were given up.
    #[must_use]
    pub fn dead_letters(&self) -> DeadLetters<'_> {
        DeadLetters(&self.0)
    }

    /// The event streams.
    #[must_use]
    pub fn events(&self) -> Events<'_> {
        Events(&self.0)
    }

    /// The connectors of workspaces.
    #[must_use]
    pub fn connectors(&self) -> Connectors<'_> {
        Connectors(&self.0)
    }

    /// The webhook ingress.
    #[must_use]
    pub fn webhooks(&self) -> Webhooks<'_> {
        Webhooks(&self.0)
    }

    /// The webhook inbox.
    #[must_use]
    pub fn inbox(&self) -> Inbox<'_> {
        Inbox(&self.0)
    }

    /// Bodies that are stored apart.
    #[must_use]
    pub fn payloads(&self) -> Payloads<'_> {
        Payloads(&self.0)
    }

    /// Workspaces.
    #[must_use]
    pub fn workspaces(&self) -> Workspaces<'_> {
        Workspaces(&self.0)
    }

    /// Config versions and bundles.
    #[must_use]
    pub fn configs(&self) -> Configs<'_> {
        Configs(&self.0)
    }

    /// Stored secrets.
    #[must_use]
    pub fn secrets(&self) -> Secrets<'_> {
        Secrets(&self.0)
    }

    /// The install's keys.
    #[must_use]
    pub fn keys(&self) -> Keys<'_> {
        Keys(&self.0)
    }

    /// Operators and their roles.
    #[must_use]
    pub fn operators(&self) -> Operators<'_> {
        Operators(&self.0)
    }

    /// Service identities.
    #[must_use]
    pub fn identities(&self) -> Identities<'_> {
        Identities(&self.0)
    }

    /// The audit trail.
    #[must_use]
    pub fn audit(&self) -> Audit<'_> {
        Audit(&self.0)
    }

    /// The product's own documents of the active version, and its `ETag`.
    ///
    /// # Errors
    /// No such workspace, it is suspended, or the store.
    pub async fn product_config(&self, workspace: &WorkspaceId) -> Result<(ProductConfig, String), Error> {
        let live = self.0.serving(workspace).await?;
        let config = ProductConfig { version: live.version, settings: live.config.settings.clone() };
        Ok((config, live.etag.clone()))
    }

    /// Refuses a workspace that does not exist or is suspended: what the exec API asks first.
    ///
    /// # Errors
    /// No such workspace, it is suspended, or the store.
    pub async fn check_served(&self, workspace: &WorkspaceId) -> Result<(), Error> {
        self.0.serving(workspace).await.map(drop)
    }

    /// The connector kinds of this engine.
    #[must_use]
    pub fn connector_kinds(&self) -> Vec<orchestrator_types::ConnectorKindView> {
        self.0.kinds.views()
    }

    /// The environment that it serves.
    #[must_use]
    pub fn environment(&self) -> &Environment {
        &self.0.environment
    }

    /// The store that it stands on.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.0.store
    }

    /// Answers when everything that it needs does, unless it is draining.
    ///
    /// # Errors
    /// It is draining, or the store does not answer.
    pub async fn ready(&self) -> Result<(), Error> {
        if self.0.draining.is_cancelled() {
            return Err(Error::Unavailable(StoreError::unavailable("draining")));
        }
        Ok(self.0.store.ping().await?)
    }

    /// How it stands.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn health(&self) -> Result<Health, Error> {
        let worker = &self.0.worker;
        let hints = match &self.0.queue {
            Some(queue) => queue.depth().await,
            None => None,
        };
        Ok(Health {
            queue: self.0.store.queue_stats().await?,
            hints,
            queue_away: self.0.queue.as_ref().is_some_and(|queue| !queue.serves()),
            running: worker.running(),
            stale_settlements: worker.stale(),
            lost_leases: worker.lost(),
            dropped_records: self.0.recorder.dropped(),
            lanes: self.0.states.len(),
            secrets: self.0.secret_board.counts(),
        })
    }

    /// Cancelled when the engine begins to stop: streams and long polls end by it.
    #[must_use]
    pub fn draining(&self) -> CancellationToken {
        self.0.draining.clone()
    }

    /// Stops: no new work, what runs has up to `drain` to finish, the rest is given back; then the store is closed.
    pub async fn shutdown(&self, drain: Duration) {
        self.0.draining.cancel();
        self.0.worker_tasks.close();
        // The worker gives back by itself what is left after the drain; a little more is for writing that down.
        self.0.calls.close();
        let (worker, calls) = tokio::join!(
            tokio::time::timeout(drain.saturating_add(Duration::from_secs(5)), self.0.worker_tasks.wait()),
            tokio::time::timeout(drain, self.0.calls.wait()),
        );
        if worker.is_err() {
            tracing::warn!("the worker did not stop in time: its leases end by themselves");
        }
        if calls.is_err() {
            tracing::warn!(count = self.0.calls.len(), "calls did not end in time: their outcome is not recorded");
        }
        self.0.recorder.flush().await;
        self.0.stopping.cancel();
        self.0.tasks.close();
        if tokio::time::timeout(Duration::from_secs(5), self.0.tasks.wait()).await.is_err() {
            tracing::warn!("a background task did not stop in time");
        }
        self.0.store.close().await;
    }
}
