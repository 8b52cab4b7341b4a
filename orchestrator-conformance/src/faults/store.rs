//! A store that fails.

use std::sync::Arc;

use async_trait::async_trait;
use orchestrator_core::queue::JobHint;
use orchestrator_core::store::{Around, AroundCall, CommitWatch, Store, StoreCall, StoreError};
use orchestrator_core::types::WorkspaceId;

use super::Faults;

/// A store whose calls fail by a plan, as methods of its ports' names. [`info`](Store::info), [`attach`](Store::attach) and
/// [`close`](Store::close) do not fail; but those that are attached miss whatever hints the plan strikes, as the methods
/// `touched`, `ready` and `control`: a hint may always be lost.
pub struct FaultyStore;

impl FaultyStore {
    /// Puts the faults over a store.
    #[must_use]
    #[allow(clippy::new_ret_no_self, reason = "a decorated store is a store; which one is nobody's concern")]
    pub fn new(store: Arc<dyn Store>, faults: Faults) -> Arc<dyn Store> {
        Arc::new(Around::new(store, Struck(faults)))
    }
}

struct Struck(Faults);

#[async_trait]
impl AroundCall for Struck {
    async fn around<T: Send + 'static>(&self, method: &'static str, call: StoreCall<'_, T>) -> Result<T, StoreError> {
        self.0.strike(method, call, || StoreError::unavailable("a fault was injected")).await
    }

    fn watch(&self, watch: Arc<dyn CommitWatch>) -> Arc<dyn CommitWatch> {
        Arc::new(HardOfHearing { watch, faults: self.0.clone() })
    }
}

struct HardOfHearing {
    watch: Arc<dyn CommitWatch>,
    faults: Faults,
}

impl CommitWatch for HardOfHearing {
    fn touched(&self, workspace: &WorkspaceId) {
        if !self.faults.falls("touched") {
            self.watch.touched(workspace);
        }
    }

    fn ready(&self, hints: &[JobHint]) {
        if !self.faults.falls("ready") {
            self.watch.ready(hints);
        }
    }

    fn control(&self) {
        if !self.faults.falls("control") {
            self.watch.control();
        }
    }

    fn wants_hints(&self) -> bool {
        self.watch.wants_hints()
    }
}
