//! The queue suite holds for the queue in memory.

use std::sync::Arc;

use async_trait::async_trait;
use orchestrator_conformance::queue::QueueHarness;
use orchestrator_core::clock::SystemClock;
use orchestrator_core::queue::{JobQueue, MemoryQueue};

struct Memory(Arc<MemoryQueue>);

#[async_trait]
impl QueueHarness for Memory {
    async fn node(&self) -> Arc<dyn JobQueue> {
        self.0.clone()
    }

    async fn lose(&self) {
        self.0.lose();
    }
}

orchestrator_conformance::queue_conformance!(Memory(Arc::new(MemoryQueue::new(SystemClock::shared()))));
