//! Acceptance of jobs: all or none, once an id, once an idempotency key.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use orchestrator_core::clock::Clock;
use orchestrator_core::store::{Enqueue, Enqueued, JobFilter, JobKind, JobState, NewJob};
use orchestrator_core::types::{EventType, JobStatus, TraceId};

use super::StoreHarness;
use super::fixture::{
    Steps, accept, at_once, audit, audits, call, calls, claim_one, delivery, event, events, job, kinds, list, name,
    newest_first, of, owner, settle, succeeded, under_key, workspace,
};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// What was accepted is there, field by field.
pub async fn an_accepted_job_is_there(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let now = harness.clock().now();
    let asked = NewJob {
        input: Bytes::from_static(b"{\"n\": 1.0}"),
        priority: 9,
        run_at: Some(now.after(Duration::from_secs(60))),
        max_attempts: 3,
        ordering_key: Some("customer 7".to_owned()),
        callback: Some(name("billing")),
        metadata: BTreeMap::from([("a".to_owned(), "b".to_owned())]),
        timeout: Some(Duration::from_millis(1_500)),
        subject: Some("whk_1".to_owned()),
        delivery_id: Some("msg_1".to_owned()),
        ..call("crm")
    };
    accept(&store, &workspace, vec![asked.clone()]).await;
    let record = job(&store, &workspace, asked.id).await;
    assert_eq!(record.workspace, workspace);
    assert_eq!((record.state, record.attempt, record.lost_leases), (JobState::Queued, 0, 0));
    assert_eq!((record.created_at, record.run_at), (now, now.after(Duration::from_secs(60))));
    assert_eq!((record.finished_at, record.output, record.error), (None, None, None));
    assert_eq!((record.dead_reason, record.delivery), (None, None));
    let found = record.job;
    assert_eq!((found.id, found.kind, found.connector), (asked.id, asked.kind, asked.connector));
    assert_eq!((found.operation, found.input, found.priority), (asked.operation, asked.input, 9));
    assert_eq!((found.max_attempts, found.ordering_key), (3, asked.ordering_key));
    assert_eq!((found.callback, found.metadata, found.timeout), (asked.callback, asked.metadata, asked.timeout));
    assert_eq!((found.subject, found.delivery_id), (asked.subject, asked.delivery_id));
    assert_eq!(found.trace_id, asked.trace_id);
}

/// Without a time a job may run from its acceptance on.
pub async fn a_job_without_a_time_may_run_at_once(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let ids = accept(&store, &workspace, calls(1)).await;
    let record = job(&store, &workspace, ids[0]).await;
    assert_eq!(record.run_at, harness.clock().now());
    assert_eq!(record.status(harness.clock().now()), JobStatus::Queued);
    assert_eq!(claim_one(&store).await.job.id, ids[0]);
}

/// Acceptance writes the caller's events, then `job.queued` for each job in order, of kinds that have events.
pub async fn acceptance_writes_its_events(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let jobs = vec![call("crm"), NewJob { kind: JobKind::Callback, ..delivery("billing") }, delivery("billing")];
    let expected: Vec<_> = [Some(event("first")), jobs[0].queued_event(), jobs[2].queued_event()]
        .into_iter()
        .flatten()
        .map(|event| (event.kind, event.subject))
        .collect();
    let enqueue = Enqueue { jobs: jobs.clone(), events: vec![event("first")], ..Enqueue::default() };
    assert_eq!(store.enqueue(&workspace, enqueue).await.expect("enqueue"), Enqueued::Accepted);
    let found = events(&store, &workspace).await;
    assert_eq!(found.iter().map(|event| (event.kind, event.subject.clone())).collect::<Vec<_>>(), expected);
    let queued = jobs[0].queued_event().expect("a call has events");
    assert_eq!((&found[1].data, found[1].trace_id), (&queued.data, jobs[0].trace_id));
}

/// The audit record of an acceptance is in the workspace's chain.
pub async fn acceptance_writes_its_audit_record(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let enqueue = Enqueue { jobs: calls(1), audit: Some(audit("inbox.replay")), ..Enqueue::default() };
    store.enqueue(&workspace, enqueue).await.expect("enqueue");
    assert_eq!(audits(&store, &owner("shop-dev")).await, ["inbox.replay"]);
}

/// The same id twice is one job, also after it has ended, and one event.
pub async fn the_same_id_twice_is_once(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let asked = call("crm");
    accept(&store, &workspace, vec![asked.clone()]).await;
    accept(&store, &workspace, vec![asked.clone()]).await;
    assert_eq!(kinds(&store, &workspace).await, [EventType::JobQueued]);
    let record = claim_one(&store).await;
    assert_eq!(settle(&store, &record, succeeded()).await, orchestrator_core::store::Settled::Applied);
    let other = call("crm");
    accept(&store, &workspace, vec![asked.clone(), other.clone()]).await;
    assert_eq!(job(&store, &workspace, asked.id).await.state, JobState::Succeeded);
    assert_eq!(job(&store, &workspace, other.id).await.state, JobState::Queued);
    let queued = [EventType::JobQueued, EventType::JobStarted, EventType::JobQueued];
    assert_eq!(kinds(&store, &workspace).await, queued);
}

