//! The store as a whole.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use orchestrator_core::store::{CommitWatch, Store, StoreError, StoreInfo};
use orchestrator_core::types::Timestamp;
use tokio::time::sleep;

use crate::failure::Failure;
use crate::kept::Kept;
use crate::lanes::Lanes;
use crate::session::owned;
use crate::shared::Shared;

/// Everything durable in a Postgres database, for any number of nodes.
///
/// Clones are the same store. What was acknowledged is committed. Dropping the last one finishes what was handed in, in the
/// background; [`close`](orchestrator_core::store::Store::close) waits for it.
#[derive(Clone)]
pub struct PgStore {
    pub(crate) shared: Arc<Shared>,
    pub(crate) lanes: Arc<Lanes>,
}

/// After a failed write the store is not asked for more for so long: what is almost full may take a small write and fail the
/// next.
const UNWELL: Duration = Duration::from_secs(2);
/// How often partitions are looked after.
const PARTITIONS: Duration = Duration::from_secs(60 * 60);
/// For so many days ahead there are partitions.
const AHEAD: i32 = 2;

impl PgStore {
    pub(crate) async fn start(shared: Arc<Shared>) -> Self {
        const AGAIN: &str = "SELECT take_up_again()";
        let lanes = Lanes::start(&shared);
        let store = Self { shared: shared.clone(), lanes: Arc::new(lanes) };
        // What could not be read has another chance: this version may know it.
        if let Err(error) = sqlx::query(AGAIN).execute(&shared.pool).await {
            tracing::warn!(?error, "jobs that were set aside are left there");
        }
        if let Err(error) = store.keep_partitions().await {
            tracing::warn!(%error, "partitions are not looked after yet");
        }
        let (sender, hearer, keeper) = (shared.clone(), shared.clone(), shared);
        let ending = keeper.ending.clone();
        tokio::spawn(async move { sender.notices.send(&sender.pool, &sender.node, &sender.ending).await });
        tokio::spawn(async move { hearer.notices.hear(&hearer.pool, &hearer.node, &hearer.ending).await });
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    () = sleep(PARTITIONS.mul_f64(0.75 + fastrand::f64() / 4.0)) => {}
                    () = ending.cancelled() => return,
                }
                if let Err(error) = keep_partitions(&keeper).await {
                    tracing::warn!(?error, "partitions are not looked after now");
                }
            }
        });
        store
    }

    /// Makes the partitions of the days to come, and drops what no workspace needs any more. Answers how many were dropped.
    /// It is done each hour by itself.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn keep_partitions(&self) -> Result<u32, StoreError> {
        let shared = self.shared.clone();
        let dropped = owned(async move { keep_partitions(&shared).await }).await?;
        Ok(u32::try_from(dropped).unwrap_or_default())
    }
}

async fn keep_partitions(shared: &Shared) -> Result<i32, Failure> {
    const KEEP: &str = "SELECT keep_partitions($1, $2)";
    Ok(sqlx::query_scalar(KEEP).bind(shared.now()).bind(AHEAD).fetch_one(&shared.pool).await?)
}

impl fmt::Debug for PgStore {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("PgStore").field("options", &self.shared.options).finish_non_exhaustive()
    }
}

#[async_trait]
impl Store for PgStore {
    fn info(&self) -> StoreInfo {
        StoreInfo { name: "postgres", durable: true }
    }

    fn attach(&self, watch: Arc<dyn CommitWatch>) {
        self.shared.notices.attach(watch);
    }

    async fn now(&self) -> Result<Timestamp, StoreError> {
        const NOW: &str = "SELECT coalesce($1, (extract(epoch FROM clock_timestamp()) * 1000)::bigint)";
        let shared = self.shared.clone();
        let now: i64 =
            owned(async move { Ok(sqlx::query_scalar(NOW).bind(shared.now()).fetch_one(&shared.pool).await?) }).await?;
        Ok(Timestamp::from_unix_ms(now))
    }

    async fn ping(&self) -> Result<(), StoreError> {
        const READ: &str = "SELECT epoch FROM install";
        const PROBE: &str = "UPDATE install SET epoch = epoch";
        let ailing = self.shared.health.ailing();
        if ailing.is_some_and(|since| since < UNWELL) {
            return Err(StoreError::unavailable("a write failed just now"));
        }
        // A full disk is still read: after a failure it is a write that tells.
        let statement = if ailing.is_some() { PROBE } else { READ };
        let shared = self.shared.clone();
        owned(async move {
            sqlx::query(statement).execute(&shared.pool).await?;
            if ailing.is_some() {
                shared.health.note(true);
            }
            Ok(())
        })
        .await
    }

    async fn close(&self) {
        self.shared.ending.cancel();
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
        // The pool waits for all of its connections.
        *self.shared.claiming.lock().await = Kept::default();
        self.shared.pool.close().await;
    }
}
