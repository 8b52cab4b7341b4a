//! The one writer. It takes everything that waits, writes it in one transaction, and answers all of it after the commit.
//!
//! No timer: a lone write is a batch of one, and batches grow by themselves while a commit is under way. What the
//! database refuses fails alone; a database that is not there fails the batch, and the connection is opened anew.

use std::fs::File;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use orchestrator_core::clock::Clock;
use orchestrator_core::store::{CommitWatch, StoreError};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};
use sqlx::{ConnectOptions, Connection, SqliteConnection};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::time::{Instant, timeout};

use crate::batch::{Batch, Told};
use crate::jobs::Turn;
use crate::op::{Failure, Op, Pending, Work};

/// How many operations may wait.
const QUEUE: usize = 1024;
/// How many KiB may wait or be written, all operations together.
const ROOM_KIB: usize = 64 * 1024;
/// How many operations share a transaction.
const BATCH_OPS: usize = 256;
/// How many bytes share a transaction, except that one operation always may.
const BATCH_BYTES: usize = 8 * 1024 * 1024;
/// How long a caller waits for a place in the queue.
const SEND_WAIT: Duration = Duration::from_secs(5);
/// How long a caller waits for its commit.
const ANSWER_WAIT: Duration = Duration::from_secs(30);

/// When the database failed a batch, until it is seen to take a write.
type LastFailure = Arc<Mutex<Option<Instant>>>;
type Watches = Arc<RwLock<Vec<Arc<dyn CommitWatch>>>>;

/// The way to the writer.
pub(crate) struct Writer {
    queue: mpsc::Sender<Box<dyn Work>>,
    room: Arc<Semaphore>,
    watches: Watches,
    ailing: LastFailure,
    closing: watch::Sender<bool>,
    closed: watch::Receiver<()>,
}

impl Writer {
    /// Starts the writer on its connection. It holds `lock` and closes `readers` when it ends.
    pub(crate) fn start(
        conn: SqliteConnection,
        options: SqliteConnectOptions,
        readers: SqlitePool,
        clock: Arc<dyn Clock>,
        lock: File,
    ) -> Self {
        let (queue, waiting) = mpsc::channel(QUEUE);
        let (closing, close_asked) = watch::channel(false);
        let (ended, closed) = watch::channel(());
        let watches = Watches::default();
        let ailing = LastFailure::default();
        let committer = Committer {
            conn: Some(conn),
            options,
            clock,
            turn: Turn::default(),
            watches: Arc::clone(&watches),
            ailing: Arc::clone(&ailing),
        };
        tokio::spawn(async move {
            committer.run(waiting, close_asked, readers).await;
            drop(lock);
            drop(ended);
        });
        Self { queue, room: Arc::new(Semaphore::new(ROOM_KIB)), watches, ailing, closing, closed }
    }

    /// Hands an operation in and waits for its commit. If the caller goes away the operation stays where it is.
    pub(crate) async fn submit<O: Op>(&self, op: O) -> Result<O::Answer, StoreError> {
        let kib = (op.weight() / 1024 + 1).min(ROOM_KIB);
        let (reply, answer) = oneshot::channel();
        let handed_in = async {
            let kib = u32::try_from(kib).unwrap_or(u32::MAX);
            let room = Arc::clone(&self.room).acquire_many_owned(kib).await.ok()?;
            self.queue.send(Box::new(Pending::new(op, reply, room))).await.ok()
        };
        match timeout(SEND_WAIT, handed_in).await {
            Ok(Some(())) => {}
            Ok(None) => return Err(StoreError::unavailable("the store is closed")),
            Err(_) => return Err(StoreError::unavailable("too much waits to be written")),
        }
        match timeout(ANSWER_WAIT, answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(StoreError::unavailable("the store is closed")),
            Err(_) => Err(StoreError::unavailable("the commit takes too long")),
        }
    }

    /// How long ago the database last failed a batch, if it has not been seen to take a write since.
    pub(crate) fn ailing(&self) -> Option<Duration> {
        self.ailing.lock().unwrap_or_else(PoisonError::into_inner).map(|failed| failed.elapsed())
    }

    /// Notes that the database has taken a write.
    pub(crate) fn recovered(&self) {
        *self.ailing.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Tells `watch` of commits from now on.
    pub(crate) fn attach(&self, watch: Arc<dyn CommitWatch>) {
        self.watches.write().unwrap_or_else(PoisonError::into_inner).push(watch);
    }

    /// Tells everybody who is attached.
    pub(crate) fn tell(&self, news: impl Fn(&dyn CommitWatch)) {
        tell(&self.watches, news);
    }

    /// Refuses what comes, writes what waits, closes the files.
    pub(crate) async fn close(&self) {
        self.closing.send_replace(true);
        // Ends with the writer: nothing is ever sent.
        let _ = self.closed.clone().changed().await;
    }
}

fn tell(watches: &Watches, news: impl Fn(&dyn CommitWatch)) {
    for watch in watches.read().unwrap_or_else(PoisonError::into_inner).iter() {
        news(watch.as_ref());
    }
}

struct Committer {
    conn: Option<SqliteConnection>,
    options: SqliteConnectOptions,
    clock: Arc<dyn Clock>,
    turn: Turn,
    watches: Watches,
    ailing: LastFailure,
}

/// Why a transaction did not hold.
struct Undone {
    failure: Failure,
    /// The operation that failed; `None` if that is not known.
    at: Option<usize>,
    /// Whether the others may be tried without the guilty one.
    own: bool,
}

impl Undone {
    fn by_database(error: sqlx::Error) -> Self {
        Self { failure: Failure::Sql(error), at: None, own: false }
    }
}

impl Committer {
    async fn run(
        mut self,
        mut queue: mpsc::Receiver<Box<dyn Work>>,
        mut close_asked: watch::Receiver<bool>,
        readers: SqlitePool,
    ) {
        let mut open = true;
        let mut taken = Vec::with_capacity(BATCH_OPS);
        loop {
            tokio::select! {
                biased;
                // An error is a store that was dropped: the same.
                _ = close_asked.changed(), if open => {
                    open = false;
                    queue.close();
                }
                count = queue.recv_many(&mut taken, BATCH_OPS) => {
                    if count == 0 {
                        break;
                    }
                    for works in by_weight(taken.drain(..)) {
                        self.write(works).await;
                    }
                }
            }
        }
        readers.close().await;
        if let Some(mut conn) = self.conn.take() {
            const CHECKPOINT: &str = "PRAGMA wal_checkpoint(TRUNCATE)";
            let checkpointed = sqlx::query(CHECKPOINT).execute(&mut conn).await;
            if let Err(error) = checkpointed.and(conn.close().await) {
                tracing::warn!(%error, "the store was not closed tidily; nothing is lost");
            }
        }
    }

