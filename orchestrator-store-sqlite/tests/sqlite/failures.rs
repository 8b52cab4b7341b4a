//! Rows that the database refuses, rows that cannot be read, and a database that fails.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use orchestrator_conformance::ManualClock;
use orchestrator_core::store::{
    Enqueue, Enqueued, EventFilter, EventLog, HeldLease, JobFilter, JobState, JobStore, NewJob, Outcome, PayloadLinks,
    Settled, Settlement, Store, StoreError,
};
use orchestrator_core::types::{JobId, WorkspaceId};
use orchestrator_store_sqlite::SqliteStore;
use sqlx::AssertSqlSafe;
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::fixture::{beside, call, claim_of, enqueue, event, workspace};

struct Place {
    _folder: TempDir,
    path: PathBuf,
    clock: ManualClock,
    store: Arc<SqliteStore>,
}

impl Place {
    async fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let (path, clock) = (folder.path().join("a.db"), ManualClock::default());
        let store = Arc::new(SqliteStore::open(&path, clock.shared()).await.unwrap());
        Self { _folder: folder, path, clock, store }
    }

    async fn run(&self, statement: &str) {
        sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(&mut beside(&self.path).await).await.unwrap();
    }
}

fn hex(id: JobId) -> String {
    format!("{:032x}", id.bits())
}

/// A priority that the schema does not allow stands for whatever a database may refuse.
#[tokio::test(flavor = "multi_thread")]
async fn inv_33_a_refused_row_fails_alone_at_each_position() {
    let place = Place::new().await;
    for bad in [0, 13, 39] {
        let mut callers = JoinSet::new();
        for number in 0..40 {
            let store = Arc::clone(&place.store);
            callers.spawn(async move {
                let workspace: WorkspaceId = format!("shop-{number}-dev").parse().unwrap();
                let job = NewJob { priority: if number == bad { 200 } else { 5 }, ..call() };
                let jobs = vec![call(), job];
                let asked = Enqueue { jobs, events: vec![event()], ..Enqueue::default() };
                (number, store.enqueue(&workspace, asked).await)
            });
        }
        for (number, answer) in callers.join_all().await {
            match answer {
                Ok(Enqueued::Accepted) => assert_ne!(number, bad),
                Err(StoreError::Refused(why)) => {
                    assert_eq!(number, bad);
                    assert!(!why.contains("jobs") && !why.contains("CHECK"), "nothing of the schema: {why}");
                }
                other => panic!("{other:?}"),
            }
        }
    }
    let refused: WorkspaceId = "shop-13-dev".parse().unwrap();
    let all = place.store.events(&refused, 0, &EventFilter::default(), 100).await.unwrap().items;
    let numbers: Vec<_> = all.iter().map(|event| event.id.sequence()).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6], "of the refused one nothing is there, and no number is missing");
    assert_eq!(place.store.queue_stats().await.unwrap().ready, 3 * 39 * 2);
}

#[tokio::test]
async fn inv_33_a_refused_settlement_fails_alone() {
    let place = Place::new().await;
    enqueue(&place.store, vec![call(), call(), call()]).await;
    let claimed = place.store.claim(claim_of(3)).await.unwrap();
    let settlements = claimed.iter().enumerate().map(|(place, job)| Settlement {
        lease: HeldLease { workspace: workspace(), job: job.record.job.id, fence: job.record.fence },
        outcome: Outcome::Succeeded { output: None },
        events: vec![event()],
        request: None,
        delivery: Some(NewJob { priority: if place == 1 { 200 } else { 5 }, ..call() }),
        payloads: PayloadLinks::default(),
    });
    let settled = place.store.settle(settlements.collect()).await.unwrap();
    assert!(matches!(settled[..], [Settled::Applied, Settled::Refused(_), Settled::Applied]), "{settled:?}");
    let refused = place.store.job(&workspace(), claimed[1].record.job.id).await.unwrap().unwrap();
    assert_eq!((refused.state, refused.delivery), (JobState::Running, None));
    // Three queued, three started, two settled, each with the queued event of its delivery.
    assert_eq!(place.store.last_event(&workspace()).await.unwrap(), 10);
}

