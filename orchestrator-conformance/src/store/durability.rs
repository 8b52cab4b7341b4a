//! What a restart leaves: everything, for a backend that is durable.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use orchestrator_core::audit::Verifier;
use orchestrator_core::clock::Clock;
use orchestrator_core::store::{
    Begin, Begun, Enqueued, Expect, Ingested, JobState, PayloadLinks, RecordKind, RecordWrite, RequestEntry, Route,
    RouteKey, Settled,
};
use orchestrator_core::types::ExecutionId;

use super::StoreHarness;
use super::fixture::{
    LEASE, accept, audit, bury, call, calls, change, claim, claim_one, drain, event, events, job, key, keyed,
    lose_leases, name, owner, quarantine, request, settle, succeeded, under_key, webhook, workspace,
};

/// A store says what it is, answers a ping, and is durable exactly if it can be opened again.
pub async fn a_store_says_what_it_is(harness: &impl StoreHarness) {
    let store = harness.store().await;
    let info = store.info();
    assert!(!info.name.is_empty());
    store.ping().await.expect("ping");
    assert_eq!(store.now().await.expect("now"), harness.clock().now());
    assert_eq!(harness.reopen(store).await.is_some(), info.durable);
}

/// What was acknowledged is there after a restart: records, routes, audit, jobs, keys, inbox, requests, events.
pub async fn inv_01_what_was_acknowledged_survives_a_restart(harness: &impl StoreHarness) {
    let (store, workspace, owner) = (harness.store().await, workspace("shop-dev"), owner("shop-dev"));
    let now = harness.clock().now();
    let later = now.after(Duration::from_secs(3600));
    let route = Route { name: name("main"), provider: name("stripe"), key: RouteKey::Account("acct_1".to_owned()) };
    let mut config = change(&owner);
    config.writes.push(RecordWrite::put(RecordKind::Config, "0000000001", Expect::Absent, Bytes::from_static(b"\0v")));
    config.routes = Some(vec![route.clone()]);
    config.audit = vec![audit("config.activate"), audit("config.note")];
    config.events = vec![event("config")];
    let epoch = store.commit(config).await.expect("commit").epoch;
    store.route_verified(&workspace, &name("main")).await.expect("verified");
    let done = accept(&store, &workspace, calls(1)).await[0];
    settle(&store, &claim_one(&store).await, succeeded()).await;
    let dead = bury(&store, &workspace, calls(1)).await[0];
    store.enqueue(&workspace, under_key(vec![call("mail")], "k", 1, later)).await.expect("enqueue");
    let entry = webhook("evt_1");
    let (inbox, body) = (entry.id, entry.body.clone());
    store.ingest(&workspace, entry).await.expect("ingest");
    let logged = request("exe_1", now);
    let execution = ExecutionId::new();
    let begin = Begin { key: key("e"), request_hash: [1; 32], execution, valid_until: later, take_over: false };
    store.begin(&workspace, begin.clone()).await.expect("begin");
    let record = Some(logged.clone());
    let entry = RequestEntry {
        workspace: workspace.clone(),
        record,
        events: vec![event("exe_1")],
        idempotency: None,
        payloads: PayloadLinks::default(),
    };
    store.log(vec![Arc::new(entry)]).await.expect("log");
    let told = events(&store, &workspace).await;

    let Some(store) = harness.reopen(store).await else { return };
    let found = store.record(&owner, RecordKind::Config, "0000000001").await.expect("record").expect("is there");
    assert_eq!((found.version, found.body), (1, Bytes::from_static(b"\0v")));
    assert_eq!(store.changed_since(epoch).await.expect("changed").0, epoch);
    let holders = store.routes(&route.provider, &route.key).await.expect("routes");
    assert_eq!((holders.len(), holders[0].since, holders[0].verified), (1, now, true));
    let mut more = change(&owner);
    more.audit.push(audit("config.more"));
    store.commit(more).await.expect("commit");
    let mut verifier = Verifier::default();
    store.audit(&owner, 0, 10).await.expect("audit").iter().for_each(|record| verifier.take(record));
    let verified = verifier.finish();
    assert!(verified.intact && verified.records == 3);
    assert_eq!(job(&store, &workspace, done).await.state, JobState::Succeeded);
    assert_eq!(job(&store, &workspace, dead).await.state, JobState::Dead);
    let again = store.enqueue(&workspace, under_key(calls(1), "k", 1, later)).await.expect("enqueue");
    assert!(matches!(again, Enqueued::Replayed(_)), "{again:?}");
    let again = store.ingest(&workspace, webhook("evt_1")).await.expect("ingest");
    assert_eq!(again, Ingested::Duplicate { id: inbox, conflict: false, count: 1 });
    let kept = store.inbox_entry(&workspace, inbox).await.expect("entry").expect("is there");
    assert_eq!(kept.entry.body, body);
    assert_eq!(store.request_about(&workspace, "exe_1").await.expect("about"), Some(logged));
    let other = Begin { execution: ExecutionId::new(), ..begin };
    let known = store.begin(&workspace, other).await.expect("begin");
    assert!(known == Begun::Running(execution) || known == Begun::Unknown(execution), "{known:?}");
    assert_eq!(events(&store, &workspace).await, told);
    store.append(&workspace, vec![event("more")]).await.expect("append");
    assert_eq!(store.last_event(&workspace).await.expect("last"), told.last().unwrap().id.sequence() + 1);
    assert_eq!(drain(&store).await.len(), 2, "the job under the key, and the delivery");
}

/// A job that ran when the process ended runs again, at the latest when its lease has ended, and the old settle is stale.
pub async fn inv_02_a_running_job_is_rescued_after_a_restart(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let id = accept(&store, &workspace, calls(1)).await[0];
    let first = claim_one(&store).await;
    let Some(store) = harness.reopen(store).await else { return };
    lose_leases(&store, harness.clock()).await;
    let found = job(&store, &workspace, id).await;
    assert_eq!((found.state, found.attempt, found.lost_leases), (JobState::Queued, 1, 1));
    assert_eq!(settle(&store, &first, succeeded()).await, Settled::Stale);
    let second = claim(&store, quarantine()).await.remove(0);
    assert_eq!((second.job.id, second.attempt), (id, 2));
    assert!(second.fence > first.fence);
    assert_eq!(settle(&store, &second, succeeded()).await, Settled::Applied);
}

/// Order survives a restart: priorities, acceptance, times and ordering keys.
pub async fn inv_10_order_survives_a_restart(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let ids = accept(&store, &workspace, vec![keyed("k"), call("crm"), keyed("k")]).await;
    let Some(store) = harness.reopen(store).await else { return };
    let more = accept(&store, &workspace, vec![keyed("k")]).await;
    assert_eq!(drain(&store).await, ids[..2]);
    harness.clock().advance(LEASE / 2);
    let head = job(&store, &workspace, ids[0]).await;
    assert_eq!(settle(&store, &head, succeeded()).await, Settled::Applied);
    let second = claim_one(&store).await;
    assert_eq!(second.job.id, ids[2]);
    settle(&store, &second, succeeded()).await;
    assert_eq!(claim_one(&store).await.job.id, more[0]);
}
