//! Lists, and what keeps workspaces apart.

use orchestrator_core::payload::PayloadScope;
use orchestrator_core::types::PayloadId;

use super::PayloadHarness;
use super::fixture::{bytes, is_gone, key, put, read, scope};

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

/// A list is in the order of ids, which is that of their time, however they were written.
pub async fn objects_are_listed_in_the_order_of_their_ids(harness: &impl PayloadHarness) {
    let (store, scope) = (harness.store().await, scope("shop-dev"));
    let mut ids: Vec<_> = (0..12).map(|day| PayloadId::at(1_800_000_000_000 + day * DAY_MS / 3)).collect();
    for id in ids.iter().rev() {
        put(&store, &scope.key(*id), &bytes(3)).await;
    }
    ids.sort_unstable();
    assert_eq!(store.list(&scope, None, 100).await.expect("list"), ids);
}

/// Pages go on from after a key, and all of them together are the list; also from a key that is gone.
pub async fn inv_35_a_list_is_paged_by_key(harness: &impl PayloadHarness) {
    let (store, scope) = (harness.store().await, scope("shop-dev"));
    let ids: Vec<_> = (0..11).map(|number| PayloadId::at(1_800_000_000_000 + number * DAY_MS)).collect();
    for id in &ids {
        put(&store, &scope.key(*id), &bytes(3)).await;
    }
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = store.list(&scope, after, 4).await.expect("list");
        assert!(page.len() <= 4);
        after = page.last().copied();
        if page.is_empty() {
            break;
        }
        // What was seen may be removed between two pages.
        store.delete(&scope.key(page[0])).await.expect("delete");
        found.extend(page);
    }
    assert_eq!(found, ids);
    assert_eq!(store.list(&scope, Some(ids[4]), 2).await.expect("list"), ids[5..7]);
}

/// A workspace sees its own objects only, whose name begins as another's too.
pub async fn inv_44_a_workspace_lists_and_reads_its_own(harness: &impl PayloadHarness) {
    let store = harness.store().await;
    let names = ["shop-dev", "shop-dev-dev", "shop2-dev", "hop-dev"];
    let keys: Vec<_> = names.iter().map(|name| key(name)).collect();
    for (number, key) in keys.iter().enumerate() {
        put(&store, key, &bytes(10 + number)).await;
    }
    for (number, key) in keys.iter().enumerate() {
        assert_eq!(store.list(&key.scope, None, 10).await.expect("list"), [key.id]);
        assert_eq!(read(&store, key, None).await.expect("read").0, 10 + number as u64);
        for other in keys.iter().filter(|other| *other != key) {
            let foreign = other.scope.key(key.id);
            assert!(is_gone(&store, &foreign).await);
            store.delete(&foreign).await.expect("delete");
        }
        assert!(!is_gone(&store, key).await, "nobody else removes it");
    }
    assert_eq!(store.list(&scope("none-dev"), None, 10).await.expect("list"), []);
}

/// The same workspace and id in another environment is another object.
pub async fn inv_16_environments_are_apart(harness: &impl PayloadHarness) {
    let (store, here) = (harness.store().await, key("shop-dev"));
    put(&store, &here, &bytes(10)).await;
    let prod = PayloadScope { environment: "prod".parse().expect("a name"), ..here.scope.clone() };
    assert!(is_gone(&store, &prod.key(here.id)).await);
    assert_eq!(store.list(&prod, None, 10).await.expect("list"), []);
    put(&store, &prod.key(here.id), &bytes(20)).await;
    assert_eq!(read(&store, &here, None).await.expect("read").0, 10);
}
