//! Commit watches: who is attached hears of every commit, so that nobody polls for what this process wrote itself.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use orchestrator_core::store::{CommitWatch, Expect, RecordKind, RecordWrite, Store};
use orchestrator_core::types::WorkspaceId;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::StoreHarness;
use super::fixture::{
    accept, calls, change, claim_one, event, given_back, owner, settle, succeeded, webhook, workspace,
};

/// A limit of liveness: long enough for any machine.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Heard {
    Touched(WorkspaceId),
    Ready,
    Control,
}

struct Ear(UnboundedSender<Heard>);

impl CommitWatch for Ear {
    fn touched(&self, workspace: &WorkspaceId) {
        let _ = self.0.send(Heard::Touched(workspace.clone()));
    }

    fn ready(&self) {
        let _ = self.0.send(Heard::Ready);
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
