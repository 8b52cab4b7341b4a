//! A payload store that fails.

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use orchestrator_core::payload::{ByteStream, Object, ObjectError, PayloadKey, PayloadScope, PayloadStore};
use orchestrator_core::types::PayloadId;

use super::Faults;

/// A payload store whose calls fail by a plan, as methods of the port's names.
pub struct FaultyPayloads {
    inner: Arc<dyn PayloadStore>,
    faults: Faults,
}

impl FaultyPayloads {
    /// Puts the faults over a payload store.
    #[must_use]
    pub fn new(inner: Arc<dyn PayloadStore>, faults: Faults) -> Self {
        Self { inner, faults }
    }
}

fn away() -> ObjectError {
    ObjectError::unavailable("a fault was injected")
}

#[async_trait]
impl PayloadStore for FaultyPayloads {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    async fn put(&self, key: &PayloadKey, body: ByteStream) -> Result<u64, ObjectError> {
        self.faults.strike("put", self.inner.put(key, body), away).await
    }

    async fn get(&self, key: &PayloadKey, range: Option<Range<u64>>) -> Result<Object, ObjectError> {
        self.faults.strike("get", self.inner.get(key, range), away).await
    }

    async fn delete(&self, key: &PayloadKey) -> Result<(), ObjectError> {
        self.faults.strike("delete", self.inner.delete(key), away).await
    }

    async fn list(
        &self,
        scope: &PayloadScope,
        after: Option<PayloadId>,
        limit: usize,
    ) -> Result<Vec<PayloadId>, ObjectError> {
        self.faults.strike("list", self.inner.list(scope, after, limit), away).await
    }

    async fn ping(&self) -> Result<(), ObjectError> {
        self.faults.strike("ping", self.inner.ping(), away).await
    }
}
