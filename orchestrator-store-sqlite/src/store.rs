//! The store as a whole.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use orchestrator_core::store::{CommitWatch, Store, StoreError, StoreInfo};
use orchestrator_core::types::Timestamp;

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

    async fn now(&self) -> Result<Timestamp, StoreError> {
        Ok(Self::now(self))
    }

    async fn ping(&self) -> Result<(), StoreError> {
        const READ: &str = "SELECT epoch FROM install";
        self.read(sqlx::query(READ).execute(self.readers())).await?;
        match self.writer() {
            Some(writer) => {
                let ailing = writer.ailing();
                if ailing.is_some_and(|since| since < UNWELL) {
                    return Err(StoreError::unavailable("a write failed just now"));
                }
                self.write(Ping { probe: ailing.is_some() }).await?;
                if ailing.is_some() {
                    writer.recovered();
                }
                Ok(())
            }
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

/// After a failed write the store is not asked for more for so long: what is almost full may take a small write and fail the
/// next.
const UNWELL: Duration = Duration::from_secs(2);

/// Answered when the writer is alive. It writes only after a failure, to see that the database takes writes again: a full
/// disk is still read.
struct Ping {
    probe: bool,
}

impl Op for Ping {
    type Answer = ();

    async fn apply(&self, batch: &mut Batch<'_>) -> Result<(), Failure> {
        const PROBE: &str = "UPDATE install SET epoch = epoch";
        if self.probe {
            sqlx::query(PROBE).execute(&mut *batch.conn).await?;
        }
        Ok(())
    }
}
