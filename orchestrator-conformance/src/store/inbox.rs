//! The webhook inbox: taken in once, with its events and jobs.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use orchestrator_core::clock::Clock;
use orchestrator_core::store::{InboxRecord, Ingested, JobFilter, JobState, NewInbox, Store};
use orchestrator_core::types::{EventType, InboxId, WorkspaceId};

use super::StoreHarness;
use super::fixture::{
    Steps, at_once, audit, audits, call, claim_one, delivery, died, event, kinds, list, name, newest_first, of, owner,
    settle, succeeded, sweep, webhook, workspace,
};

async fn ingest(store: &dyn Store, workspace: &WorkspaceId, entry: NewInbox) -> Ingested {
    store.ingest(workspace, entry).await.expect("ingest")
}

async fn entry(store: &dyn Store, workspace: &WorkspaceId, id: InboxId) -> InboxRecord {
    store.inbox_entry(workspace, id).await.expect("entry").expect("the entry is there")
}

/// A webhook is there with its body, its events, then its job's.
pub async fn a_webhook_is_taken_in_whole(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let asked = NewInbox {
        body: Bytes::from_static(b"\x00\xff{}"),
        headers: BTreeMap::from([("a".to_owned(), "b\u{0}".to_owned())]),
        ..webhook("evt_\u{0}\u{1f680}")
    };
    let delivery = asked.jobs[0].clone();
    assert_eq!(ingest(&*store, &workspace, asked.clone()).await, Ingested::New);
    let found = entry(&*store, &workspace, asked.id).await;
    assert_eq!((found.body_kept, found.duplicates, found.job), (true, 0, Some(delivery.id)));
    let found = found.entry;
    assert_eq!((found.id, found.provider, found.route), (asked.id, asked.provider, asked.route));
    assert_eq!((found.account, found.event_id, found.event_type), (asked.account, asked.event_id, asked.event_type));
    assert_eq!((found.headers, found.body, found.body_hash), (asked.headers, asked.body, asked.body_hash));
    assert_eq!((found.received_at, found.trace_id), (asked.received_at, asked.trace_id));
    assert!(found.events.is_empty() && found.jobs.is_empty());
    assert_eq!(kinds(&store, &workspace).await, [EventType::WebhookReceived, EventType::JobQueued]);
    assert_eq!(claim_one(&store).await.job.id, delivery.id);
}

/// The same event again is a duplicate: it names the first, counts, and enqueues and tells nothing.
pub async fn inv_07_a_duplicate_enqueues_nothing(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let first = webhook("evt_1");
    let id = first.id;
    ingest(&*store, &workspace, first).await;
    for count in 1..=3 {
        let again = ingest(&*store, &workspace, webhook("evt_1")).await;
        assert_eq!(again, Ingested::Duplicate { id, conflict: false, count });
    }
    assert_eq!(entry(&*store, &workspace, id).await.duplicates, 3);
    assert_eq!(list(&store, &workspace, &JobFilter::default()).await.len(), 1);
    assert_eq!(kinds(&store, &workspace).await.len(), 2);
    assert_eq!(store.inbox(&workspace, None, 10).await.expect("inbox").len(), 1);
}

/// The same event with another body is a conflict; the first body stays.
pub async fn inv_07_another_body_is_a_conflict(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let first = webhook("evt_1");
    let (id, body) = (first.id, first.body.clone());
    ingest(&*store, &workspace, first).await;
    let other = NewInbox { body: Bytes::from_static(b"other"), body_hash: [2; 32], ..webhook("evt_1") };
    let again = ingest(&*store, &workspace, other).await;
    assert_eq!(again, Ingested::Duplicate { id, conflict: true, count: 1 });
    let again = ingest(&*store, &workspace, webhook("evt_1")).await;
    assert_eq!(again, Ingested::Duplicate { id, conflict: false, count: 2 });
    assert_eq!(entry(&*store, &workspace, id).await.entry.body, body);
    assert_eq!(list(&store, &workspace, &JobFilter::default()).await.len(), 1);
}

