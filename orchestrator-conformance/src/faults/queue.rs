//! A queue that is away, or forgets.

use std::sync::Arc;

use async_trait::async_trait;
use orchestrator_core::queue::{Finding, JobHint, JobQueue, QueueAway, Take};
use orchestrator_core::types::WorkspaceId;

use super::Faults;

/// A queue whose calls fail by a plan, as methods of the port's names. Hints whose answer was lost are lost.
pub struct FaultyQueue {
    inner: Arc<dyn JobQueue>,
    faults: Faults,
}

impl FaultyQueue {
    /// Puts the faults over a queue.
    #[must_use]
    pub fn new(inner: Arc<dyn JobQueue>, faults: Faults) -> Self {
        Self { inner, faults }
    }
}

fn away() -> QueueAway {
    QueueAway::new("a fault was injected")
}

#[async_trait]
impl JobQueue for FaultyQueue {
    async fn offer(&self, hints: &[JobHint]) -> Result<(), QueueAway> {
        self.faults.strike("offer", self.inner.offer(hints), away).await
    }

    async fn take(&self, take: &Take) -> Result<Vec<JobHint>, QueueAway> {
        self.faults.strike("take", self.inner.take(take), away).await
    }

    async fn forget(&self, workspace: &WorkspaceId) -> Result<(), QueueAway> {
        self.faults.strike("forget", self.inner.forget(workspace), away).await
    }

    async fn depth(&self) -> Result<u64, QueueAway> {
        self.faults.strike("depth", self.inner.depth(), away).await
    }

    async fn check(&self) -> Result<Vec<Finding>, QueueAway> {
        self.faults.strike("check", self.inner.check(), away).await
    }
}
