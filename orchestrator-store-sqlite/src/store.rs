//! The store as a whole.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use orchestrator_core::store::{CommitWatch, Store, StoreError, StoreInfo};

use crate::SqliteStore;
use crate::batch::Batch;
use crate::op::{Failure, Op};

impl fmt::Debug for SqliteStore {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("SqliteStore").field("read_only", &self.writer().is_none()).finish_non_exhaustive()
    }
}

#[async_trait]
impl Store for SqliteStore {
    fn info(&self) -> StoreInfo {
        StoreInfo { name: "sqlite", durable: true }
    }

    fn attach(&self, watch: Arc<dyn CommitWatch>) {
        if let Some(writer) = self.writer() {
            writer.attach(watch);
        }
    }

    async fn ping(&self) -> Result<(), StoreError> {
        const READ: &str = "SELECT epoch FROM install";
        self.read(sqlx::query(READ).execute(self.readers())).await?;
        match self.writer() {
            Some(_) => self.write(Ping).await,
            None => Ok(()),
        }
    }

    async fn close(&self) {
        match self.writer() {
            Some(writer) => writer.close().await,
            None => self.readers().close().await,
        }
    }
}

/// Writes nothing: answered when the writer is alive.
struct Ping;

impl Op for Ping {
    type Answer = ();

    async fn apply(&self, _batch: &mut Batch<'_>) -> Result<(), Failure> {
        Ok(())
    }
}
