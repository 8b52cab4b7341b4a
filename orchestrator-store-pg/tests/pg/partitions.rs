//! A partition a day: what no workspace needs any more goes with its day.

use std::time::Duration;

use bytes::Bytes;
use orchestrator_conformance::ManualClock;
use orchestrator_conformance::servers::PostgresServer;
use orchestrator_core::clock::Clock;
use orchestrator_core::store::{
    ControlChange, ControlStore, EventFilter, EventLog, Expect, Owner, RecordKind, RecordWrite, RequestLog, Sweep,
};
use orchestrator_core::types::{Timestamp, WorkspaceId};
use orchestrator_store_pg::{PgOptions, PgStore};

use crate::fixture::{aside, event, named};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

async fn create(store: &PgStore, workspace: &WorkspaceId) {
    let mut change = ControlChange::of(Owner::from(workspace));
    change.writes.push(RecordWrite::put(RecordKind::Workspace, "self", Expect::Absent, Bytes::from_static(b"{}")));
    store.commit(change).await.unwrap();
}

fn sweep(workspace: &WorkspaceId, before: Timestamp) -> Sweep {
    Sweep {
        workspace: workspace.clone(),
        requests_before: before,
        events_before: before,
        inbox_before: before,
        jobs_before: before,
        tombstones_before: before,
    }
}

async fn left(store: &PgStore, workspace: &WorkspaceId) -> usize {
    store.events(workspace, 0, &EventFilter::default(), 100).await.unwrap().items.len()
}

/// A day is dropped when every workspace has outlived it, and not before; one that needs less than the others has its rows
/// deleted a day later.
#[tokio::test(flavor = "multi_thread")]
async fn a_day_is_dropped_when_nobody_needs_it() {
    let server = aside(PostgresServer::shared).await;
    let url = aside(|| server.fresh_database()).await;
    let clock = ManualClock::default();
    let store = PgStore::open(PgOptions::parse(&url).unwrap().clock(clock.shared())).await.unwrap();
    let (one, two) = (named("one-dev"), named("two-dev"));
    for workspace in [&one, &two] {
        create(&store, workspace).await;
    }
    for _ in 0..4 {
        for workspace in [&one, &two] {
            store.append(workspace, vec![event()]).await.unwrap();
        }
        clock.advance(DAY);
        store.keep_partitions().await.unwrap();
    }
    let lies_by_the_day = {
        let url = url.clone();
        let statement = "select count(*) from orchestrator.events_default";
        aside(move || server.select(&url, statement)).await
    };
    assert_eq!(lies_by_the_day.trim(), "0");

    let before = clock.now().before(DAY);
    assert_eq!(store.keep_partitions().await.unwrap(), 0, "nobody has said what is needed no more");
    store.sweep(sweep(&one, before), 1_000).await.unwrap();
    assert_eq!(store.keep_partitions().await.unwrap(), 0, "the other has not");
    assert!(left(&store, &one).await < 4, "what shares its days with others' is deleted after another day");
    assert_eq!(left(&store, &two).await, 4);
    store.sweep(sweep(&two, before.before(DAY)), 1_000).await.unwrap();
    assert!(store.keep_partitions().await.unwrap() >= 1);
    let kept = left(&store, &two).await;
    assert!((2..4).contains(&kept), "the first day is gone, the last ones are there: {kept}");
}
