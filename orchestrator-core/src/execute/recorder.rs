//! Writes the request log behind the answers: in batches, bounded, and what does not fit is counted, not waited for.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::store::{RequestEntry, Store, StoreError};

const WAITING: usize = 8_192;
const BATCH: usize = 256;
const TRIES: u32 = 5;

enum Message {
    Entry(Box<RequestEntry>),
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
    pub(crate) fn record(&self, entry: RequestEntry) {
        if self.sender.try_send(Message::Entry(Box::new(entry))).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until everything handed in before is written.
    pub(crate) async fn flush(&self) {
        let (done, written) = oneshot::channel();
        if self.sender.send(Message::Flush(done)).await.is_ok() {
            // An error means that the writer is gone: then there is nothing to wait for.
            let _ = written.await;
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
                Message::Entry(entry) => entries.push(*entry),
                Message::Flush(done) => waiting.push(done),
            }
        }
        if !entries.is_empty() {
            let count = entries.len() as u64;
            if let Err(error) = persist(store.as_ref(), entries).await {
                dropped.fetch_add(count, Ordering::Relaxed);
                tracing::warn!(%error, count, "request-log records were dropped");
            }
        }
        for done in waiting {
            // Whoever waited may have gone away.
            let _ = done.send(());
        }
    }
}

async fn persist(store: &dyn Store, entries: Vec<RequestEntry>) -> Result<(), StoreError> {
    let mut wait = Duration::from_millis(50);
    for _ in 1..TRIES {
        match store.log(entries.clone()).await {
            Err(StoreError::Unavailable(_)) => tokio::time::sleep(wait).await,
            other => return other,
        }
        wait *= 2;
    }
    store.log(entries).await
}
