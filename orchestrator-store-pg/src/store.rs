//! The store as a whole.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use orchestrator_core::store::{CommitWatch, Store, StoreError, StoreInfo};
use orchestrator_core::types::Timestamp;
use sqlx::postgres::PgPool;
use sqlx::{Postgres, Transaction};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::committer::Lane;
use crate::control::Holders;
use crate::events::Append;
use crate::failure::Failure;
use crate::inbox::Ingest;
use crate::jobs::{Accept, Settle, Turns};
use crate::notices::{Notices, Told};
use crate::options::PgOptions;
use crate::requests::{Begins, Log};
use crate::session::{self, owned};

/// Everything durable in a Postgres database, for any number of nodes.
///
/// Clones are the same store. What was acknowledged is committed. Dropping the last one finishes what was handed in, in the
/// background; [`close`](orchestrator_core::store::Store::close) waits for it.
#[derive(Clone)]
pub struct PgStore {
    pub(crate) shared: Arc<Shared>,
    pub(crate) lanes: Arc<Lanes>,
}

/// The ways to what is written most.
pub(crate) struct Lanes {
    ending: CancellationToken,
    pub(crate) accept: Lane<Accept>,
    pub(crate) settle: Lane<Settle>,
    pub(crate) ingest: Lane<Ingest>,
    pub(crate) append: Lane<Append>,
    pub(crate) log: Lane<Log>,
    pub(crate) begin: Lane<Begins>,
    pub(crate) routes: Lane<Holders>,
}

/// What the parts of the store share.
pub(crate) struct Shared {
    pub(crate) pool: PgPool,
    pub(crate) health: Health,
    pub(crate) turns: Mutex<Turns>,
    pub(crate) tasks: TaskTracker,
    options: PgOptions,
    node: String,
    notices: Notices,
    pub(crate) ending: CancellationToken,
}

impl Shared {
    pub(crate) fn new(pool: PgPool, options: PgOptions, node: String) -> Self {
        Self {
            pool,
            health: Health::default(),
            turns: Mutex::default(),
            tasks: TaskTracker::new(),
            options,
            node,
            notices: Notices::default(),
            ending: CancellationToken::new(),
        }
    }

    /// The time for a statement; `None` is the database's own.
    pub(crate) fn now(&self) -> Option<i64> {
        self.options.clock.as_ref().map(|clock| clock.now().unix_ms())
    }

    /// How long rows may stay past their time, in milliseconds.
    pub(crate) fn linger_ms(&self) -> i64 {
        crate::rows::int(self.options.linger.as_millis())
    }

    /// Tells everybody.
    pub(crate) fn tell(&self, told: &Told) {
        self.notices.tell(told);
    }

    /// Tells this process only.
    pub(crate) fn tell_here(&self, told: &Told) {
        self.notices.tell_here(told);
    }

    /// A transaction about these workspaces.
    pub(crate) async fn begin(&self, context: &str) -> Result<Transaction<'static, Postgres>, Failure> {
        session::begin(&self.pool, context).await
    }
}

/// Whether the database takes writes, as far as is known.
#[derive(Debug, Default)]
pub(crate) struct Health(Mutex<Option<Instant>>);

impl Health {
    /// Notes that a write went through, or that one failed.
    pub(crate) fn note(&self, well: bool) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = (!well).then(Instant::now);
    }

    /// How long ago a write failed, if none went through since.
    fn ailing(&self) -> Option<Duration> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).map(|failed| failed.elapsed())
    }
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
        let lanes = Lanes {
            ending: shared.ending.clone(),
            accept: Lane::start(shared.clone()),
            settle: Lane::start(shared.clone()),
            ingest: Lane::start(shared.clone()),
            append: Lane::start(shared.clone()),
            log: Lane::start(shared.clone()),
            begin: Lane::start(shared.clone()),
            routes: Lane::start(shared.clone()),
        };
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

impl Drop for Lanes {
    fn drop(&mut self) {
        self.ending.cancel();
    }
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
        self.shared.pool.close().await;
    }
}
