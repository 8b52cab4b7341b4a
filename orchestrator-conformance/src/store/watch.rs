//! Commit watches: who is attached hears of every commit, so that nobody polls for what this process wrote itself.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use orchestrator_core::clock::Clock;
use orchestrator_core::queue::JobHint;
use orchestrator_core::store::{CommitWatch, Expect, NewJob, RecordKind, RecordWrite, Store};
use orchestrator_core::types::{JobId, WorkspaceId};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::StoreHarness;
use super::fixture::{
    LEASE, accept, audit, bury, call, calls, change, claim, claim_one, delivery, event, given_back, keyed, lane, owner,
    quarantine, retry, settle, succeeded, webhook, workspace,
};

/// A limit of liveness: long enough for any machine.
const PATIENCE: Duration = Duration::from_secs(30);
const MINUTE: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Heard {
    Touched(WorkspaceId),
    Ready,
    Hint(JobHint),
    Control,
}

struct Ear(UnboundedSender<Heard>);

impl CommitWatch for Ear {
    fn touched(&self, workspace: &WorkspaceId) {
        let _ = self.0.send(Heard::Touched(workspace.clone()));
    }

    fn ready(&self, hints: &[JobHint]) {
        let _ = self.0.send(Heard::Ready);
        for hint in hints {
            let _ = self.0.send(Heard::Hint(hint.clone()));
        }
    }

    fn wants_hints(&self) -> bool {
        true
    }

    fn control(&self) {
        let _ = self.0.send(Heard::Control);
    }
}

fn listen(store: &Arc<dyn Store>) -> UnboundedReceiver<Heard> {
    let (sender, receiver) = unbounded_channel();
    store.attach(Arc::new(Ear(sender)));
    receiver
}

/// Forgets what was heard so far, so that only what comes next counts.
fn forget(ear: &mut UnboundedReceiver<Heard>) {
    while ear.try_recv().is_ok() {}
}

async fn hear(ear: &mut UnboundedReceiver<Heard>, wanted: &[Heard]) {
    let mut missing = wanted.to_vec();
    while !missing.is_empty() {
        let heard = tokio::time::timeout(PATIENCE, ear.recv()).await;
        let heard = heard.unwrap_or_else(|_| panic!("never heard of {missing:?}")).expect("the store lives");
        missing.retain(|wanted| *wanted != heard);
    }
    forget(ear);
}

/// What was named so far. It ends with an event of a workspace that nothing else touches.
async fn hints_until_now(store: &Arc<dyn Store>, ear: &mut UnboundedReceiver<Heard>) -> Vec<JobHint> {
    let mark = workspace("mark-dev");
    store.append(&mark, vec![event("mark")]).await.expect("append");
    let mut hints = Vec::new();
    loop {
        let heard = tokio::time::timeout(PATIENCE, ear.recv()).await;
        match heard.expect("the mark is heard of").expect("the store lives") {
            Heard::Hint(hint) => hints.push(hint),
            Heard::Touched(touched) if touched == mark => return hints,
            _ => {}
        }
    }
}

/// The jobs that were named so far.
async fn named(store: &Arc<dyn Store>, ear: &mut UnboundedReceiver<Heard>) -> Vec<JobId> {
    hints_until_now(store, ear).await.iter().map(|hint| hint.job).collect()
}

/// Who is attached hears of accepted jobs, webhooks, events, settlements and control changes, each time.
pub async fn who_is_attached_hears_of_commits(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let touched = Heard::Touched(workspace.clone());
    let mut ear = listen(&store);
    accept(&store, &workspace, calls(1)).await;
    hear(&mut ear, &[touched.clone(), Heard::Ready]).await;
    let record = claim_one(&store).await;
    hear(&mut ear, std::slice::from_ref(&touched)).await;
    settle(&store, &record, given_back()).await;
    hear(&mut ear, &[touched.clone(), Heard::Ready]).await;
    let record = claim_one(&store).await;
    hear(&mut ear, std::slice::from_ref(&touched)).await;
    settle(&store, &record, succeeded()).await;
    hear(&mut ear, std::slice::from_ref(&touched)).await;
    store.append(&workspace, vec![event("a")]).await.expect("append");
    hear(&mut ear, std::slice::from_ref(&touched)).await;
    store.ingest(&workspace, webhook("evt_1")).await.expect("ingest");
    hear(&mut ear, &[touched, Heard::Ready]).await;
    let mut change = change(&owner("shop-dev"));
    change.writes.push(RecordWrite::put(RecordKind::Pointer, "active", Expect::Any, Bytes::new()));
    store.commit(change).await.expect("commit");
    hear(&mut ear, &[Heard::Control]).await;
}

