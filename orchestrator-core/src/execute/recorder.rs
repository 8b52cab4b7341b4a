//! Writes the request log behind the answers: in batches, bounded, and what does not fit is counted, not waited for.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::store::{RequestEntry, Store, StoreError};

const WAITING: usize = 8_192;
const BATCH: usize = 256;
const TRIES: u32 = 5;
const FLUSH: Duration = Duration::from_secs(5);

enum Message {
    Entry(Arc<RequestEntry>),
    Flush(oneshot::Sender<()>),
}

/// The way to the request log.
pub(crate) struct Recorder {
    sender: mpsc::Sender<Message>,
    dropped: Arc<AtomicU64>,
}

impl Recorder {
    /// Starts the writer. It ends when the recorder is dropped and everything is written.
    pub(crate) fn start(store: Arc<dyn Store>) -> (Self, impl Future<Output = ()> + Send) {
        let (sender, receiver) = mpsc::channel(WAITING);
        let dropped = Arc::new(AtomicU64::new(0));
        (Self { sender, dropped: dropped.clone() }, write(store, receiver, dropped))
    }

    /// Hands a record in. Never waits: when the writer is too far behind the record is dropped, and counted.
    pub(crate) fn record(&self, entry: Arc<RequestEntry>) {
        if self.sender.try_send(Message::Entry(entry)).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until everything handed in before is written, or the store took too long.
    pub(crate) async fn flush(&self) {
        let (done, written) = oneshot::channel();
        let flushed = async {
            if self.sender.send(Message::Flush(done)).await.is_ok() {
                // An error means that the writer is gone: then there is nothing to wait for.
                let _ = written.await;
            }
        };
        if timeout(FLUSH, flushed).await.is_err() {
            tracing::warn!("the request log is behind: what is read now may lack the last of it");
        }
    }

    /// How many records were dropped.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

async fn write(store: Arc<dyn Store>, mut receiver: mpsc::Receiver<Message>, dropped: Arc<AtomicU64>) {
    let mut messages = Vec::with_capacity(BATCH);
    while receiver.recv_many(&mut messages, BATCH).await > 0 {
        let mut entries = Vec::with_capacity(messages.len());
        let mut waiting = Vec::new();
        for message in messages.drain(..) {
            match message {
                Message::Entry(entry) => entries.push(entry),
                Message::Flush(done) => waiting.push(done),
            }
        }
        if !entries.is_empty() {
            let lost = persist(store.as_ref(), entries).await;
            dropped.fetch_add(lost, Ordering::Relaxed);
        }
        for done in waiting {
            // Whoever waited may have gone away.
            let _ = done.send(());
        }
    }
}

/// Answers how many were dropped.
async fn persist(store: &dyn Store, entries: Vec<Arc<RequestEntry>>) -> u64 {
    match attempt(store, &entries).await {
        Ok(()) => 0,
        // One of them is refused: the others are of strangers, who do not pay for it.
        Err(StoreError::Refused(_)) if entries.len() > 1 => {
            let mut lost = 0;
            for entry in entries {
                lost += u64::from(dropped(attempt(store, &[entry]).await, 1));
            }
            lost
        }
        failed => {
            let count = entries.len() as u64;
            if dropped(failed, count) { count } else { 0 }
        }
    }
}

fn dropped(result: Result<(), StoreError>, count: u64) -> bool {
    result.inspect_err(|error| tracing::warn!(%error, count, "request-log records were dropped")).is_err()
}

async fn attempt(store: &dyn Store, entries: &[Arc<RequestEntry>]) -> Result<(), StoreError> {
    let mut wait = Duration::from_millis(50);
    for _ in 1..TRIES {
        match store.log(entries.to_vec()).await {
            Err(StoreError::Unavailable(_)) => tokio::time::sleep(wait).await,
            other => return other,
        }
        wait *= 2;
    }
    store.log(entries.to_vec()).await
}
