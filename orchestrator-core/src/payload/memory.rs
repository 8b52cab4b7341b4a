//! Objects in memory: for tests, and for embedding where losing them with the process is acceptable.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, stream};
use orchestrator_types::PayloadId;

use super::key::{PayloadKey, PayloadScope};
use super::port::{ByteStream, Object, ObjectError, PayloadStore};

/// Objects that end with the process. Share it in an `Arc`.
#[derive(Default)]
pub struct MemoryPayloads(Mutex<BTreeMap<(String, PayloadId), Bytes>>);

impl MemoryPayloads {
    fn objects(&self) -> MutexGuard<'_, BTreeMap<(String, PayloadId), Bytes>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the bytes of an object behind everybody's back, as a damaged disk would; `None` takes it away. For tests.
    pub fn tamper(&self, key: &PayloadKey, change: impl FnOnce(&Bytes) -> Option<Bytes>) {
        let (place, mut objects) = (place(key), self.objects());
        let changed = objects.get(&place).and_then(change);
        match changed {
            Some(bytes) => objects.insert(place, bytes),
            None => objects.remove(&place),
        };
    }
}

fn place(key: &PayloadKey) -> (String, PayloadId) {
    (key.scope.to_string(), key.id)
}

#[async_trait]
impl PayloadStore for MemoryPayloads {
    fn name(&self) -> &'static str {
        "memory"
    }

    async fn put(&self, key: &PayloadKey, mut body: ByteStream) -> Result<u64, ObjectError> {
        let mut whole = BytesMut::new();
        while let Some(piece) = body.next().await {
            whole.extend_from_slice(&piece.map_err(ObjectError::Source)?);
        }
        let (place, mut objects) = (place(key), self.objects());
        if objects.contains_key(&place) {
            return Err(ObjectError::Exists);
        }
        let size = whole.len() as u64;
        objects.insert(place, whole.freeze());
        Ok(size)
    }

    async fn get(&self, key: &PayloadKey, range: Option<Range<u64>>) -> Result<Object, ObjectError> {
        let bytes = self.objects().get(&place(key)).cloned().ok_or(ObjectError::NotFound)?;
        let size = bytes.len() as u64;
        let range = range.unwrap_or(0..size);
        let clamp = |at: u64| usize::try_from(at.min(size)).unwrap_or(bytes.len());
        let part = bytes.slice(clamp(range.start)..clamp(range.end.max(range.start)));
        Ok(Object { size, body: stream::iter([Ok(part)]).boxed() })
    }

    async fn delete(&self, key: &PayloadKey) -> Result<(), ObjectError> {
        self.objects().remove(&place(key));
        Ok(())
    }

    async fn list(
        &self,
        scope: &PayloadScope,
        after: Option<PayloadId>,
        limit: usize,
    ) -> Result<Vec<PayloadId>, ObjectError> {
        let (scope, objects) = (scope.to_string(), self.objects());
        let ids = objects.range((scope.clone(), PayloadId::from_bits(0))..).take_while(|((of, _), _)| *of == scope);
        let later = ids.map(|((_, id), _)| *id).filter(|id| after.is_none_or(|after| *id > after));
        Ok(later.take(limit).collect())
    }

    async fn ping(&self) -> Result<(), ObjectError> {
        Ok(())
    }
}
