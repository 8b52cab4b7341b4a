//! Audit chains: one an owner, whole, written with what they tell.

use orchestrator_core::audit::{GENESIS, Verifier};
use orchestrator_core::clock::Clock;
use orchestrator_core::store::{NewAudit, Owner, Store};
use orchestrator_core::types::{AuditRecord, AuditVerification};
use serde_json::json;

use super::StoreHarness;
use super::fixture::{Steps, at_once, audit, bury, calls, change, owner, workspace};

async fn write(store: &dyn Store, owner: &Owner, records: Vec<NewAudit>) {
    let mut change = change(owner);
    change.audit = records;
    store.commit(change).await.expect("commit");
}

async fn chain(store: &dyn Store, owner: &Owner) -> Vec<AuditRecord> {
    let mut records: Vec<AuditRecord> = Vec::new();
    let mut steps = Steps::default();
    loop {
        steps.take();
        let after = records.last().map_or(0, |record| record.number);
        let page = store.audit(owner, after, 7).await.expect("audit");
        assert!(page.len() <= 7);
        if page.is_empty() {
            return records;
        }
        records.extend(page);
    }
}

fn verify(records: &[AuditRecord]) -> AuditVerification {
    let mut verifier = Verifier::default();
    records.iter().for_each(|record| verifier.take(record));
    verifier.finish()
}

/// What was written is read back, numbered, timed by the store's clock, and chained from the beginning.
pub async fn inv_28_a_record_is_read_back_as_written(harness: &impl StoreHarness) {
    let (store, owner) = (harness.store().await, owner("shop-dev"));
    let whole = NewAudit {
        via: Some("svc:operator-console".to_owned()),
        before: Some(json!({"z": 1.0, "a": [null, "\u{0}é", 1_u64 << 60]})),
        after: Some(json!(null)),
        ..audit("config.activate")
    };
    let bare = NewAudit { reason: None, after: None, ..audit("secret.write") };
    write(&*store, &owner, vec![whole.clone(), bare]).await;
    let records = chain(&*store, &owner).await;
    let first = &records[0];
    assert_eq!(records.iter().map(|record| record.number).collect::<Vec<_>>(), [1, 2]);
    assert_eq!((first.id, first.time), (whole.id, harness.clock().now()));
    assert_eq!(first.workspace, Some(workspace("shop-dev")));
    assert_eq!((&first.actor, &first.via), (&whole.actor, &whole.via));
    assert_eq!((first.action.as_str(), &first.target), (whole.action, &whole.target));
    assert_eq!((&first.reason, &first.before), (&whole.reason, &whole.before));
    assert_eq!(first.trace_id, whole.trace_id.to_string());
    assert_eq!(first.previous_hash, GENESIS);
    assert_eq!((&records[1].reason, &records[1].before), (&None, &None));
    let verified = verify(&records);
    assert!(verified.intact, "broken at {:?}", verified.broken_at);
    assert_eq!((verified.records, &verified.head), (2, &records[1].hash));
}

/// Each owner has its own chain, the install too.
pub async fn inv_28_each_owner_has_its_chain(harness: &impl StoreHarness) {
    let store = harness.store().await;
    let owners = [Owner::Install, owner("one-dev"), owner("two-dev")];
    for round in 0..3 {
        for (place, owner) in owners.iter().enumerate() {
            let records = (0..=place).map(|_| audit("x")).collect();
            write(&*store, owner, records).await;
            let verified = verify(&chain(&*store, owner).await);
            assert!(verified.intact);
            assert_eq!(verified.records, (u64::try_from(place).unwrap() + 1) * (round + 1));
        }
    }
    assert!(chain(&*store, &Owner::Install).await.iter().all(|record| record.workspace.is_none()));
    assert!(chain(&*store, &owner("none-dev")).await.is_empty());
}

/// Writers at the same time, by commits, enqueues and replays, make one whole chain.
pub async fn inv_28_writers_at_once_make_one_chain(harness: &impl StoreHarness) {
    let (store, workspace) = (harness.store().await, workspace("shop-dev"));
    let owner = Owner::from(&workspace);
    let dead = bury(&store, &workspace, calls(20)).await;
    let writers = (0..60usize).map(|number| {
        let (store, workspace, owner, dead) = (store.clone(), workspace.clone(), owner.clone(), dead.clone());
        async move {
            match number % 3 {
                0 => write(&*store, &owner, vec![audit("a"), audit("b")]).await,
                1 => {
                    let id = dead[number / 3];
                    store.replay(&workspace, vec![(id, None)], audit("dlq.replay")).await.expect("replay");
                }
                _ => {
                    let mut enqueue = super::fixture::of(calls(1));
                    enqueue.audit = Some(audit("inbox.replay"));
                    store.enqueue(&workspace, enqueue).await.expect("enqueue");
                }
            }
        }
    });
    at_once(writers).await;
    let verified = verify(&chain(&*store, &owner).await);
    assert!(verified.intact, "broken at {:?}", verified.broken_at);
    assert_eq!(verified.records, 80);
}