#[tokio::test]
async fn inv_35_a_job_that_cannot_be_read_hides_no_other() {
    let place = Place::new().await;
    let ids = enqueue(&place.store, vec![call(), call(), call()]).await;
    place.run(&format!("UPDATE jobs SET kind = 'unheard-of' WHERE id = x'{}'", hex(ids[0]))).await;
    assert!(place.store.claim(claim_of(1)).await.unwrap().is_empty());
    for id in &ids[1..] {
        let claimed = place.store.claim(claim_of(1)).await.unwrap();
        assert_eq!(claimed[0].record.job.id, *id);
    }
    assert!(matches!(place.store.job(&workspace(), ids[0]).await, Err(StoreError::Corrupt(_))));
    let listed = place.store.jobs(&workspace(), &JobFilter::default(), None, 10).await.unwrap();
    assert_eq!(listed.len(), 2);

    place.run(&format!("UPDATE jobs SET kind = 'job' WHERE id = x'{}'", hex(ids[0]))).await;
    place.run(&format!("UPDATE jobs SET metadata = '[' WHERE id = x'{}'", hex(ids[1]))).await;
    place.clock.advance(Duration::from_secs(60));
    let (ready, poison) = place.store.rescue("rescuer", Duration::from_secs(30), 1).await.unwrap();
    assert_eq!((ready, poison.len()), (0, 0));
    let (ready, _) = place.store.rescue("rescuer", Duration::from_secs(30), 1).await.unwrap();
    assert_eq!(ready, 1, "the one behind it");
}

#[tokio::test]
async fn a_job_that_was_set_aside_gets_another_chance_when_the_store_is_opened() {
    let place = Place::new().await;
    let ids = enqueue(&place.store, vec![call()]).await;
    place.run("UPDATE jobs SET kind = 'unheard-of'").await;
    assert!(place.store.claim(claim_of(1)).await.unwrap().is_empty());
    place.run("UPDATE jobs SET kind = 'job'").await;
    place.store.close().await;
    let store = SqliteStore::open(&place.path, place.clock.shared()).await.unwrap();
    assert_eq!(store.claim(claim_of(1)).await.unwrap()[0].record.job.id, ids[0]);
}

#[tokio::test]
async fn an_event_that_cannot_be_read_hides_no_other() {
    let place = Place::new().await;
    place.store.append(&workspace(), vec![event(), event(), event()]).await.unwrap();
    place.run("UPDATE events SET kind = 'unheard.of' WHERE number = 2").await;
    let page = place.store.events(&workspace(), 0, &EventFilter::default(), 3).await.unwrap();
    assert_eq!(page.items.iter().map(|event| event.id.sequence()).collect::<Vec<_>>(), [1, 3]);
    assert_eq!(page.scanned_to, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn inv_06_a_store_that_failed_serves_again_and_nothing_is_half_done() {
    let place = Place::new().await;
    place.run("ALTER TABLE events RENAME TO away").await;
    let mut callers = JoinSet::new();
    for _ in 0..20 {
        let store = Arc::clone(&place.store);
        callers.spawn(async move {
            store.enqueue(&workspace(), Enqueue { jobs: vec![call()], ..Enqueue::default() }).await
        });
    }
    for answer in callers.join_all().await {
        assert!(matches!(answer, Err(StoreError::Unavailable(_))), "{answer:?}");
    }
    assert_eq!(place.store.queue_stats().await.unwrap().ready, 0);
    place.run("ALTER TABLE away RENAME TO events").await;
    enqueue(&place.store, vec![call()]).await;
    place.store.ping().await.unwrap();
    assert_eq!(place.store.last_event(&workspace()).await.unwrap(), 1, "no number was lost");
}

#[tokio::test(flavor = "multi_thread")]
async fn inv_22_a_caller_that_goes_away_leaves_nothing_half_done() {
    let place = Place::new().await;
    for polls in 0..8 {
        let asked = Enqueue { jobs: vec![call(), call()], events: vec![event()], ..Enqueue::default() };
        let workspace = workspace();
        let mut call = Box::pin(place.store.enqueue(&workspace, asked));
        for _ in 0..polls {
            if futures_poll(&mut call).await {
                break;
            }
            tokio::task::yield_now().await;
        }
    }
    place.store.ping().await.unwrap();
    let (ready, told) =
        (place.store.queue_stats().await.unwrap().ready, place.store.last_event(&workspace()).await.unwrap());
    assert!(ready.is_multiple_of(2), "both jobs or none: {ready}");
    assert_eq!(told, ready / 2 * 3, "each with its events");
}

/// Polls once. Whether it is done.
async fn futures_poll(future: &mut (impl Future + Unpin)) -> bool {
    std::future::poll_fn(|context| std::task::Poll::Ready(std::pin::Pin::new(&mut *future).poll(context).is_ready()))
        .await
}
