//! The payload suite holds for the store in memory.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use async_trait::async_trait;
use orchestrator_conformance::payload::PayloadHarness;
use orchestrator_core::payload::{MemoryPayloads, PayloadStore};

struct Memory;

#[async_trait]
impl PayloadHarness for Memory {
    async fn store(&self) -> Arc<dyn PayloadStore> {
        Arc::new(MemoryPayloads::default())
    }

    async fn reopen(&self, _store: Arc<dyn PayloadStore>) -> Option<Arc<dyn PayloadStore>> {
        None
    }
}

orchestrator_conformance::payload_conformance!(Memory);
orchestrator_conformance::payload_conformance_under_faults!(Memory);