    /// Writes operations in their order, all in one transaction if nothing speaks against it.
    async fn write(&mut self, works: Vec<Box<dyn Work>>) {
        let mut parts = vec![(works, false)];
        while let Some((mut works, guarded)) = parts.pop() {
            match self.attempt(&mut works, guarded).await {
                Ok(told) => {
                    if told.is_news() {
                        self.note(None);
                    }
                    tell(&self.watches, |watch| told.tell(watch));
                    works.into_iter().for_each(Work::succeed);
                }
                Err(Undone { failure, at, own: true }) => match works.len() {
                    0 => {}
                    1 if !guarded => parts.push((works, true)),
                    1 => {
                        tracing::warn!(?failure, "a write was refused");
                        let mut error = Some(failure.into_store_error());
                        works.into_iter().for_each(|work| {
                            if let Some(error) = error.take() {
                                work.fail(error);
                            }
                        });
                    }
                    count => {
                        // The guilty one alone, if it is known; else each half.
                        let after = works.split_off(at.map_or(count / 2, |at| at + 1));
                        let guilty = works.split_off(at.unwrap_or(works.len()));
                        parts.extend([after, guilty, works].into_iter().filter(|w| !w.is_empty()).map(|w| (w, false)));
                    }
                },
                Err(Undone { failure, .. }) => {
                    self.note(Some(Instant::now()));
                    tracing::error!(?failure, operations = works.len(), "the store did not commit");
                    let failure = Arc::new(failure);
                    works.into_iter().for_each(|work| work.fail(failure.shared()));
                }
            }
        }
    }

    /// Notes a failure, or that a write went through.
    fn note(&self, failed: Option<Instant>) {
        *self.ailing.lock().unwrap_or_else(PoisonError::into_inner) = failed;
    }

    async fn attempt(&mut self, works: &mut [Box<dyn Work>], guarded: bool) -> Result<Told, Undone> {
        const ROLLBACK: &str = "ROLLBACK";
        let mut conn = match self.conn.take() {
            Some(conn) => conn,
            None => self.options.connect().await.map_err(Undone::by_database)?,
        };
        let done = self.transaction(&mut conn, works, guarded).await;
        let sound = match &done {
            Ok(_) => true,
            Err(undone) => sqlx::query(ROLLBACK).execute(&mut conn).await.is_ok() && undone.own,
        };
        // A connection that failed may be in any state: the next batch opens another.
        if sound {
            self.conn = Some(conn);
        }
        done
    }

    async fn transaction(
        &mut self,
        conn: &mut SqliteConnection,
        works: &mut [Box<dyn Work>],
        guarded: bool,
    ) -> Result<Told, Undone> {
        const BEGIN: &str = "BEGIN IMMEDIATE";
        const COMMIT: &str = "COMMIT";
        sqlx::query(BEGIN).execute(&mut *conn).await.map_err(Undone::by_database)?;
        let hinting =
            self.watches.read().unwrap_or_else(PoisonError::into_inner).iter().any(|watch| watch.wants_hints());
        let mut batch = Batch::new(conn, self.clock.now(), guarded, &mut self.turn, hinting);
        for (index, work) in works.iter_mut().enumerate() {
            if let Err(failure) = work.apply(&mut batch).await {
                let own = failure.is_own();
                return Err(Undone { failure, at: Some(index), own });
            }
        }
        let told = match batch.finish().await {
            Ok(told) => told,
            Err(failure) => {
                let own = failure.is_own();
                return Err(Undone { failure, at: None, own });
            }
        };
        sqlx::query(COMMIT).execute(conn).await.map_err(Undone::by_database)?;
        Ok(told)
    }
}

/// Cuts a run of operations so that no piece is too heavy.
fn by_weight(works: impl Iterator<Item = Box<dyn Work>>) -> Vec<Vec<Box<dyn Work>>> {
    let mut pieces = Vec::new();
    let mut piece = Vec::new();
    let mut weight = 0;
    for work in works {
        if weight + work.weight() > BATCH_BYTES && !piece.is_empty() {
            pieces.push(std::mem::take(&mut piece));
            weight = 0;
        }
        weight += work.weight();
        piece.push(work);
    }
    if !piece.is_empty() {
        pieces.push(piece);
    }
    pieces
}
