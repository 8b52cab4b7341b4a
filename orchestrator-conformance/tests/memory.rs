//! The store in memory behaves as the ports say.

use std::sync::Arc;

use async_trait::async_trait;
use orchestrator_conformance::ManualClock;
use orchestrator_conformance::store::StoreHarness;
use orchestrator_core::memory::MemoryStore;
use orchestrator_core::store::Store;

#[derive(Default)]
struct Memory(ManualClock);

#[async_trait]
impl StoreHarness for Memory {
    async fn store(&self) -> Arc<dyn Store> {
        Arc::new(MemoryStore::new(self.0.shared()))
    }

    fn clock(&self) -> &ManualClock {
        &self.0
    }

    async fn reopen(&self, _store: Arc<dyn Store>) -> Option<Arc<dyn Store>> {
        None
    }
}

orchestrator_conformance::store_conformance!(Memory::default());
orchestrator_conformance::store_conformance_under_faults!(Memory::default());
