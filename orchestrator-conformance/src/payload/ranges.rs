//! Parts of objects.

use bytes::Bytes;

use super::PayloadHarness;
use super::fixture::{bytes, key, put, read};

const LENGTH: u64 = 300_000;

/// A range gives exactly its bytes, wherever it lies, and the length of the whole.
pub async fn a_part_is_read_alone(harness: &impl PayloadHarness) {
    let (store, key) = (harness.store().await, key("shop-dev"));
    let written = bytes(LENGTH as usize);
    put(&store, &key, &written).await;
    for range in [0..1, 0..LENGTH, 65_535..65_537, LENGTH - 1..LENGTH, 123_456..234_567] {
        let (size, part) = read(&store, &key, Some(range.clone())).await.expect("read");
        assert_eq!(size, LENGTH);
        assert!(part == written[range.start as usize..range.end as usize], "{range:?}");
    }
}

/// A range that goes past the end is what there is of it.
pub async fn a_range_is_cut_at_the_end(harness: &impl PayloadHarness) {
    let (store, key) = (harness.store().await, key("shop-dev"));
    put(&store, &key, &bytes(1_000)).await;
    assert_eq!(read(&store, &key, Some(990..5_000)).await.expect("read"), (1_000, bytes(1_000).slice(990..)));
}

/// A range that begins at the end or past it has no bytes.
pub async fn a_range_past_the_end_is_empty(harness: &impl PayloadHarness) {
    let (store, key) = (harness.store().await, key("shop-dev"));
    put(&store, &key, &bytes(1_000)).await;
    for range in [1_000..1_001, 7_000..8_000, 5..5] {
        assert_eq!(read(&store, &key, Some(range)).await.expect("read"), (1_000, Bytes::new()));
    }
}
