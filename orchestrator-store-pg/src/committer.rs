//! Group commit. Each sort of write has a lane: a task that takes everything that waits and writes it by one statement,
//! which is one transaction, and answers all of it after the commit.
//!
//! No timer: a lone write is a batch of one, and batches grow by themselves while a commit is under way, and by whatever is
//! about to be handed in when one begins. A lane that is busy keeps its connection. What the database
//! refuses is bisected out and fails alone. Two writes that are about the same thing never share a batch: the later waits
//! for the next.

use std::collections::{HashSet, VecDeque};
use std::future::Future;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use orchestrator_core::store::StoreError;
use sqlx::PgConnection;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::yield_now;
use tokio::time::{sleep, timeout};

use crate::failure::Failure;
use crate::kept::Kept;
use crate::notices::Told;
use crate::session::LONGEST;
use crate::shared::Shared;

/// How many writes may wait in a lane.
const QUEUE: usize = 4_096;
/// How many KiB may wait or be written in a lane.
const ROOM_KIB: usize = 64 * 1024;
/// How many writes share a transaction.
const BATCH: usize = 512;
/// How many bytes share a transaction, except that one write always may.
const BATCH_BYTES: usize = 8 * 1024 * 1024;
/// How long a caller waits for a place in the queue.
const SEND_WAIT: Duration = Duration::from_secs(5);
/// How often a batch is tried that stands in another's way.
const TRIES: usize = 5;
/// How often a lane lets others go first, as long as each time something more is handed in.
const COURTESY: usize = 8;
/// A lane gives its connection back if for so long nothing was to be written.
const IDLE: Duration = Duration::from_millis(100);

/// A sort of write.
pub(crate) trait Write: Send + Sync + 'static {
    /// Whether it writes: what only reads says nothing of whether writes go through.
    const WRITES: bool = true;

    /// One caller's.
    type Item: Send + Sync + 'static;
    /// What the caller gets once it is committed.
    type Answer: Send + 'static;

    /// About how many bytes an item writes.
    fn weight(item: &Self::Item) -> usize;

    /// What an item is about: see [`about`].
    fn keys(item: &Self::Item, keys: &mut Vec<u64>);

    /// Writes the items by one transaction. Answers one by one, in their order; what is told after the commit goes to
    /// `told`. An error undoes all of it.
    fn write(
        shared: &Shared,
        conn: &mut PgConnection,
        items: &[&Self::Item],
        told: &mut Told,
    ) -> impl Future<Output = Result<Vec<Self::Answer>, Failure>> + Send;
}

/// A key of what an item is about. Two that differ may be taken for the same: it costs a batch.
pub(crate) fn about(what: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}

struct Pending<W: Write> {
    item: W::Item,
    reply: oneshot::Sender<Result<W::Answer, StoreError>>,
    _room: OwnedSemaphorePermit,
}

/// The way to one sort of write.
pub(crate) struct Lane<W: Write> {
    queue: mpsc::Sender<Pending<W>>,
    room: Arc<Semaphore>,
}

impl<W: Write> Lane<W> {
    /// Starts the lane. It ends with the store.
    pub(crate) fn start(shared: Arc<Shared>) -> Self {
        let (queue, waiting) = mpsc::channel(QUEUE);
        let tasks = shared.tasks.clone();
        tasks.spawn(run::<W>(shared, waiting));
        Self { queue, room: Arc::new(Semaphore::new(ROOM_KIB)) }
    }

    /// Hands an item in and waits for its commit. If the caller goes away the item stays where it is.
    pub(crate) async fn submit(&self, item: W::Item) -> Result<W::Answer, StoreError> {
        heard(self.hand_in(item).await?).await
    }

    /// Hands several in, and waits for them: each on its own.
    pub(crate) async fn submit_all(&self, items: Vec<W::Item>) -> Vec<Result<W::Answer, StoreError>> {
        let mut handed_in = Vec::with_capacity(items.len());
        for item in items {
            handed_in.push(self.hand_in(item).await);
        }
        let mut answers = Vec::with_capacity(handed_in.len());
        for answer in handed_in {
            answers.push(match answer {
                Ok(answer) => heard(answer).await,
                Err(error) => Err(error),
            });
        }
        answers
    }

    async fn hand_in(&self, item: W::Item) -> Result<oneshot::Receiver<Result<W::Answer, StoreError>>, StoreError> {
        let kib = u32::try_from((W::weight(&item) / 1024 + 1).min(ROOM_KIB)).unwrap_or(u32::MAX);
        let (reply, answer) = oneshot::channel();
        let handed_in = async {
            let room = Arc::clone(&self.room).acquire_many_owned(kib).await.ok()?;
            self.queue.send(Pending { item, reply, _room: room }).await.ok()
        };
        match timeout(SEND_WAIT, handed_in).await {
            Ok(Some(())) => Ok(answer),
            Ok(None) => Err(StoreError::unavailable("the store is closed")),
            Err(_) => Err(StoreError::unavailable("too much waits to be written")),
        }
    }
}

