//! The store says no: it is stopped, killed, or its callers go away; nothing acknowledged is lost, and nothing half done.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use orchestrator_conformance::servers::{PostgresServer, Stop};
use orchestrator_core::store::{Enqueue, Enqueued, EventFilter, EventLog, JobStore, Store, StoreError};
use orchestrator_core::types::JobId;
use orchestrator_store_pg::PgStore;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::fixture::{aside, call, claim_of, event, open, workspace};

/// Long enough for any machine; the promise is five seconds.
const PATIENCE: Duration = Duration::from_secs(60);

async fn until_well(store: &PgStore) {
    let began = Instant::now();
    while store.ping().await.is_err() || store.append(&workspace(), vec![event()]).await.is_err() {
        assert!(began.elapsed() < PATIENCE, "it never comes back");
        sleep(Duration::from_millis(50)).await;
    }
}

/// Enqueues until it is told to end. Answers what was acknowledged.
async fn keep_enqueueing(store: PgStore, ended: Arc<AtomicBool>) -> Vec<JobId> {
    let mut acknowledged = Vec::new();
    while !ended.load(Ordering::SeqCst) {
        let job = call();
        let id = job.id;
        match store.enqueue(&workspace(), Enqueue { jobs: vec![job], ..Enqueue::default() }).await {
            Ok(answer) => {
                assert_eq!(answer, Enqueued::Accepted);
                acknowledged.push(id);
            }
            Err(StoreError::Unavailable(_)) => sleep(Duration::from_millis(20)).await,
            Err(other) => panic!("{other:?}"),
        }
    }
    acknowledged
}

#[tokio::test(flavor = "multi_thread")]
async fn inv_06_a_database_that_goes_away_loses_nothing() {
    let server = Arc::new(aside(PostgresServer::start).await);
    let url = server.fresh_database();
    let store = open(&url).await;
    let ended = Arc::new(AtomicBool::new(false));
    let mut callers = JoinSet::new();
    for _ in 0..8 {
        callers.spawn(keep_enqueueing(store.clone(), ended.clone()));
    }
    for how in 0..4 {
        sleep(Duration::from_millis(300)).await;
        let there = server.clone();
        aside(move || {
            match how {
                0 => there.terminate_connections(),
                1 => there.stop(Stop::Fast),
                2 => there.stop(Stop::Immediate),
                _ => there.kill(),
            }
            if how > 0 {
                std::thread::sleep(Duration::from_millis(200));
                there.start_again();
            }
        })
        .await;
        until_well(&store).await;
    }
    ended.store(true, Ordering::SeqCst);
    let acknowledged: Vec<JobId> = callers.join_all().await.concat();
    assert!(acknowledged.len() > 100, "there was a load: {}", acknowledged.len());
    for id in &acknowledged {
        assert!(store.job(&workspace(), *id).await.unwrap().is_some(), "{id} was acknowledged");
    }
    // Half done would be a job that is in no queue, or events with a hole.
    let page = store.events(&workspace(), 0, &EventFilter::default(), 1).await.unwrap();
    assert_eq!(page.items.first().map(|event| event.id.sequence()), Some(1));
    let counts = server.select(
        &url,
        "select (select count(*) from orchestrator.jobs) = (select count(*) from orchestrator.queue), \
         (select count(*) from orchestrator.events) = (select events from orchestrator.counters), \
         (select count(*) from pg_stat_activity where state like 'idle in transaction%')",
    );
    assert_eq!(counts.trim(), "t|t|0");
}

/// A server that hangs is waited for, and not for ever; when it goes on, so does the store.
#[tokio::test(flavor = "multi_thread")]
async fn inv_34_a_database_that_hangs_is_not_waited_for_for_ever() {
    let server = aside(PostgresServer::start).await;
    let url = server.fresh_database();
    let store = open(&url).await;
    store.append(&workspace(), vec![event()]).await.unwrap();
    server.pause();
    let began = Instant::now();
    let answer = store.append(&workspace(), vec![event()]).await;
    assert!(matches!(answer, Err(StoreError::Unavailable(_))), "{answer:?}");
    assert!(began.elapsed() < PATIENCE);
    assert!(store.ping().await.is_err());
    server.resume();
    until_well(&store).await;
}

/// Callers that go away at any point leave no connection in a transaction, and nothing half done.
#[tokio::test(flavor = "multi_thread")]
async fn inv_22_callers_that_go_away_leave_nothing_behind() {
    let server = aside(PostgresServer::shared).await;
    let url = aside(|| server.fresh_database()).await;
    let store = open(&url).await;
    let mut callers = JoinSet::new();
    for number in 0..400u64 {
        let store = store.clone();
        callers.spawn(async move {
            let work = async {
                let job = call();
                let id = job.id;
                let _ = store.enqueue(&workspace(), Enqueue { jobs: vec![job], ..Enqueue::default() }).await;
                let _ = store.job(&workspace(), id).await;
                let _ = store.claim(claim_of(1)).await;
                let _ = store.append(&workspace(), vec![event()]).await;
            };
            let _ = tokio::time::timeout(Duration::from_micros(number * 37), work).await;
        });
    }
    callers.join_all().await;
    until_well(&store).await;
    let began = Instant::now();
    loop {
        let url = url.clone();
        let idle = aside(move || {
            server.select(
                &url,
                "select count(*) from pg_stat_activity where datname = current_database() and state like 'idle in transaction%'",
            )
        })
        .await;
        if idle.trim() == "0" {
            break;
        }
        assert!(began.elapsed() < PATIENCE, "a connection is left inside a transaction");
    }
    let page = store.events(&workspace(), 0, &EventFilter::default(), 10_000).await.unwrap();
    let numbers: Vec<_> = page.items.iter().map(|event| event.id.sequence()).collect();
    assert_eq!(numbers, (1..=page.scanned_to).collect::<Vec<_>>(), "numbers have no holes");
}
