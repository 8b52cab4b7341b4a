//! Control records: expectations, all or nothing, versions, lists, the epoch.

use bytes::Bytes;
use orchestrator_core::clock::Clock;
use orchestrator_core::store::{CommitError, Expect, Owner, RecordKind, RecordWrite};

use super::StoreHarness;
use super::fixture::{Steps, at_once, audit, audits, change, event, events, owner, sorted, workspace};

const KIND: RecordKind = RecordKind::Secret;

fn put(key: &str, expect: Expect, body: &'static [u8]) -> RecordWrite {
    RecordWrite::put(KIND, key, expect, Bytes::from_static(body))
}

/// A record that was written is read back, with version 1 and the time of the store's clock.
pub async fn a_record_is_there_after_its_commit(harness: &impl StoreHarness) {
    let (store, owner) = (harness.store().await, owner("shop-dev"));
    let mut change = change(&owner);
    change.writes.push(put("a", Expect::Absent, b"\x00one\xff"));
    let committed = store.commit(change).await.expect("commit");
    let record = store.record(&owner, KIND, "a").await.expect("record").expect("is there");
    assert_eq!(committed.versions, [1]);
    assert_eq!((record.key.as_str(), record.version), ("a", 1));
    assert_eq!(record.body, Bytes::from_static(b"\x00one\xff"));
    assert_eq!(record.updated_at, harness.clock().now());
    assert_eq!(store.record(&owner, KIND, "b").await.expect("record"), None);
}

/// Each write grows the version by one, whether or not a version was expected.
pub async fn a_version_grows_by_one_with_each_write(harness: &impl StoreHarness) {
    let (store, owner) = (harness.store().await, owner("shop-dev"));
    for (expect, version) in [(Expect::Any, 1), (Expect::Version(1), 2), (Expect::Any, 3), (Expect::Version(3), 4)] {
        let mut change = change(&owner);
        change.writes.push(put("a", expect, b"x"));
        assert_eq!(store.commit(change).await.expect("commit").versions, [version]);
    }
}

/// Who expects nothing to be there is told what is.
pub async fn an_expected_absence_refuses_what_is_there(harness: &impl StoreHarness) {
    let (store, owner) = (harness.store().await, owner("shop-dev"));
    let mut first = change(&owner);
    first.writes.push(put("a", Expect::Any, b"first"));
    store.commit(first).await.expect("commit");
    let mut second = change(&owner);
    second.writes.push(put("a", Expect::Absent, b"second"));
    let refused = store.commit(second).await.expect_err("it is there");
    assert!(matches!(refused, CommitError::Conflict { write: 0, current: Some(1) }), "{refused:?}");
    let record = store.record(&owner, KIND, "a").await.expect("record").expect("is there");
    assert_eq!(record.body, Bytes::from_static(b"first"));
}

/// Who expects a version is refused at any other, and told which one is there.
pub async fn an_expected_version_refuses_any_other(harness: &impl StoreHarness) {
    let (store, owner) = (harness.store().await, owner("shop-dev"));
    let mut missing = change(&owner);
    missing.writes.push(put("a", Expect::Version(1), b"x"));
    let refused = store.commit(missing).await.expect_err("nothing is there");
    assert!(matches!(refused, CommitError::Conflict { write: 0, current: None }), "{refused:?}");
    for _ in 0..2 {
        let mut change = change(&owner);
        change.writes.push(put("a", Expect::Any, b"x"));
        store.commit(change).await.expect("commit");
    }
    let mut stale = change(&owner);
    stale.writes.push(put("a", Expect::Version(1), b"y"));
    let refused = store.commit(stale).await.expect_err("it is newer");
    assert!(matches!(refused, CommitError::Conflict { write: 0, current: Some(2) }), "{refused:?}");
}

/// One expectation that does not hold undoes every write, the audit record and the event, and leaves the epoch.
pub async fn a_change_happens_whole_or_not_at_all(harness: &impl StoreHarness) {
    let (store, owner) = (harness.store().await, owner("shop-dev"));
    let mut first = change(&owner);
    first.writes.push(put("b", Expect::Any, b"before"));
    let before = store.commit(first).await.expect("commit").epoch;
    let mut second = change(&owner);
    second.writes.push(put("a", Expect::Absent, b"after"));
    second.writes.push(put("b", Expect::Any, b"after"));
    second.writes.push(RecordWrite::delete(KIND, "b", Expect::Version(7)));
    second.audit.push(audit("secret.write"));
    second.events.push(event("a"));
    let refused = store.commit(second).await.expect_err("the last expectation does not hold");
    assert!(matches!(refused, CommitError::Conflict { write: 2, .. }), "{refused:?}");
    assert_eq!(store.record(&owner, KIND, "a").await.expect("record"), None);
    let kept = store.record(&owner, KIND, "b").await.expect("record").expect("is there");
    assert_eq!((kept.version, kept.body), (1, Bytes::from_static(b"before")));
    assert!(audits(&store, &owner).await.is_empty());
    assert!(events(&store, &workspace("shop-dev")).await.is_empty());
    assert_eq!(store.changed_since(before).await.expect("changed"), (before, Vec::new()));
}