async fn heard<T>(answer: oneshot::Receiver<Result<T, StoreError>>) -> Result<T, StoreError> {
    match timeout(LONGEST, answer).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) => Err(StoreError::unavailable("the store is closed")),
        Err(_) => Err(StoreError::unavailable("the commit takes too long")),
    }
}

async fn run<W: Write>(shared: Arc<Shared>, mut queue: mpsc::Receiver<Pending<W>>) {
    let mut waiting = VecDeque::new();
    let mut taken = Vec::with_capacity(BATCH);
    let mut kept = Kept::default();
    let mut open = true;
    loop {
        if waiting.is_empty() {
            tokio::select! {
                biased;
                // What was handed in before is written; what comes is refused.
                () = shared.ending.cancelled(), if open => {
                    open = false;
                    queue.close();
                }
                count = queue.recv_many(&mut taken, BATCH) => {
                    if count == 0 {
                        return;
                    }
                    waiting.extend(taken.drain(..));
                }
                () = sleep(IDLE), if kept.is_some() => kept = Kept::default(),
            }
        }
        for _ in 0..COURTESY {
            let before = waiting.len();
            while waiting.len() < BATCH {
                let Ok(more) = queue.try_recv() else { break };
                waiting.push_back(more);
            }
            if waiting.is_empty() || waiting.len() == before || waiting.len() == BATCH {
                break;
            }
            // A batch of one costs nearly as much as one of many.
            yield_now().await;
        }
        let batch = next_batch(&mut waiting);
        if !batch.is_empty() {
            write(&shared, &mut kept, batch).await;
        }
    }
}

/// Takes the next batch from what waits: no two of the same thing, and no more than is bearable.
fn next_batch<W: Write>(waiting: &mut VecDeque<Pending<W>>) -> Vec<Pending<W>> {
    let mut batch: Vec<Pending<W>> = Vec::with_capacity(waiting.len().min(BATCH));
    let mut later = VecDeque::new();
    let (mut seen, mut keys) = (HashSet::new(), Vec::new());
    let mut weight = 0;
    while let Some(next) = waiting.pop_front() {
        weight += W::weight(&next.item);
        if batch.len() >= BATCH || (weight > BATCH_BYTES && !batch.is_empty()) {
            waiting.push_front(next);
            break;
        }
        keys.clear();
        W::keys(&next.item, &mut keys);
        let met = keys.iter().any(|key| seen.contains(key));
        // What waits for the next batch holds back whatever is about the same.
        seen.extend(keys.drain(..));
        if met {
            later.push_back(next);
        } else {
            batch.push(next);
        }
    }
    later.append(waiting);
    *waiting = later;
    batch
}

/// Writes items, all in one transaction if nothing speaks against it.
async fn write<W: Write>(shared: &Shared, kept: &mut Kept, batch: Vec<Pending<W>>) {
    let mut parts = vec![(batch, 0)];
    while let Some((mut part, tries)) = parts.pop() {
        let items: Vec<&W::Item> = part.iter().map(|pending| &pending.item).collect();
        let mut told = Told::default();
        match attempt::<W>(shared, kept, &items, &mut told).await {
            Ok(answers) => {
                if W::WRITES {
                    shared.health.note(true);
                }
                shared.tell(&told);
                // A caller that went away does not want it.
                part.into_iter().zip(answers).for_each(|(pending, answer)| drop(pending.reply.send(Ok(answer))));
            }
            Err(failure) if failure.is_own() && part.len() > 1 => {
                let half = part.split_off(part.len() / 2);
                parts.extend([(half, 0), (part, 0)]);
            }
            Err(failure) if failure.is_own() => {
                tracing::warn!(?failure, "a write was refused");
                let mut error = Some(failure.into_store_error());
                for pending in part {
                    if let Some(error) = error.take() {
                        let _ = pending.reply.send(Err(error));
                    }
                }
            }
            Err(failure) if failure.is_collision() && tries < TRIES => parts.push((part, tries + 1)),
            Err(failure) => {
                if W::WRITES {
                    shared.health.note(false);
                }
                tracing::error!(?failure, writes = part.len(), "the store did not commit");
                let failure = Arc::new(failure);
                part.into_iter().for_each(|pending| drop(pending.reply.send(Err(failure.shared()))));
            }
        }
    }
}

async fn attempt<W: Write>(
    shared: &Shared,
    kept: &mut Kept,
    items: &[&W::Item],
    told: &mut Told,
) -> Result<Vec<W::Answer>, Failure> {
    let (mut conn, since) = kept.take(shared).await?;
    match timeout(LONGEST, W::write(shared, &mut conn, items, told)).await {
        Ok(Ok(answers)) if answers.len() == items.len() => {
            kept.keep(shared, conn, since);
            Ok(answers)
        }
        Ok(Ok(_)) => Err(Failure::Sql(sqlx::Error::Protocol("fewer answers than writes".to_owned()))),
        Ok(Err(failure)) => Err(failure),
        Err(_) => {
            // It may be in any state: nobody gets it again.
            drop(conn.detach());
            Err(Failure::Late)
        }
    }
}
