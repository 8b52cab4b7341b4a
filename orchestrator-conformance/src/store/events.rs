//! The event log: one total order a workspace, without holes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use orchestrator_core::clock::Clock;
use orchestrator_core::store::{EventFilter, NewEvent};
use orchestrator_core::types::{EventType, TraceId};
use serde_json::json;

use super::StoreHarness;
use super::fixture::{Steps, accept, at_once, call, event, events, workspace};

/// Events come back as they were appended, in their order, with the store's time.
pub async fn events_come_back_in_the_order_of_their_appending(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    assert_eq!(store.last_event(&workspace).await.expect("last"), 0);
    let appended: Vec<NewEvent> = ["a", "b", "c"].map(event).into();
    store.append(&workspace, appended[..1].to_vec()).await.expect("append");
    store.append(&workspace, appended[1..].to_vec()).await.expect("append");
    let found = events(&store, &workspace).await;
    let expected: Vec<_> =
        (1..).zip(appended).map(|(number, event)| event.numbered(&workspace, number, harness.clock().now())).collect();
    assert_eq!(found, expected);
    assert_eq!(store.last_event(&workspace).await.expect("last"), 3);
}

/// The id of an event carries its number: it is the cursor.
pub async fn an_id_carries_its_number(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    store.append(&workspace, ["a", "b", "c"].map(event).into()).await.expect("append");
    let found = events(&store, &workspace).await;
    assert_eq!(found.iter().map(|event| event.id.sequence()).collect::<Vec<_>>(), [1, 2, 3]);
    let after = store.events(&workspace, found[0].id.sequence(), &EventFilter::default(), 1).await.expect("events");
    assert_eq!(after.items, found[1..2]);
    assert_eq!(after.scanned_to, 2);
}

/// A hundred writers make no hole, and a reader beside them never sees a number before those below it.
pub async fn inv_09_events_are_gapless_and_ordered_under_a_hundred_writers(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let done = Arc::new(AtomicBool::new(false));
    let reader = tokio::spawn({
        let (store, workspace, done) = (store.clone(), workspace.clone(), done.clone());
        async move {
            let mut seen = Vec::new();
            loop {
                let last = done.load(Ordering::SeqCst);
                let after = u64::try_from(seen.len()).unwrap();
                let page = store.events(&workspace, after, &EventFilter::default(), 7).await.expect("events");
                let nothing = page.items.is_empty();
                seen.extend(page.items);
                assert!(seen.len() <= 600, "none is seen twice");
                if nothing && last {
                    return seen;
                }
                tokio::task::yield_now().await;
            }
        }
    });
    let writers = (0..100usize).map(|writer| {
        let (store, workspace) = (store.clone(), workspace.clone());
        async move {
            for round in 0..3 {
                if (writer + round) % 3 == 0 {
                    accept(&store, &workspace, vec![call("crm"), call("crm")]).await;
                } else {
                    let two = [event(&format!("{writer}/{round}/0")), event(&format!("{writer}/{round}/1"))];
                    store.append(&workspace, two.into()).await.expect("append");
                }
            }
        }
    });
    at_once(writers).await;
    done.store(true, Ordering::SeqCst);
    let seen = reader.await.expect("the reader");
    let numbers: Vec<u64> = seen.iter().map(|event| event.id.sequence()).collect();
    assert_eq!(numbers, (1..=600).collect::<Vec<_>>());
    assert_eq!(seen, events(&store, &workspace).await);
    assert_eq!(store.last_event(&workspace).await.expect("last"), 600);
    for pair in seen.chunks(2).filter(|pair| pair[0].subject.ends_with("/0")) {
        assert_eq!(pair[0].subject.strip_suffix('0'), pair[1].subject.strip_suffix('1'), "one call's stay together");
    }
}

/// Each workspace counts its own.
pub async fn inv_13_workspaces_count_their_own_events(harness: &impl StoreHarness) {
    let store = harness.store().await;
    let (one, two) = (workspace("one-dev"), workspace("two-dev"));
    store.append(&one, vec![event("a"), event("b")]).await.expect("append");
    store.append(&two, vec![event("c")]).await.expect("append");
    assert_eq!(store.last_event(&one).await.expect("last"), 2);
    let found = events(&store, &two).await;
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].id.sequence(), found[0].subject.as_str()), (1, "c"));
    assert_eq!(store.last_event(&workspace("none-dev")).await.expect("last"), 0);
}

