//! What is committed together, and who hears of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use orchestrator_conformance::ManualClock;
use orchestrator_core::clock::Clock;
use orchestrator_core::queue::JobHint;
use orchestrator_core::store::{CommitWatch, EventFilter, EventLog, JobStore, NewJob, Store};
use orchestrator_core::types::WorkspaceId;
use orchestrator_store_sqlite::SqliteStore;
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::fixture::{call, enqueue, event, workspace};

#[derive(Default)]
struct Heard {
    touched: AtomicUsize,
    ready: AtomicUsize,
}

impl CommitWatch for Heard {
    fn touched(&self, _workspace: &WorkspaceId) {
        self.touched.fetch_add(1, Ordering::SeqCst);
    }

    fn ready(&self, _hints: &[JobHint]) {
        self.ready.fetch_add(1, Ordering::SeqCst);
    }

    fn control(&self) {}
}

/// On one thread all hundred have handed in before the writer has its first turn.
#[tokio::test]
async fn what_waits_shares_one_commit() {
    let folder = TempDir::new().unwrap();
    let store = SqliteStore::open(folder.path().join("a.db"), ManualClock::default().shared()).await.unwrap();
    let (store, heard) = (Arc::new(store), Arc::new(Heard::default()));
    store.attach(Arc::clone(&heard) as Arc<dyn CommitWatch>);
    let mut callers = JoinSet::new();
    for _ in 0..100 {
        let store = Arc::clone(&store);
        callers.spawn(async move { store.append(&workspace(), vec![event(), event()]).await });
    }
    callers.join_all().await.into_iter().for_each(|answer| answer.unwrap());
    assert_eq!(heard.touched.load(Ordering::SeqCst), 1);
    let page = store.events(&workspace(), 0, &EventFilter::default(), 1_000).await.unwrap();
    let numbers: Vec<_> = page.items.iter().map(|event| event.id.sequence()).collect();
    assert_eq!(numbers, (1..=200).collect::<Vec<_>>());
}

/// A job that becomes due between a claim and the question for the next time must not wait for a stranger's wake-up.
#[tokio::test]
async fn inv_34_who_asks_for_the_next_time_hears_of_what_is_due_already() {
    let folder = TempDir::new().unwrap();
    let clock = ManualClock::default();
    let store = SqliteStore::open(folder.path().join("a.db"), clock.shared()).await.unwrap();
    let at = clock.now().after(Duration::from_secs(60));
    enqueue(&store, vec![NewJob { run_at: Some(at), ..call() }]).await;
    let heard = Arc::new(Heard::default());
    store.attach(Arc::clone(&heard) as Arc<dyn CommitWatch>);
    assert_eq!(store.next_due().await.unwrap(), Some(at));
    assert_eq!(heard.ready.load(Ordering::SeqCst), 0);
    clock.advance(Duration::from_secs(61));
    assert_eq!(store.next_due().await.unwrap(), None);
    assert_eq!(heard.ready.load(Ordering::SeqCst), 1);
}
