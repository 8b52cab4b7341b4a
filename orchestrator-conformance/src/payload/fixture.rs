//! What behaviours are built from.

use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, stream};
use orchestrator_core::payload::{ByteStream, ObjectError, PayloadKey, PayloadScope, PayloadStore};
use orchestrator_core::types::PayloadId;

pub(super) fn scope(workspace: &str) -> PayloadScope {
    PayloadScope { environment: "dev".parse().expect("a name"), workspace: workspace.parse().expect("a workspace") }
}

pub(super) fn key(workspace: &str) -> PayloadKey {
    scope(workspace).key(PayloadId::new())
}

/// Bytes of which no two places are alike for long.
pub(super) fn bytes(length: usize) -> Bytes {
    let mut bytes = BytesMut::with_capacity(length);
    let mut state = 0x9e37_79b9_u32;
    for _ in 0..length {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        bytes.extend_from_slice(&[(state >> 24) as u8]);
    }
    bytes.freeze()
}

/// The bytes as they would come from a socket.
pub(super) fn body(bytes: &Bytes) -> ByteStream {
    let pieces: Vec<_> = bytes.chunks(10_007).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
    stream::iter(pieces).boxed()
}

pub(super) async fn put(store: &Arc<dyn PayloadStore>, key: &PayloadKey, bytes: &Bytes) {
    assert_eq!(store.put(key, body(bytes)).await.expect("put"), bytes.len() as u64);
}

/// How long the object is, and the part of it.
pub(super) async fn read(
    store: &Arc<dyn PayloadStore>,
    key: &PayloadKey,
    range: Option<Range<u64>>,
) -> Result<(u64, Bytes), ObjectError> {
    let object = store.get(key, range).await?;
    let (mut whole, mut body) = (BytesMut::new(), object.body);
    while let Some(piece) = body.next().await {
        whole.extend_from_slice(&piece.map_err(ObjectError::Unavailable)?);
    }
    Ok((object.size, whole.freeze()))
}

pub(super) async fn is_gone(store: &Arc<dyn PayloadStore>, key: &PayloadKey) -> bool {
    matches!(store.get(key, None).await, Err(ObjectError::NotFound))
}
