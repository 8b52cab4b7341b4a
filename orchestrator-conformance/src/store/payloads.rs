//! Rows of payloads: they come with their owner, and go when nobody names them any more.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use orchestrator_core::clock::Clock;
use orchestrator_core::secrets::seal::{DataKey, PayloadSeal};
use orchestrator_core::store::{
    Ingested, NewInbox, NewJob, NewPayload, PayloadLinks, PayloadSweep, RequestEntry, Settlement, Store, StoreError,
    Sweep,
};
use orchestrator_core::types::{PayloadId, WorkspaceId};

use super::StoreHarness;
use super::fixture::{
    accept, audit, bears, bury, call, calls, claim_one, names, payload, request, settle, settlement, succeeded, sweep,
    webhook, workspace,
};

const HOUR: Duration = Duration::from_secs(3600);

async fn is_there(store: &Arc<dyn Store>, workspace: &WorkspaceId, id: PayloadId) -> bool {
    store.payload(workspace, id).await.expect("payload").is_some()
}

/// Lets an hour pass, and sweeps what is older than now.
async fn swept(harness: &impl StoreHarness, store: &Arc<dyn Store>, workspace: &WorkspaceId) -> Vec<PayloadId> {
    harness.clock().advance(HOUR);
    let now = harness.clock().now();
    let line = PayloadSweep { executions_before: now, unnamed_before: now };
    store.sweep_payloads(workspace, line, 1_000).await.expect("sweep")
}

/// Every field of a row is there; writing it again changes nothing.
pub async fn a_row_is_read_back_as_written(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let seal = PayloadSeal::draw(&DataKey::generate().expect("a key")).expect("a seal");
    let sealed = NewPayload { seal: Some(seal), size: 1 << 40, ..payload() };
    for new in [payload(), sealed] {
        store.add_payload(&workspace, new.clone()).await.expect("add");
        let at = harness.clock().now();
        harness.clock().advance(HOUR);
        store.add_payload(&workspace, NewPayload { size: 1, ..new.clone() }).await.expect("add");
        let found = store.payload(&workspace, new.id).await.expect("payload").expect("the row");
        assert_eq!((&found.payload, found.created_at, found.lost_at), (&new, at, None));
    }
    assert!(!is_there(&store, &workspace, PayloadId::new()).await);
}

/// With its id alone another workspace reads, names, sweeps and notes nothing; the id is free there.
pub async fn inv_44_a_row_is_of_its_workspace(harness: &impl StoreHarness) {
    let (store, ours, theirs) = (harness.store().await, workspace("ours-dev"), workspace("theirs-dev"));
    let new = payload();
    store.add_payload(&theirs, new.clone()).await.expect("add");
    assert!(!is_there(&store, &ours, new.id).await);
    assert_eq!(store.known_payloads(&ours, &[new.id]).await.expect("known"), []);
    assert_eq!(store.known_payloads(&theirs, &[new.id, PayloadId::new()]).await.expect("known"), [new.id]);
    store.note_lost_payload(&ours, new.id).await.expect("note");
    accept(&store, &ours, vec![NewJob { payloads: names(new.id), ..call("crm") }]).await;
    assert_eq!(swept(harness, &store, &ours).await, []);
    let found = store.payload(&theirs, new.id).await.expect("payload").expect("it is theirs");
    assert_eq!(found.lost_at, None);
    let mine = NewPayload { size: 9, ..new.clone() };
    store.add_payload(&ours, mine.clone()).await.expect("add");
    assert_eq!(swept(harness, &store, &theirs).await, [new.id], "our job did not name it");
    assert_eq!(store.payload(&ours, new.id).await.expect("payload").expect("ours stays").payload, mine);
}

/// A job's, an outcome's, a webhook's and an execution's payloads are there once they are.
pub async fn a_payload_comes_into_being_with_its_owner(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let (input, output, body, answer) = (payload(), payload(), payload(), payload());
    accept(&store, &workspace, vec![NewJob { payloads: bears(&input), ..call("crm") }]).await;
    let job = claim_one(&store).await;
    assert_eq!(job.job.payloads, PayloadLinks::default());
    let end = Settlement { payloads: bears(&output), ..settlement(&job, succeeded()) };
    let late = payload();
    let again = Settlement { payloads: bears(&late), ..end.clone() };
    store.settle(vec![end]).await.expect("settle");
    store.settle(vec![again]).await.expect("settle");
    let entry = NewInbox {
        body: Bytes::new(),
        body_payload: Some(body.id),
        payloads: bears(&body),
        jobs: Vec::new(),
        ..webhook("evt_1")
    };
    store.ingest(&workspace, entry.clone()).await.expect("ingest");
    let found = store.inbox_entry(&workspace, entry.id).await.expect("entry").expect("the entry").entry;
    assert_eq!(
        (found.body_payload, found.body, found.payloads),
        (Some(body.id), Bytes::new(), PayloadLinks::default())
    );
    let second = payload();
    let again = store.ingest(&workspace, NewInbox { payloads: bears(&second), ..webhook("evt_1") }).await;
    assert!(matches!(again, Ok(Ingested::Duplicate { .. })), "{again:?}");
    store.log(vec![Arc::new(execution(harness, &workspace, &answer))]).await.expect("log");
    let all = [input.id, output.id, body.id, answer.id, late.id, second.id];
    let known = store.known_payloads(&workspace, &all).await.expect("known");
    assert_eq!(known, all[..4], "a stale outcome and a duplicate bring nothing");
}