/// Two hundred deliveries at the same time make one entry and one job; the others are counted.
pub async fn inv_07_of_two_hundred_deliveries_one_wins(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let senders = (0..200).map(|_| {
        let (store, workspace) = (store.clone(), workspace.clone());
        async move {
            let asked = webhook("evt_1");
            let id = asked.id;
            (id, ingest(&*store, &workspace, asked).await)
        }
    });
    let answers = at_once(senders).await;
    let new: Vec<_> = answers.iter().filter(|(_, answer)| *answer == Ingested::New).map(|(id, _)| *id).collect();
    assert_eq!(new.len(), 1);
    let mut counts: Vec<u64> = Vec::new();
    for (_, answer) in answers {
        if let Ingested::Duplicate { id, conflict, count } = answer {
            assert_eq!((id, conflict), (new[0], false));
            counts.push(count);
        }
    }
    counts.sort_unstable();
    assert_eq!(counts, (1..200).collect::<Vec<_>>(), "each is counted once");
    assert_eq!(entry(&*store, &workspace, new[0]).await.duplicates, 199);
    assert_eq!(list(&store, &workspace, &JobFilter::default()).await.len(), 1);
    assert_eq!(kinds(&store, &workspace).await, [EventType::WebhookReceived, EventType::JobQueued]);
}

/// The same event id of another provider, account, route or workspace is another event.
pub async fn inv_07_the_same_id_of_another_sender_is_no_duplicate(harness: &impl StoreHarness) {
    let (store, one) = (harness.store().await, workspace("one-dev"));
    let unnamed = || NewInbox { account: None, ..webhook("evt_1") };
    let others = [
        (&one, webhook("evt_1")),
        (&one, NewInbox { account: Some("acct_2".to_owned()), ..webhook("evt_1") }),
        (&one, NewInbox { provider: name("github"), ..webhook("evt_1") }),
        (&one, unnamed()),
        (&one, NewInbox { route: name("other"), ..unnamed() }),
        // An account that is spelled like a route is not one.
        (&one, NewInbox { account: Some("stripe-main".to_owned()), ..webhook("evt_1") }),
        (&one, webhook("EVT_1")),
        (&workspace("two-dev"), webhook("evt_1")),
    ];
    for (workspace, asked) in others {
        assert_eq!(ingest(&*store, workspace, asked).await, Ingested::New);
    }
    let moved = NewInbox { route: name("other"), ..webhook("evt_1") };
    let again = ingest(&*store, &one, moved).await;
    assert!(matches!(again, Ingested::Duplicate { .. }), "an account's event is the same by any route");
    assert!(matches!(ingest(&*store, &one, unnamed()).await, Ingested::Duplicate { .. }));
}

/// A call that is repeated because its answer was lost makes no second entry, job or event.
pub async fn inv_32_a_repeated_ingest_enqueues_nothing(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let asked = webhook("evt_1");
    for _ in 0..2 {
        ingest(&*store, &workspace, asked.clone()).await;
    }
    assert_eq!(list(&store, &workspace, &JobFilter::default()).await.len(), 1);
    assert_eq!(kinds(&store, &workspace).await.len(), 2);
    assert_eq!(store.inbox(&workspace, None, 10).await.expect("inbox").len(), 1);
}

/// Retention removes the body; what deduplicates stays, so that the event is still a duplicate, or a conflict.
pub async fn inv_07_deduplication_survives_retention(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let asked = NewInbox { received_at: harness.clock().now(), ..webhook("evt_1") };
    let id = asked.id;
    ingest(&*store, &workspace, asked).await;
    settle(&store, &claim_one(&store).await, succeeded()).await;
    harness.clock().advance(Duration::from_secs(3600));
    store.sweep(sweep(&workspace, harness.clock().now()), 100).await.expect("sweep");
    let found = entry(&*store, &workspace, id).await;
    assert!(!found.body_kept && found.entry.body.is_empty(), "the body is gone");
    let again = ingest(&*store, &workspace, webhook("evt_1")).await;
    assert_eq!(again, Ingested::Duplicate { id, conflict: false, count: 1 });
    let other = NewInbox { body_hash: [2; 32], ..webhook("evt_1") };
    assert_eq!(ingest(&*store, &workspace, other).await, Ingested::Duplicate { id, conflict: true, count: 2 });
}

