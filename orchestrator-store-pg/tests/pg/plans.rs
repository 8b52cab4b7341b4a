//! How statements look for what they need, whatever was known of the tables when they were planned.

use std::time::Duration;

use orchestrator_conformance::servers::PostgresServer;
use orchestrator_core::store::{ClaimedJob, HeldLease, JobStore, Settled, Store};
use sqlx::{Connection, PgConnection};

use crate::fixture::{aside, call, claim_of, enqueue, open, success};

const JOBS: usize = 200;

/// How many entries of an index were read.
async fn read(url: &str, index: &str) -> i64 {
    const READ: &str = "SELECT idx_tup_read FROM pg_stat_user_indexes WHERE indexrelname = $1";
    let mut conn = PgConnection::connect(url).await.unwrap();
    let read = sqlx::query_scalar(READ).bind(index).fetch_one(&mut conn).await.unwrap();
    conn.close().await.unwrap();
    read
}

/// Beside hundreds of jobs that run, a few are renewed and settled by a step along the key for each of them: nothing walks
/// along all leases, and a claim does not walk along what is ready to find what it chose. The plans are those of an empty queue.
#[tokio::test(flavor = "multi_thread")]
async fn what_runs_is_not_walked_along_for_each_end() {
    let server = aside(PostgresServer::shared).await;
    let url = aside(|| server.fresh_database()).await;
    let store = open(&url).await;
    enqueue(&store, vec![call()]).await;
    let first = store.claim(claim_of(1)).await.unwrap();
    settle(&store, &first).await;
    for _ in 0..2 {
        enqueue(&store, (0..JOBS).map(|_| call()).collect()).await;
        assert_eq!(store.claim(claim_of(JOBS)).await.unwrap().len(), JOBS);
    }
    enqueue(&store, (0..JOBS).map(|_| call()).collect()).await;
    let some = store.claim(claim_of(JOBS)).await.unwrap();
    let held = some.iter().map(|job| HeldLease {
        workspace: job.record.workspace.clone(),
        job: job.record.job.id,
        fence: job.record.fence,
    });
    assert!(store.renew(held.collect(), Duration::from_secs(60)).await.unwrap().is_empty());
    settle(&store, &some).await;
    store.close().await;
    assert_eq!(read(&url, "queue_leases").await, 0);
    // A claim reads what it takes, and may find entries of those before it that are not cleared yet: six times as many in all.
    let ready = read(&url, "queue_turns").await;
    assert!(ready < 7 * i64::try_from(JOBS).unwrap(), "{ready} entries were read for {} jobs", 3 * JOBS + 1);
}

async fn settle(store: &orchestrator_store_pg::PgStore, jobs: &[ClaimedJob]) {
    let settled = store.settle(jobs.iter().map(|job| success(&job.record)).collect()).await.unwrap();
    assert!(settled.iter().all(|settled| *settled == Settled::Applied));
}