fn execution(harness: &impl StoreHarness, workspace: &WorkspaceId, answer: &NewPayload) -> RequestEntry {
    let subject = orchestrator_core::types::ExecutionId::new().to_string();
    RequestEntry {
        workspace: workspace.clone(),
        record: Some(request(&subject, harness.clock().now())),
        events: Vec::new(),
        idempotency: None,
        payloads: bears(answer),
    }
}

/// An owner that is not written brings no payload.
pub async fn inv_33_a_refused_owner_leaves_no_payload(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let first = call("crm");
    accept(&store, &workspace, vec![first.clone()]).await;
    let (new, again) = (payload(), NewJob { payloads: bears(&payload()), ..first });
    let id = again.payloads.new[0].id;
    accept(&store, &workspace, vec![again]).await;
    assert!(!is_there(&store, &workspace, id).await, "the job was there already");
    let entry = NewInbox { payloads: bears(&new), ..webhook("evt_1") };
    let taken = NewInbox { event_id: "evt_2".to_owned(), ..entry.clone() };
    store.ingest(&workspace, NewInbox { payloads: PayloadLinks::default(), ..entry }).await.expect("ingest");
    let refused = store.ingest(&workspace, taken).await;
    assert!(matches!(refused, Err(StoreError::Refused(_))), "another event has its id: {refused:?}");
    assert!(!is_there(&store, &workspace, new.id).await);
}

/// An upload that nobody names goes once it is old enough, and not before.
pub async fn inv_44_what_nobody_names_goes_after_its_time(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let new = payload();
    store.add_payload(&workspace, new.clone()).await.expect("add");
    let line = PayloadSweep { executions_before: harness.clock().now(), unnamed_before: harness.clock().now() };
    assert_eq!(store.sweep_payloads(&workspace, line, 10).await.expect("sweep"), []);
    assert_eq!(swept(harness, &store, &workspace).await, [new.id]);
    assert!(!is_there(&store, &workspace, new.id).await);
    assert_eq!(swept(harness, &store, &workspace).await, []);
}

/// What a queued, running, dead or ended job names stays as long as the job does.
pub async fn inv_38_what_somebody_names_stays(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let (upload, output) = (payload(), payload());
    store.add_payload(&workspace, upload.clone()).await.expect("add");
    accept(&store, &workspace, vec![NewJob { payloads: names(upload.id), ..call("crm") }]).await;
    assert_eq!(swept(harness, &store, &workspace).await, []);
    let job = claim_one(&store).await;
    assert_eq!(swept(harness, &store, &workspace).await, []);
    let end = Settlement { payloads: bears(&output), ..settlement(&job, succeeded()) };
    store.settle(vec![end]).await.expect("settle");
    assert_eq!(swept(harness, &store, &workspace).await, []);
    let mut line = sweep(&workspace, harness.clock().now());
    line.jobs_before = harness.clock().now();
    store.sweep(line, 1_000).await.expect("sweep");
    let mut gone = swept(harness, &store, &workspace).await;
    gone.sort_unstable();
    let mut both = [upload.id, output.id];
    both.sort_unstable();
    assert_eq!(gone, both, "they go with the job");
}

/// Of several owners the last one keeps it.
pub async fn a_payload_goes_with_the_last_that_names_it(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let output = payload();
    accept(&store, &workspace, calls(1)).await;
    let job = claim_one(&store).await;
    let told = NewJob { payloads: names(output.id), ..super::fixture::delivery("billing") };
    let end = Settlement { payloads: bears(&output), delivery: Some(told), ..settlement(&job, succeeded()) };
    store.settle(vec![end]).await.expect("settle");
    harness.clock().advance(HOUR);
    store.sweep(sweep(&workspace, harness.clock().now()), 1_000).await.expect("sweep");
    assert!(store.job(&workspace, job.job.id).await.expect("job").is_none(), "the job is gone");
    assert_eq!(swept(harness, &store, &workspace).await, [], "its delivery is not");
    settle(&store, &claim_one(&store).await, succeeded()).await;
    harness.clock().advance(HOUR);
    store.sweep(sweep(&workspace, harness.clock().now()), 1_000).await.expect("sweep");
    assert_eq!(swept(harness, &store, &workspace).await, [output.id]);
}

