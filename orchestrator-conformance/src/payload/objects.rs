//! Objects: written once and whole, read as they were written, removed.

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use orchestrator_core::payload::ObjectError;
use tokio::sync::oneshot;

use super::PayloadHarness;
use super::fixture::{body, bytes, is_gone, key, put, read, scope};

/// The bytes and the length are those that were put.
pub async fn what_was_put_is_read_back(harness: &impl PayloadHarness) {
    let (store, key) = (harness.store().await, key("shop-dev"));
    let written = bytes(100_000);
    put(&store, &key, &written).await;
    assert_eq!(read(&store, &key, None).await.expect("read"), (100_000, written));
}

/// An object may have no bytes.
pub async fn an_empty_object_is_an_object(harness: &impl PayloadHarness) {
    let (store, key) = (harness.store().await, key("shop-dev"));
    put(&store, &key, &Bytes::new()).await;
    assert_eq!(read(&store, &key, None).await.expect("read"), (0, Bytes::new()));
    assert_eq!(read(&store, &key, Some(0..10)).await.expect("read"), (0, Bytes::new()));
}

/// Ten MiB and some are written and read as a stream.
pub async fn a_large_object_comes_in_pieces(harness: &impl PayloadHarness) {
    let (store, key) = (harness.store().await, key("shop-dev"));
    let written = bytes(10 * 1024 * 1024 + 77);
    put(&store, &key, &written).await;
    let (size, found) = read(&store, &key, None).await.expect("read");
    assert!(size == written.len() as u64 && found == written);
}

/// A key that has an object is refused; the object is not touched.
pub async fn inv_32_an_object_is_written_once(harness: &impl PayloadHarness) {
    let store = harness.store().await;
    // The largest is past any bound at which a backend may write in another way.
    for length in [5, 12 * 1024 * 1024] {
        let key = key("shop-dev");
        let first = bytes(length);
        put(&store, &key, &first).await;
        let again = store.put(&key, body(&bytes(length + 3))).await;
        assert!(matches!(again, Err(ObjectError::Exists)), "{again:?}");
        assert!(read(&store, &key, None).await.expect("read").1 == first);
    }
}

/// What broke off while it was written is not there, and the cause is told as the source's own.
pub async fn inv_44_a_body_that_breaks_off_leaves_nothing(harness: &impl PayloadHarness) {
    let store = harness.store().await;
    for length in [3, 7 * 1024 * 1024] {
        let key = key("shop-dev");
        let broken = body(&bytes(length)).chain(stream::iter([Err("the sender went away".into())])).boxed();
        let outcome = store.put(&key, broken).await;
        assert!(
            matches!(&outcome, Err(ObjectError::Source(why)) if why.to_string() == "the sender went away"),
            "{outcome:?}"
        );
        assert!(is_gone(&store, &key).await);
        assert_eq!(store.list(&scope("shop-dev"), None, 10).await.expect("list"), []);
        put(&store, &key, &bytes(9)).await;
        store.delete(&key).await.expect("delete");
    }
}

/// A put that is dropped half way leaves nothing that can be read or listed, and the key free.
pub async fn inv_22_a_put_that_is_dropped_leaves_nothing_to_read(harness: &impl PayloadHarness) {
    let (store, key) = (harness.store().await, key("shop-dev"));
    let (reached, waiting) = oneshot::channel::<()>();
    let hanging = body(&bytes(6 * 1024 * 1024))
        .chain(stream::once(async move {
            let _ = reached.send(());
            std::future::pending().await
        }))
        .boxed();
    let putting = {
        let (store, key) = (store.clone(), key.clone());
        tokio::spawn(async move { store.put(&key, hanging).await })
    };
    waiting.await.expect("the body is read to where it hangs");
    putting.abort();
    assert!(putting.await.expect_err("it was dropped").is_cancelled());
    assert!(is_gone(&store, &key).await);
    assert_eq!(store.list(&scope("shop-dev"), None, 10).await.expect("list"), []);
    put(&store, &key, &bytes(9)).await;
}

/// Many that write one key at once: one does, and its bytes are there whole.
pub async fn of_many_at_once_one_writes_a_key(harness: &impl PayloadHarness) {
    let (store, key) = (harness.store().await, key("shop-dev"));
    let writing = (0..8_usize).map(|number| {
        let (store, key) = (store.clone(), key.clone());
        tokio::spawn(async move { (number, store.put(&key, body(&bytes(50_000 + number))).await) })
    });
    let mut won = Vec::new();
    for writing in writing.collect::<Vec<_>>() {
        match writing.await.expect("it ends") {
            (number, Ok(_)) => won.push(number),
            (_, Err(ObjectError::Exists)) => {}
            (_, other) => panic!("{other:?}"),
        }
    }
    assert_eq!(won.len(), 1, "{won:?}");
    assert!(read(&store, &key, None).await.expect("read").1 == bytes(50_000 + won[0]));
}

/// Reading what is not there says so; removing it is no error.
pub async fn what_is_not_there_is_told(harness: &impl PayloadHarness) {
    let (store, key) = (harness.store().await, key("shop-dev"));
    assert!(is_gone(&store, &key).await);
    assert!(matches!(store.get(&key, Some(3..5)).await, Err(ObjectError::NotFound)));
    store.delete(&key).await.expect("delete");
}

/// A removed object is gone, and its neighbours stay.
pub async fn a_deleted_object_is_gone(harness: &impl PayloadHarness) {
    let store = harness.store().await;
    let (one, other) = (key("shop-dev"), key("shop-dev"));
    put(&store, &one, &bytes(10)).await;
    put(&store, &other, &bytes(20)).await;
    store.delete(&one).await.expect("delete");
    store.delete(&one).await.expect("again");
    assert!(is_gone(&store, &one).await);
    assert_eq!(read(&store, &other, None).await.expect("read").0, 20);
    assert_eq!(store.list(&scope("shop-dev"), None, 10).await.expect("list"), [other.id]);
}

/// What was put is there after a restart.
pub async fn an_object_survives_a_restart(harness: &impl PayloadHarness) {
    let (store, key) = (harness.store().await, key("shop-dev"));
    put(&store, &key, &bytes(100)).await;
    let Some(store) = harness.reopen(store).await else { return };
    assert_eq!(read(&store, &key, None).await.expect("read"), (100, bytes(100)));
}

/// A backend that takes writes says so, and leaves nothing behind.
pub async fn it_says_that_it_is_well(harness: &impl PayloadHarness) {
    let store = harness.store().await;
    store.ping().await.expect("ping");
    assert_eq!(store.list(&scope("shop-dev"), None, 10).await.expect("list"), []);
    assert!(!store.name().is_empty());
}
