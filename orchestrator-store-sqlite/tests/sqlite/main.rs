//! What SQLite does: all that every store does, and what is its own.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod commits;
mod failures;
mod fixture;
mod opening;

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use orchestrator_conformance::ManualClock;
use orchestrator_conformance::store::StoreHarness;
use orchestrator_core::store::Store;
use orchestrator_store_sqlite::SqliteStore;
use tempfile::TempDir;

/// Stores in files of their own.
struct Files {
    clock: ManualClock,
    folder: TempDir,
    made: AtomicUsize,
    newest: Mutex<PathBuf>,
}

impl Files {
    fn new() -> Self {
        Self {
            clock: ManualClock::default(),
            folder: TempDir::new().unwrap(),
            made: AtomicUsize::new(0),
            newest: Mutex::default(),
        }
    }

    async fn open(&self) -> Arc<dyn Store> {
        let path = self.newest.lock().unwrap().clone();
        Arc::new(SqliteStore::open(path, self.clock.shared()).await.unwrap())
    }
}

#[async_trait]
impl StoreHarness for Files {
    async fn store(&self) -> Arc<dyn Store> {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        *self.newest.lock().unwrap() = self.folder.path().join(format!("{number}.db"));
        self.open().await
    }

    fn clock(&self) -> &ManualClock {
        &self.clock
    }

    async fn reopen(&self, store: Arc<dyn Store>) -> Option<Arc<dyn Store>> {
        store.close().await;
        Some(self.open().await)
    }
}

orchestrator_conformance::store_conformance!(Files::new());
orchestrator_conformance::store_conformance_under_faults!(Files::new());