/// A whole call that is repeated because its answer was lost changes nothing: no job, event or audit record more.
pub async fn inv_32_a_repeated_acceptance_changes_nothing(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let enqueue = Enqueue { jobs: calls(2), audit: Some(audit("x")), events: vec![event("x")], ..Enqueue::default() };
    for _ in 0..2 {
        assert_eq!(store.enqueue(&workspace, enqueue.clone()).await.expect("enqueue"), Enqueued::Accepted);
    }
    assert_eq!(list(&store, &workspace, &JobFilter::default()).await.len(), 2);
    assert_eq!(events(&store, &workspace).await.len(), 3);
    assert_eq!(audits(&store, &owner("shop-dev")).await.len(), 1);
}

/// The same key and request get the first answer again, and enqueue nothing.
pub async fn inv_08_a_key_answers_again(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let until = harness.clock().now().after(DAY);
    let first = under_key(calls(1), "k", 1, until);
    let answer = first.idempotency.as_ref().map(|kept| kept.answer.clone()).unwrap();
    assert_eq!(store.enqueue(&workspace, first).await.expect("enqueue"), Enqueued::Accepted);
    let mut again = under_key(calls(1), "k", 1, until);
    again.idempotency.as_mut().unwrap().answer = Bytes::from_static(b"another answer");
    again.events.push(event("x"));
    again.audit = Some(audit("x"));
    assert_eq!(store.enqueue(&workspace, again).await.expect("enqueue"), Enqueued::Replayed(answer));
    assert_eq!(list(&store, &workspace, &JobFilter::default()).await.len(), 1);
    assert_eq!(kinds(&store, &workspace).await, [EventType::JobQueued]);
    assert!(audits(&store, &owner("shop-dev")).await.is_empty());
}

/// The same key with another request is refused, and enqueues nothing.
pub async fn inv_08_a_key_refuses_another_request(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let until = harness.clock().now().after(DAY);
    store.enqueue(&workspace, under_key(calls(1), "k", 1, until)).await.expect("enqueue");
    let other = store.enqueue(&workspace, under_key(calls(1), "k", 2, until)).await.expect("enqueue");
    assert_eq!(other, Enqueued::Mismatch);
    assert_eq!(list(&store, &workspace, &JobFilter::default()).await.len(), 1);
    let another_key = store.enqueue(&workspace, under_key(calls(1), "K", 2, until)).await.expect("enqueue");
    assert_eq!(another_key, Enqueued::Accepted, "keys differ by case");
}

/// A key is forgotten when its time is over, by the store's clock, not before; whether or not a sweep came by.
pub async fn inv_08_a_key_expires(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let until = harness.clock().now().after(DAY);
    store.enqueue(&workspace, under_key(calls(1), "k", 1, until)).await.expect("enqueue");
    harness.clock().advance(DAY - Duration::from_secs(1));
    let held = store.enqueue(&workspace, under_key(calls(1), "k", 2, until)).await.expect("enqueue");
    assert_eq!(held, Enqueued::Mismatch);
    harness.clock().advance(Duration::from_secs(2));
    let later = harness.clock().now().after(DAY);
    let free = store.enqueue(&workspace, under_key(calls(1), "k", 2, later)).await.expect("enqueue");
    assert_eq!(free, Enqueued::Accepted);
    let again = store.enqueue(&workspace, under_key(calls(1), "k", 1, later)).await.expect("enqueue");
    assert_eq!(again, Enqueued::Mismatch, "the key is the second request's now");
}

/// A hundred at once with one key make one job, and all get its answer.
pub async fn inv_08_a_hundred_with_one_key_make_one_job(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let until = harness.clock().now().after(DAY);
    let callers = (0..100).map(|number: u32| {
        let (store, workspace) = (store.clone(), workspace.clone());
        async move {
            let mut enqueue = under_key(calls(1), "k", 1, until);
            let mine = Bytes::from(number.to_string());
            enqueue.idempotency.as_mut().unwrap().answer = mine.clone();
            match store.enqueue(&workspace, enqueue).await.expect("enqueue") {
                Enqueued::Accepted => (true, mine),
                Enqueued::Replayed(answer) => (false, answer),
                Enqueued::Mismatch => panic!("it is the same request"),
            }
        }
    });
    let answers = at_once(callers).await;
    let accepted: Vec<_> = answers.iter().filter(|(accepted, _)| *accepted).collect();
    assert_eq!(accepted.len(), 1);
    assert!(answers.iter().all(|(_, answer)| *answer == accepted[0].1), "all get the answer of the one");
    assert_eq!(list(&store, &workspace, &JobFilter::default()).await.len(), 1);
}

