//! Several nodes on one database.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use orchestrator_conformance::servers::PostgresServer;
use orchestrator_core::queue::JobHint;
use orchestrator_core::store::{CommitWatch, Enqueue, EventFilter, EventLog, JobStore, NewJob, Settled, Store};
use orchestrator_core::types::{JobId, WorkspaceId};
use orchestrator_store_pg::PgStore;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::fixture::{aside, call, claim_of, enqueue, named, open, success};

const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Default)]
struct Ear {
    ready: Notify,
    control: Notify,
    touched: Notify,
}

impl CommitWatch for Ear {
    fn touched(&self, _: &WorkspaceId) {
        self.touched.notify_one();
    }

    fn ready(&self, _: &[JobHint]) {
        self.ready.notify_one();
    }

    fn control(&self) {
        self.control.notify_one();
    }
}

/// What one node commits is hinted to the others, so that they look at once.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_is_hinted_to_the_other_nodes() {
    let server = aside(PostgresServer::shared).await;
    let url = aside(|| server.fresh_database()).await;
    let (one, two) = (open(&url).await, open(&url).await);
    let ear = Arc::new(Ear::default());
    two.attach(ear.clone());
    // Whoever begins to listen is told to look, once: from then on nothing is missed.
    timeout(PATIENCE, ear.control.notified()).await.expect("it begins to listen");
    enqueue(&one, vec![call()]).await;
    timeout(PATIENCE, ear.touched.notified()).await.expect("the workspace is named");
    timeout(PATIENCE, ear.ready.notified()).await.expect("and that a job may be ready");
}

async fn work(store: PgStore, mine: Arc<tokio::sync::Mutex<Vec<JobId>>>) {
    let mut empty = 0;
    while empty < 20 {
        let jobs = store.claim(claim_of(7)).await.unwrap();
        if jobs.is_empty() {
            empty += 1;
            tokio::time::sleep(Duration::from_millis(5)).await;
            continue;
        }
        empty = 0;
        mine.lock().await.extend(jobs.iter().map(|job| job.record.job.id));
        let settled = store.settle(jobs.iter().map(|job| success(&job.record)).collect()).await.unwrap();
        assert!(settled.iter().all(|settled| *settled == Settled::Applied));
    }
}

/// Workers on several nodes share no job, commits of many workspaces stand in nobody's way for good, and events have no
/// holes.
#[tokio::test(flavor = "multi_thread")]
async fn inv_03_nodes_never_share_a_job() {
    let server = aside(PostgresServer::shared).await;
    let url = aside(|| server.fresh_database()).await;
    let nodes = [open(&url).await, open(&url).await, open(&url).await];
    let done = Arc::new(tokio::sync::Mutex::new(Vec::new()));
    let mut tasks = JoinSet::new();
    for node in &nodes {
        tasks.spawn(work(node.clone(), done.clone()));
        for writer in 0..5 {
            let node = node.clone();
            tasks.spawn(async move {
                for number in 0..20 {
                    let workspace = named(&format!("w{}-dev", (writer * 7 + number) % 11));
                    let ordering_key = (number % 3 == 0).then(|| format!("key_{}", number % 6));
                    let jobs = vec![NewJob { ordering_key, ..call() }, call()];
                    node.enqueue(&workspace, Enqueue { jobs, ..Enqueue::default() }).await.unwrap();
                }
            });
        }
    }
    while let Some(task) = tasks.join_next().await {
        task.unwrap();
    }
    let done = done.lock().await;
    assert_eq!(done.len(), 600, "each ran");
    assert_eq!(done.iter().collect::<BTreeSet<_>>().len(), 600, "and none twice");
    for number in 0..11 {
        let workspace = named(&format!("w{number}-dev"));
        let last = nodes[0].last_event(&workspace).await.unwrap();
        let page = nodes[1].events(&workspace, 0, &EventFilter::default(), 10_000).await.unwrap();
        let numbers: Vec<_> = page.items.iter().map(|event| event.id.sequence()).collect();
        assert_eq!(numbers, (1..=last).collect::<Vec<_>>());
    }
    let url = url.clone();
    let deadlocks =
        aside(move || server.select(&url, "select deadlocks from pg_stat_database where datname = current_database()"))
            .await;
    assert_eq!(deadlocks.trim(), "0");
}

/// Jobs of one ordering key run one at a time, in the order of acceptance, though two nodes accept and two run.
#[tokio::test(flavor = "multi_thread")]
async fn inv_10_nodes_keep_the_order_of_a_key() {
    let server = aside(PostgresServer::shared).await;
    let url = aside(|| server.fresh_database()).await;
    let nodes = [open(&url).await, open(&url).await];
    let mut accepting = JoinSet::new();
    for node in &nodes {
        let node = node.clone();
        accepting.spawn(async move {
            for _ in 0..40 {
                enqueue(&node, vec![NewJob { ordering_key: Some("k".to_owned()), ..call() }]).await;
            }
        });
    }
    let mut running = Vec::new();
    let mut turns = 0;
    while running.len() < 80 {
        turns += 1;
        assert!(turns < 20_000, "{} ran", running.len());
        let node = &nodes[turns % 2];
        let claimed = node.claim(claim_of(5)).await.unwrap();
        assert!(claimed.len() <= 1, "one at a time");
        let Some(job) = claimed.first() else { continue };
        assert!(nodes[(turns + 1) % 2].claim(claim_of(5)).await.unwrap().is_empty(), "the other has none meanwhile");
        running.push(job.record.job.id);
        assert_eq!(node.settle(vec![success(&job.record)]).await.unwrap(), [Settled::Applied]);
    }
    accepting.join_all().await;
    let statement = "select string_agg(e.id::text, ',' order by e.seq) from orchestrator.ended e";
    let accepted = aside(move || server.select(&url, statement)).await;
    let ran: Vec<_> = running.iter().map(|id| uuid::Uuid::from_u128(id.bits()).to_string()).collect();
    assert_eq!(accepted.trim(), ran.join(","));
    assert_eq!(nodes[0].queue_stats().await.unwrap().ready, 0);
}