/// A dead letter keeps its payloads until it is purged.
pub async fn a_purged_job_names_nothing(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let input = payload();
    let dead = bury(&store, &workspace, vec![NewJob { payloads: bears(&input), ..call("crm") }]).await;
    harness.clock().advance(HOUR);
    store.sweep(sweep(&workspace, harness.clock().now()), 1_000).await.expect("sweep");
    assert_eq!(swept(harness, &store, &workspace).await, []);
    store.purge(&workspace, dead, audit("dlq.purge")).await.expect("purge");
    assert_eq!(swept(harness, &store, &workspace).await, [input.id]);
}

/// The body of a webhook goes by the retention of bodies; what deduplicates stays.
pub async fn an_inbox_entry_names_its_body_until_that_goes(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let body = payload();
    let received_at = harness.clock().now();
    let entry = NewInbox {
        body_payload: Some(body.id),
        payloads: bears(&body),
        jobs: Vec::new(),
        received_at,
        ..webhook("evt_1")
    };
    store.ingest(&workspace, entry).await.expect("ingest");
    assert_eq!(swept(harness, &store, &workspace).await, []);
    let line = Sweep { tombstones_before: received_at, ..sweep(&workspace, harness.clock().now()) };
    store.sweep(line, 1_000).await.expect("sweep");
    assert_eq!(swept(harness, &store, &workspace).await, [body.id]);
    let again = store.ingest(&workspace, webhook("evt_1")).await.expect("ingest");
    assert!(matches!(again, Ingested::Duplicate { .. }), "{again:?}");
}

/// The output of an execution goes by the time that executions are kept, which the caller of the sweep says.
pub async fn an_execution_names_its_output_for_its_time(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let answer = payload();
    store.log(vec![Arc::new(execution(harness, &workspace, &answer))]).await.expect("log");
    let written = harness.clock().now();
    harness.clock().advance(HOUR);
    let now = harness.clock().now();
    store.sweep(sweep(&workspace, now), 1_000).await.expect("sweep");
    let line = PayloadSweep { executions_before: written, unnamed_before: now };
    assert_eq!(store.sweep_payloads(&workspace, line, 10).await.expect("sweep"), []);
    let line = PayloadSweep { executions_before: now, unnamed_before: now };
    assert_eq!(store.sweep_payloads(&workspace, line, 10).await.expect("sweep"), [answer.id]);
}

/// To name what is not there makes nothing, and stops nothing.
pub async fn what_is_named_must_be_there(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let nobody = PayloadId::new();
    accept(&store, &workspace, vec![NewJob { payloads: names(nobody), ..call("crm") }]).await;
    assert!(!is_there(&store, &workspace, nobody).await);
    let late = NewPayload { id: nobody, ..payload() };
    store.add_payload(&workspace, late).await.expect("add");
    assert_eq!(swept(harness, &store, &workspace).await, [nobody], "the name came before it");
}

/// No more than asked for go in a step, and what stays does not hide what goes.
pub async fn inv_35_a_sweep_of_payloads_goes_in_bounded_steps(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let kept: Vec<_> = (0..20).map(|_| payload()).collect();
    let jobs = kept.iter().map(|payload| NewJob { payloads: bears(payload), ..call("crm") }).collect();
    accept(&store, &workspace, jobs).await;
    for _ in 0..7 {
        store.add_payload(&workspace, payload()).await.expect("add");
    }
    harness.clock().advance(HOUR);
    let line = PayloadSweep { executions_before: harness.clock().now(), unnamed_before: harness.clock().now() };
    let mut steps = Vec::new();
    for _ in 0..4 {
        steps.push(store.sweep_payloads(&workspace, line, 3).await.expect("sweep").len());
    }
    assert_eq!(steps, [3, 3, 1, 0]);
    let ids: Vec<_> = kept.iter().map(|payload| payload.id).collect();
    assert_eq!(store.known_payloads(&workspace, &ids).await.expect("known"), ids);
}

/// That an object was found lost is noted with the time of the first look.
pub async fn a_lost_object_is_noted_once(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let new = payload();
    store.add_payload(&workspace, new.clone()).await.expect("add");
    let at = harness.clock().now();
    store.note_lost_payload(&workspace, new.id).await.expect("note");
    harness.clock().advance(HOUR);
    store.note_lost_payload(&workspace, new.id).await.expect("note");
    store.note_lost_payload(&workspace, PayloadId::new()).await.expect("note");
    let found = store.payload(&workspace, new.id).await.expect("payload").expect("the row stays");
    assert_eq!(found.lost_at, Some(at));
}

/// Rows and names outlive the process.
pub async fn a_payload_survives_a_restart(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let input = payload();
    accept(&store, &workspace, vec![NewJob { payloads: bears(&input), ..call("crm") }]).await;
    let Some(store) = harness.reopen(store).await else { return };
    let found = store.payload(&workspace, input.id).await.expect("payload").expect("it is durable");
    assert_eq!(found.payload, input);
    assert_eq!(swept(harness, &store, &workspace).await, [], "the job still names it");
}
