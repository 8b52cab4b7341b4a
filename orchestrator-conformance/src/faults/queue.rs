//! A queue that is away, or forgets; and the hints beside it, which may be lost.

use std::sync::Arc;

use async_trait::async_trait;
use orchestrator_core::queue::{ConfigNotices, Finding, JobHint, JobQueue, QueueAway, SeenKeys, Take};
use orchestrator_core::store::KeyRoute;
use orchestrator_core::types::{IdempotencyKey, WorkspaceId};

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

/// A memory of keys that forgets by a plan: whatever is struck of the methods `seen` and `note` is as if it were unknown.
pub struct FaultySeenKeys {
    inner: Arc<dyn SeenKeys>,
    faults: Faults,
}

impl FaultySeenKeys {
    /// Puts the faults over a memory of keys.
    #[must_use]
    pub fn new(inner: Arc<dyn SeenKeys>, faults: Faults) -> Self {
        Self { inner, faults }
    }
}

#[async_trait]
impl SeenKeys for FaultySeenKeys {
    async fn seen(&self, workspace: &WorkspaceId, route: KeyRoute, key: &IdempotencyKey) -> bool {
        !self.faults.falls("seen") && self.inner.seen(workspace, route, key).await
    }

    fn note(&self, workspace: &WorkspaceId, route: KeyRoute, key: &IdempotencyKey) {
        if !self.faults.falls("note") {
            self.inner.note(workspace, route, key);
        }
    }
}

/// Notices that are lost by a plan: whatever is struck of the method `tell` is heard by nobody.
pub struct FaultyNotices {
    inner: Arc<dyn ConfigNotices>,
    faults: Faults,
}

impl FaultyNotices {
    /// Puts the faults over notices.
    #[must_use]
    pub fn new(inner: Arc<dyn ConfigNotices>, faults: Faults) -> Self {
        Self { inner, faults }
    }
}

#[async_trait]
impl ConfigNotices for FaultyNotices {
    async fn tell(&self) {
        if !self.faults.falls("tell") {
            self.inner.tell().await;
        }
    }

    async fn heard(&self) {
        self.inner.heard().await;
    }
}