/// By type, subject and trace, each alone and together.
pub async fn a_filter_takes_by_type_subject_and_trace(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let (trace, other) = (TraceId::new(), TraceId::new());
    let of = |kind, subject: &str, trace| NewEvent::new(kind, subject, trace, json!(null));
    let appended = vec![
        of(EventType::JobStarted, "a", trace),
        of(EventType::JobSucceeded, "a", trace),
        of(EventType::JobStarted, "b", other),
        of(EventType::BreakerOpened, "a", other),
    ];
    store.append(&workspace, appended).await.expect("append");
    let find = async |kinds: &[EventType], subject: Option<&str>, trace_id: Option<TraceId>| {
        let filter = EventFilter { kinds: kinds.to_vec(), subject: subject.map(str::to_owned), trace_id };
        let page = store.events(&workspace, 0, &filter, 100).await.expect("events");
        assert_eq!(page.scanned_to, 4, "what does not match has been looked at too");
        page.items.iter().map(|event| event.id.sequence()).collect::<Vec<_>>()
    };
    assert_eq!(find(&[], None, None).await, [1, 2, 3, 4]);
    assert_eq!(find(&[EventType::JobStarted], None, None).await, [1, 3]);
    assert_eq!(find(&[EventType::JobStarted, EventType::BreakerOpened], None, None).await, [1, 3, 4]);
    assert_eq!(find(&[], Some("a"), None).await, [1, 2, 4]);
    assert_eq!(find(&[], None, Some(other)).await, [3, 4]);
    assert_eq!(find(&[EventType::JobStarted], Some("b"), Some(other)).await, [3]);
    assert_eq!(find(&[EventType::JobDead], None, None).await, [0; 0]);
}

/// A full page ends at its last match: reading on from there misses nothing, and sees nothing twice.
pub async fn a_filtered_reader_reads_on_from_where_it_scanned_to(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let appended = (0..50).map(|number| event(if number % 3 == 0 { "wanted" } else { "other" })).collect();
    store.append(&workspace, appended).await.expect("append");
    let filter = EventFilter { subject: Some("wanted".to_owned()), ..EventFilter::default() };
    let (mut found, mut after, mut steps) = (Vec::new(), 0, Steps::default());
    loop {
        steps.take();
        let page = store.events(&workspace, after, &filter, 4).await.expect("events");
        assert!(page.items.len() <= 4);
        if page.scanned_to == after {
            break;
        }
        assert!(page.items.iter().all(|event| event.id.sequence() <= page.scanned_to));
        found.extend(page.items.iter().map(|event| event.id.sequence()));
        after = page.scanned_to;
    }
    assert_eq!(found, (1..=50).step_by(3).collect::<Vec<_>>());
    assert_eq!(after, 50);
}

/// A search for what is rare looks at 10,000 and answers how far it came.
pub async fn inv_37_a_search_is_bounded_and_goes_on(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    for _ in 0..21 {
        store.append(&workspace, (0..500).map(|_| event("common")).collect()).await.expect("append");
    }
    store.append(&workspace, vec![event("rare")]).await.expect("append");
    let filter = EventFilter { subject: Some("rare".to_owned()), ..EventFilter::default() };
    let (mut after, mut found) = (0, Vec::new());
    while after < 10_501 {
        let page = store.events(&workspace, after, &filter, 10).await.expect("events");
        assert!(page.scanned_to > after, "each page goes on");
        assert!(page.scanned_to - after <= 10_000, "no page looks at more");
        after = page.scanned_to;
        found.extend(page.items);
    }
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].id.sequence(), 10_501);
}

/// Who asks for what comes after the end gets nothing, and the place where he stood.
pub async fn nothing_comes_after_the_end(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    store.append(&workspace, vec![event("a")]).await.expect("append");
    for after in [1, 2, (1 << 62) - 1] {
        let page = store.events(&workspace, after, &EventFilter::default(), 10).await.expect("events");
        assert!(page.items.is_empty());
        assert_eq!(page.scanned_to, after);
    }
}