/// A batch is accepted in its order; a list shows the newest first, pages by id, and filters.
pub async fn a_list_is_paged_newest_first(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let mut ids = accept(&store, &workspace, calls(5)).await;
    ids.extend(accept(&store, &workspace, vec![delivery("billing")]).await);
    accept(&store, &workspace, vec![NewJob { kind: JobKind::Callback, ..delivery("billing") }]).await;
    let (mut found, mut before, mut steps) = (Vec::new(), None, Steps::default());
    loop {
        steps.take();
        let page = store.jobs(&workspace, &JobFilter::default(), before, 2).await.expect("jobs");
        let Some(last) = page.last() else { break };
        assert!(page.len() <= 2);
        before = Some(last.job.id);
        found.extend(page.into_iter().map(|record| record.job.id));
    }
    assert_eq!(found, newest_first(ids), "deliveries of outcomes are not listed");
}

/// A list filters by connector and by status, as the contract tells statuses.
pub async fn a_list_filters_by_status_and_connector(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let now = harness.clock().now();
    let soon = now.after(Duration::from_secs(60));
    let mail = accept(&store, &workspace, vec![NewJob { priority: 1, ..call("mail") }]).await[0];
    let scheduled = accept(&store, &workspace, vec![NewJob { run_at: Some(soon), ..call("crm") }]).await[0];
    let retrying = accept(&store, &workspace, calls(1)).await[0];
    let record = claim_one(&store).await;
    settle(&store, &record, super::fixture::retry(soon)).await;
    let running = accept(&store, &workspace, calls(1)).await[0];
    claim_one(&store).await;
    let find = async |status| list(&store, &workspace, &JobFilter { status: Some(status), connector: None }).await;
    assert_eq!(find(JobStatus::Queued).await, [mail]);
    assert_eq!(find(JobStatus::Scheduled).await, [scheduled]);
    assert_eq!(find(JobStatus::Retrying).await, [retrying]);
    assert_eq!(find(JobStatus::Running).await, [running]);
    assert_eq!(find(JobStatus::Succeeded).await, []);
    let crm = JobFilter { status: None, connector: Some(name("crm")) };
    assert_eq!(list(&store, &workspace, &crm).await, newest_first([scheduled, retrying, running]));
    let none = JobFilter { status: Some(JobStatus::Running), connector: Some(name("mail")) };
    assert_eq!(list(&store, &workspace, &none).await, []);
    harness.clock().advance(Duration::from_secs(120));
    assert_eq!(find(JobStatus::Queued).await, newest_first([mail, scheduled]), "its time has come");
}

/// Bytes are kept as they are: zero bytes, a mebibyte, text of every plane, and what is not text at all.
pub async fn inv_33_odd_rows_survive_byte_for_byte(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let text = "\u{0}a\u{0} \u{1f469}\u{200d}\u{1f680} \u{202e}right\u{feff} e\u{301} \u{10ffff} '; -- \\ \"%_";
    let large: Vec<u8> = (0..1_048_576u32).map(|number| (number % 251) as u8).collect();
    for input in [Bytes::from_static(b"\x00\xff\xfe\x00"), Bytes::from(large), Bytes::new()] {
        let odd = NewJob {
            input: input.clone(),
            operation: text.to_owned(),
            ordering_key: Some(text.to_owned()),
            subject: Some(text.to_owned()),
            delivery_id: Some(text.to_owned()),
            metadata: BTreeMap::from([(text.to_owned(), text.to_owned())]),
            ..call("crm")
        };
        accept(&store, &workspace, vec![odd.clone()]).await;
        let found = job(&store, &workspace, odd.id).await.job;
        assert_eq!(found.input, input);
        assert_eq!((found.operation, found.metadata), (odd.operation, odd.metadata));
        assert_eq!((found.ordering_key, found.subject), (odd.ordering_key, odd.subject));
        assert_eq!(found.delivery_id, odd.delivery_id);
    }
}

/// An odd row among strangers that commit at the same time hurts none of them, wherever it stands.
pub async fn inv_33_strangers_do_not_pay_for_an_odd_row(harness: &impl StoreHarness) {
    let store = harness.store().await;
    let tasks = (0..100usize).map(|number| {
        let store = store.clone();
        async move {
            let workspace = workspace(&format!("w{number}-dev"));
            let mut asked = call("crm");
            if number % 10 == 3 {
                asked.operation = "\u{0}".to_owned();
                asked.input = Bytes::from(vec![0; 1_048_576]);
                asked.trace_id = TraceId::from_bits(u128::MAX);
            }
            accept(&store, &workspace, vec![asked.clone()]).await;
            let found = job(&store, &workspace, asked.id).await.job;
            assert_eq!((found.operation, found.input.len()), (asked.operation, asked.input.len()));
            assert_eq!(found.trace_id, asked.trace_id);
        }
    });
    at_once(tasks).await;
}

/// Nothing is accepted of an empty call, and that is no error.
pub async fn an_empty_call_is_no_error(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    assert_eq!(store.enqueue(&workspace, of(Vec::new())).await.expect("enqueue"), Enqueued::Accepted);
    assert!(events(&store, &workspace).await.is_empty());
    assert!(store.claim(super::fixture::claim_of(10)).await.expect("claim").is_empty());
}
