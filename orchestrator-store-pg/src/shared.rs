//! What the parts of the store share: connections, time, who is told, and whether writes go through.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use sqlx::postgres::PgPool;
use sqlx::{Postgres, Transaction};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::failure::Failure;
use crate::kept::Kept;
use crate::notices::{Notices, Told};
use crate::options::PgOptions;
use crate::session;

/// What the parts of the store share.
pub(crate) struct Shared {
    pub(crate) pool: PgPool,
    pub(crate) health: Health,
    pub(crate) turns: Mutex<Turns>,
    /// The connection of the claims.
    pub(crate) claiming: tokio::sync::Mutex<Kept>,
    pub(crate) tasks: TaskTracker,
    pub(crate) options: PgOptions,
    pub(crate) node: String,
    pub(crate) notices: Notices,
    pub(crate) ending: CancellationToken,
}

impl Shared {
    pub(crate) fn new(pool: PgPool, options: PgOptions, node: String) -> Self {
        Self {
            pool,
            health: Health::default(),
            turns: Mutex::default(),
            claiming: tokio::sync::Mutex::default(),
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
    pub(crate) fn ailing(&self) -> Option<Duration> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).map(|failed| failed.elapsed())
    }
}

/// Whose turn it is: the workspace that this node served last, in each queue.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    served: String,
    quarantined: String,
}

impl Turns {
    /// Of the queue of those that lost a lease, or of the other.
    pub(crate) fn of(&mut self, quarantine: bool) -> &mut String {
        if quarantine { &mut self.quarantined } else { &mut self.served }
    }
}