/// Several may be attached; each hears.
pub async fn several_may_be_attached(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let (mut first, mut second) = (listen(&store), listen(&store));
    store.append(&workspace, vec![event("a")]).await.expect("append");
    for ear in [&mut first, &mut second] {
        hear(ear, &[Heard::Touched(workspace.clone())]).await;
    }
}

/// A new job is named, with its lane, its priority and its time, also if that has not come.
pub async fn a_new_job_is_named(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let mut ear = listen(&store);
    let now = harness.clock().now();
    let later = NewJob { run_at: Some(now.after(MINUTE)), ..call("crm") };
    let jobs = vec![NewJob { priority: 7, ..call("crm") }, delivery("product"), later];
    let ids = accept(&store, &workspace, jobs).await;
    let hints = hints_until_now(&store, &mut ear).await;
    let of = |id| hints.iter().find(|hint| hint.job == id).expect("it is named");
    assert_eq!(hints.len(), 3);
    assert_eq!((&of(ids[0]).workspace, of(ids[0]).priority, of(ids[0]).run_at), (&workspace, 7, now));
    assert_eq!(of(ids[0]).lane(), Some(lane(&workspace, false, "crm")));
    assert_eq!(of(ids[1]).lane(), Some(lane(&workspace, true, "product")));
    assert_eq!(of(ids[2]).run_at, now.after(MINUTE));
    store.ingest(&workspace, webhook("evt_1")).await.expect("ingest");
    assert_eq!(hints_until_now(&store, &mut ear).await.len(), 1, "and the delivery of a webhook");
}

/// What is to be retried, was given back or is replayed is named, with the time at which it may run.
pub async fn what_comes_back_is_named(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let id = accept(&store, &workspace, calls(1)).await[0];
    let mut ear = listen(&store);
    let again = harness.clock().now().after(MINUTE);
    let record = claim_one(&store).await;
    settle(&store, &record, retry(again)).await;
    let hint = hints_until_now(&store, &mut ear).await.remove(0);
    assert_eq!((hint.job, hint.run_at), (id, again));
    harness.clock().advance(MINUTE);
    let record = claim_one(&store).await;
    settle(&store, &record, given_back()).await;
    let hint = hints_until_now(&store, &mut ear).await.remove(0);
    assert_eq!((hint.job, hint.run_at), (id, again));
    let record = claim_one(&store).await;
    settle(&store, &record, succeeded()).await;
    let dead = bury(&store, &workspace, calls(1)).await[0];
    hints_until_now(&store, &mut ear).await;
    store.replay(&workspace, vec![(dead, None)], audit("dlq.replay")).await.expect("replay");
    assert_eq!(named(&store, &mut ear).await, [dead]);
}

/// Of an ordering key only the first is named; when it ends, the next.
pub async fn inv_10_who_is_let_go_is_named(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let mut ear = listen(&store);
    let ids = accept(&store, &workspace, vec![keyed("k"), keyed("k"), keyed("k")]).await;
    assert_eq!(named(&store, &mut ear).await, ids[..1]);
    let record = claim_one(&store).await;
    assert!(!named(&store, &mut ear).await.contains(&ids[1]), "the first runs");
    settle(&store, &record, succeeded()).await;
    assert_eq!(named(&store, &mut ear).await, ids[1..2]);
    store.cancel(&workspace, ids[1], event("cancelled")).await.expect("cancel");
    assert_eq!(named(&store, &mut ear).await, ids[2..]);
}

/// What lost a lease runs apart, and is not named.
pub async fn inv_04_what_lost_a_lease_is_not_named(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    accept(&store, &workspace, calls(1)).await;
    claim_one(&store).await;
    harness.clock().advance(LEASE + MINUTE);
    let mut ear = listen(&store);
    assert_eq!(store.rescue("other", LEASE, 10).await.expect("rescue").0, 1);
    assert!(named(&store, &mut ear).await.is_empty());
    let record = claim(&store, quarantine()).await.remove(0);
    settle(&store, &record, given_back()).await;
    assert!(named(&store, &mut ear).await.is_empty());
}