/// Several writes are one change: all are there, with versions in their order.
pub async fn several_writes_are_one_change(harness: &impl StoreHarness) {
    let (store, owner) = (harness.store().await, owner("shop-dev"));
    let mut first = change(&owner);
    first.writes.push(put("a", Expect::Absent, b"1"));
    first.writes.push(put("gone", Expect::Absent, b"1"));
    store.commit(first).await.expect("commit");
    let mut second = change(&owner);
    second.writes.push(put("a", Expect::Version(1), b"2"));
    second.writes.push(RecordWrite::delete(KIND, "gone", Expect::Version(1)));
    second.writes.push(put("b", Expect::Absent, b"1"));
    second.audit.push(audit("secret.write"));
    second.events.push(event("a"));
    assert_eq!(store.commit(second).await.expect("commit").versions, [2, 0, 1]);
    let keys: Vec<_> = store.records(&owner, KIND, None, 10).await.expect("records");
    assert_eq!(keys.iter().map(|record| record.key.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(audits(&store, &owner).await, ["secret.write"]);
    assert_eq!(events(&store, &workspace("shop-dev")).await.len(), 1);
}

/// A deleted record is gone, and its absence can be expected.
pub async fn a_deleted_record_is_gone(harness: &impl StoreHarness) {
    let (store, owner) = (harness.store().await, owner("shop-dev"));
    let mut first = change(&owner);
    first.writes.push(put("a", Expect::Absent, b"x"));
    store.commit(first).await.expect("commit");
    let mut second = change(&owner);
    second.writes.push(RecordWrite::delete(KIND, "a", Expect::Any));
    second.writes.push(RecordWrite::delete(KIND, "never", Expect::Any));
    assert_eq!(store.commit(second).await.expect("commit").versions, [0, 0]);
    assert_eq!(store.record(&owner, KIND, "a").await.expect("record"), None);
    let mut third = change(&owner);
    third.writes.push(put("a", Expect::Absent, b"y"));
    store.commit(third).await.expect("it is absent");
}

/// A list is in the order of keys, byte by byte, and goes on after the last one.
pub async fn records_are_paged_by_key(harness: &impl StoreHarness) {
    let (store, owner) = (harness.store().await, owner("shop-dev"));
    let mut change = change(&owner);
    for key in ["b", "é", "a", "B", "c%", "a_b", "aab"] {
        change.writes.push(put(key, Expect::Absent, b"x"));
    }
    store.commit(change).await.expect("commit");
    let (mut keys, mut steps) = (Vec::new(), Steps::default());
    loop {
        steps.take();
        let after = keys.last().cloned();
        let page = store.records(&owner, KIND, after.as_deref(), 2).await.expect("records");
        assert!(page.len() <= 2);
        if page.is_empty() {
            break;
        }
        keys.extend(page.into_iter().map(|record: orchestrator_core::store::Record| record.key));
    }
    assert_eq!(keys, ["B", "a", "a_b", "aab", "b", "c%", "é"]);
}

/// The same key of another owner or kind is another record.
pub async fn inv_13_owners_and_kinds_are_apart(harness: &impl StoreHarness) {
    let store = harness.store().await;
    let owners = [Owner::Install, owner("shop-dev"), owner("shop2-dev")];
    for (owner, body) in owners.iter().zip([b"0", b"1", b"2"]) {
        let mut change = change(owner);
        change.writes.push(put("a", Expect::Absent, body));
        store.commit(change).await.expect("absent for each owner");
    }
    for (owner, body) in owners.iter().zip([b"0", b"1", b"2"]) {
        let records = store.records(owner, KIND, None, 10).await.expect("records");
        assert_eq!(records.len(), 1);
        assert_eq!(records[0].body, Bytes::from_static(body));
        assert_eq!(store.record(owner, RecordKind::Identity, "a").await.expect("record"), None);
        assert!(store.records(owner, RecordKind::Identity, None, 10).await.expect("records").is_empty());
    }
    let mut beside = change(&owners[1]);
    for kind in [RecordKind::Config, RecordKind::DataKey, RecordKind::Operator] {
        beside.writes.push(RecordWrite::put(kind, "a", Expect::Absent, Bytes::new()));
        beside.writes.push(RecordWrite::put(kind, "b", Expect::Absent, Bytes::new()));
    }
    store.commit(beside).await.expect("absent of each kind");
    assert_eq!(store.records(&owners[1], KIND, None, 10).await.expect("records").len(), 1);
    assert!(store.records(&owners[1], KIND, Some("a"), 10).await.expect("records").is_empty());
    let mut gone = change(&owners[1]);
    gone.writes.push(RecordWrite::delete(KIND, "a", Expect::Any));
    store.commit(gone).await.expect("commit");
    assert!(store.record(&owners[2], KIND, "a").await.expect("record").is_some());
}

/// Each commit grows the epoch by one, and who asks is told whose records changed.
pub async fn the_epoch_tells_who_changed(harness: &impl StoreHarness) {
    let store = harness.store().await;
    let (one, two) = (owner("one-dev"), owner("two-dev"));
    let (start, _) = store.changed_since(0).await.expect("changed");
    let mut epochs = Vec::new();
    for owner in [&one, &two, &one, &Owner::Install] {
        let mut change = change(owner);
        change.writes.push(put("a", Expect::Any, b"x"));
        epochs.push(store.commit(change).await.expect("commit").epoch);
    }
    assert_eq!(epochs, [start + 1, start + 2, start + 3, start + 4]);
    let since = async |epoch| {
        let (now, owners) = store.changed_since(epoch).await.expect("changed");
        assert_eq!(now, start + 4);
        sorted(owners)
    };
    assert_eq!(since(start).await, sorted([Owner::Install, one.clone(), two]));
    assert_eq!(since(start + 2).await, sorted([Owner::Install, one]));
    assert_eq!(since(start + 3).await, [Owner::Install]);
    assert_eq!(since(start + 4).await, []);
}

/// Workspaces are those that have their own record, in the order of their names.
pub async fn workspaces_are_those_with_their_record(harness: &impl StoreHarness) {
    let store = harness.store().await;
    for name in ["c-dev", "a-dev", "b-dev", "a1-dev"] {
        let mut change = change(&owner(name));
        change.writes.push(RecordWrite::put(RecordKind::Workspace, "self", Expect::Absent, Bytes::new()));
        store.commit(change).await.expect("commit");
    }
    let mut other = change(&owner("d-dev"));
    other.writes.push(put("self", Expect::Any, b"x"));
    store.commit(other).await.expect("commit");
    let mut gone = change(&owner("b-dev"));
    gone.writes.push(RecordWrite::delete(RecordKind::Workspace, "self", Expect::Any));
    store.commit(gone).await.expect("commit");
    let first = store.workspaces(None, 2).await.expect("workspaces");
    assert_eq!(first, [workspace("a-dev"), workspace("a1-dev")]);
    let rest = store.workspaces(first.last(), 2).await.expect("workspaces");
    assert_eq!(rest, [workspace("c-dev")]);
}

/// Of many who expect the same version one wins, and the others are told so.
pub async fn inv_30_of_a_hundred_racers_one_wins(harness: &impl StoreHarness) {
    let (store, owner) = (harness.store().await, owner("shop-dev"));
    let mut first = change(&owner);
    first.writes.push(put("pointer", Expect::Absent, b"0"));
    store.commit(first).await.expect("commit");
    let racers = (0..100u8).map(|number| {
        let (store, owner) = (store.clone(), owner.clone());
        async move {
            let mut change = change(&owner);
            let body = Bytes::copy_from_slice(&[number]);
            change.writes.push(RecordWrite::put(KIND, "pointer", Expect::Version(1), body));
            match store.commit(change).await {
                Ok(_) => Some(number),
                Err(CommitError::Conflict { write: 0, current: Some(2) }) => None,
                Err(other) => panic!("not a conflict: {other:?}"),
            }
        }
    });
    let winners: Vec<u8> = at_once(racers).await.into_iter().flatten().collect();
    assert_eq!(winners.len(), 1);
    let record = store.record(&owner, KIND, "pointer").await.expect("record").expect("is there");
    assert_eq!((record.version, record.body.as_ref()), (2, &winners[..]));
}
