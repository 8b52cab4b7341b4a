//! What Postgres does: all that every store does, and what is its own.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod failures;
mod fixture;
mod nodes;
mod opening;
mod partitions;
mod plans;
mod tenancy;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use orchestrator_conformance::ManualClock;
use orchestrator_conformance::servers::{PostgresServer, postgres};
use orchestrator_conformance::store::StoreHarness;
use orchestrator_core::store::Store;
use orchestrator_store_pg::{PgOptions, PgStore};
use tokio::sync::OnceCell;

/// Stores in databases of their own.
struct Databases {
    clock: ManualClock,
    newest: Mutex<String>,
}

impl Databases {
    fn new() -> Self {
        Self { clock: ManualClock::default(), newest: Mutex::default() }
    }

    async fn open(&self) -> Arc<dyn Store> {
        let url = self.newest.lock().unwrap().clone();
        let options = PgOptions::parse(&url).unwrap().clock(self.clock.shared()).linger(Duration::ZERO);
        Arc::new(PgStore::open(options.max_connections(6)).await.unwrap())
    }
}

/// A new database with the schema in it.
async fn fresh_database() -> String {
    static TEMPLATE: OnceCell<String> = OnceCell::const_new();
    let template = TEMPLATE.get_or_init(|| async {
        let url = tokio::task::spawn_blocking(postgres::fresh_database).await.unwrap();
        // With the partitions of the clock's first days, which each test would make for itself.
        let options = PgOptions::parse(&url).unwrap().clock(ManualClock::default().shared());
        PgStore::open(options).await.unwrap().close().await;
        url
    });
    let name = template.await.rsplit('/').next().unwrap().to_owned();
    // A server that was given is used by others as well: nothing is copied there.
    let copy = move || match std::env::var(postgres::GIVEN) {
        Ok(_) => postgres::fresh_database(),
        Err(_) => PostgresServer::shared().copy_of(&name),
    };
    tokio::task::spawn_blocking(copy).await.unwrap()
}

#[async_trait]
impl StoreHarness for Databases {
    async fn store(&self) -> Arc<dyn Store> {
        *self.newest.lock().unwrap() = fresh_database().await;
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

orchestrator_conformance::store_conformance!(Databases::new());
orchestrator_conformance::store_conformance_under_faults!(Databases::new());
