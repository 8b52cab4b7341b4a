//! The connections of one connector: so many at once, and those that are idle kept for the next message.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use orchestrator_core::connector::{CallError, CallErrorKind, Sent};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::connection::{Connection, Login};
use super::settings::SmtpSettings;
use crate::egress::EgressClient;

/// Servers end idle connections after minutes.
const IDLE: Duration = Duration::from_secs(30);
/// How long an idle connection may take to show that it is alive; a new one may take longer.
const ALIVE: Duration = Duration::from_secs(2);
const LEAVE: Duration = Duration::from_secs(1);

/// The connections of one connector.
pub(super) struct Pool {
    client: EgressClient,
    settings: Arc<SmtpSettings>,
    places: Arc<Semaphore>,
    idle: Arc<Idle>,
}

#[derive(Default)]
struct Idle(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    connections: Vec<Connection>,
    /// Whether a task ends those that nobody wants.
    swept: bool,
}

impl Idle {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The one that was used last.
    fn next(&self) -> Option<Connection> {
        self.lock().connections.pop()
    }

    fn keep(self: &Arc<Self>, connection: Connection) {
        let mut waiting = self.lock();
        waiting.connections.push(connection);
        if !std::mem::replace(&mut waiting.swept, true) {
            tokio::spawn(sweep(Arc::downgrade(self)));
        }
    }
}

/// Ends connections that have been idle for too long, until none is left or nobody could want one.
async fn sweep(idle: Weak<Idle>) {
    loop {
        tokio::time::sleep(IDLE).await;
        let Some(idle) = idle.upgrade() else { return };
        let (old, done) = {
            let mut waiting = idle.lock();
            let connections = std::mem::take(&mut waiting.connections);
            let (old, kept): (Vec<_>, Vec<_>) = connections.into_iter().partition(|one| !one.is_fresh(IDLE));
            waiting.connections = kept;
            waiting.swept = !waiting.connections.is_empty();
            (old, !waiting.swept)
        };
        for connection in old {
            connection.quit(LEAVE).await;
        }
        if done {
            return;
        }
    }
}

/// A connection in use. Dropped, it is closed; only [`give_back`](Self::give_back) keeps it.
pub(super) struct Lease {
    pub(super) connection: Connection,
    idle: Arc<Idle>,
    _place: OwnedSemaphorePermit,
}

impl Lease {
    /// The dialogue is at an end, and the next one may follow.
    pub(super) fn give_back(self) {
        self.idle.keep(self.connection);
    }
}

impl Pool {
    pub(super) fn new(client: EgressClient, settings: Arc<SmtpSettings>) -> Self {
        let places = Arc::new(Semaphore::new(settings.pool_size));
        Self { client, settings, places, idle: Arc::default() }
    }

    pub(super) fn settings(&self) -> &SmtpSettings {
        &self.settings
    }

    /// A connection that is logged in so: an idle one that is alive, or a new one.
    ///
    /// Waits for a free place as long as for an answer. Dropping the future frees the place.
    ///
    /// # Errors
    /// All places are taken, or none can be opened. Nothing of a message has been sent.
    pub(super) async fn take(&self, login: Option<Login>) -> Result<Lease, CallError> {
        let waited = timeout(self.settings.reply_timeout, self.places.clone().acquire_owned()).await;
        let Ok(Ok(place)) = waited else {
            let busy = "all connections to the mail server are in use";
            return Err(CallError::new(CallErrorKind::Failed, Sent::No, busy));
        };
        while let Some(mut connection) = self.idle.next() {
            if connection.serves(login.as_ref(), IDLE) && connection.reset(ALIVE).await {
                return Ok(Lease { connection, idle: self.idle.clone(), _place: place });
            }
        }
        let connection = Connection::open(&self.client, &self.settings, login).await?;
        Ok(Lease { connection, idle: self.idle.clone(), _place: place })
    }
}