/// The list is newest first, pages by id, and leaves bodies and headers out.
pub async fn the_list_is_paged_newest_first(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let mut ids = Vec::new();
    for number in 0..5 {
        let asked = webhook(&format!("evt_{number}"));
        ids.push(asked.id);
        ingest(&*store, &workspace, asked).await;
    }
    let (mut found, mut before, mut steps) = (Vec::new(), None, Steps::default());
    loop {
        steps.take();
        let page = store.inbox(&workspace, before, 2).await.expect("inbox");
        let Some(last) = page.last() else { break };
        assert!(page.len() <= 2);
        before = Some(last.entry.id);
        for record in page {
            assert!(record.entry.body.is_empty() && record.entry.headers.is_empty());
            assert!(record.body_kept && record.job.is_some());
            found.push(record.entry.id);
        }
    }
    assert_eq!(found, newest_first(ids));
}

/// A webhook without a job waits to be polled.
pub async fn a_webhook_may_have_no_job(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let asked = NewInbox { jobs: Vec::new(), account: None, event_type: None, ..webhook("evt_1") };
    ingest(&*store, &workspace, asked.clone()).await;
    let found = entry(&*store, &workspace, asked.id).await;
    assert_eq!((found.job, found.entry.account, found.entry.event_type), (None, None, None));
    assert_eq!(kinds(&store, &workspace).await, [EventType::WebhookReceived]);
}

/// An entry is noted by the job that delivers it, whatever else is enqueued with it.
pub async fn an_entry_is_noted_by_its_delivery(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let mut asked = webhook("evt_1");
    let (id, job) = (asked.id, asked.jobs[0].id);
    asked.jobs.push(call("crm"));
    ingest(&*store, &workspace, asked).await;
    assert_eq!(entry(&*store, &workspace, id).await.job, Some(job));
}

/// A redelivery enqueues, audits, and is noted as the entry's job.
pub async fn a_redelivery_is_noted(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let asked = webhook("evt_1");
    let id = asked.id;
    ingest(&*store, &workspace, asked).await;
    settle(&store, &claim_one(&store).await, succeeded()).await;
    let mut again = of(vec![delivery("billing")]);
    let job = again.jobs[0].id;
    again.audit = Some(audit("inbox.replay"));
    again.events.push(event("again"));
    assert!(store.redeliver(&workspace, id, again).await.expect("redeliver"));
    assert_eq!(entry(&*store, &workspace, id).await.job, Some(job));
    let claimed = claim_one(&store).await;
    assert_eq!((claimed.job.id, claimed.state), (job, JobState::Running));
    assert_eq!(audits(&store, &owner("shop-dev")).await, ["inbox.replay"]);
    let told = kinds(&store, &workspace).await;
    assert_eq!(told[3..], [EventType::ExecutionSucceeded, EventType::JobQueued, EventType::JobStarted]);
}

/// An entry whose delivery was purged says so until it is delivered again.
pub async fn inv_39_a_purged_delivery_is_noted_at_its_entry(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let mut asked = webhook("evt_1");
    for job in &mut asked.jobs {
        job.subject = Some(asked.id.to_string());
    }
    let (id, job) = (asked.id, asked.jobs[0].id);
    ingest(&*store, &workspace, asked).await;
    let claimed = claim_one(&store).await;
    assert_eq!(claimed.job.id, job);
    settle(&store, &claimed, died()).await;
    assert!(!entry(&*store, &workspace, id).await.given_up, "a dead one may still be replayed");
    store.purge(&workspace, vec![job], audit("dlq.purge")).await.expect("purge");
    let found = entry(&*store, &workspace, id).await;
    assert_eq!((found.job, found.given_up), (Some(job), true));
    assert!(store.redeliver(&workspace, id, of(vec![delivery("billing")])).await.expect("redeliver"));
    assert!(!entry(&*store, &workspace, id).await.given_up);
}

/// A redelivery of what is not there enqueues nothing.
pub async fn a_redelivery_of_nothing_enqueues_nothing(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let mut enqueue = of(vec![delivery("billing")]);
    enqueue.audit = Some(audit("inbox.replay"));
    assert!(!store.redeliver(&workspace, InboxId::new(), enqueue).await.expect("redeliver"));
    assert!(list(&store, &workspace, &JobFilter::default()).await.is_empty());
    assert!(audits(&store, &owner("shop-dev")).await.is_empty());
    assert!(kinds(&store, &workspace).await.is_empty());
}
