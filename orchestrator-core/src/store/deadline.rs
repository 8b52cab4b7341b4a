//! A deadline for each call of a store, whatever the backend does: nobody waits for ever for an answer that is not coming.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::timeout;

use super::{Around, AroundCall, Store, StoreCall, StoreError};

/// A call that is not answered by then is taken for lost.
const CALL: Duration = Duration::from_secs(10);
/// A sweep may find much to do.
const SWEEP: Duration = Duration::from_secs(60);

/// Ends calls that are not answered in time. What they asked for may have been done.
pub(crate) struct Deadline;

impl Deadline {
    pub(crate) fn around(store: Arc<dyn Store>) -> Arc<dyn Store> {
        Arc::new(Around::new(store, Self))
    }
}

#[async_trait]
impl AroundCall for Deadline {
    async fn around<T: Send + 'static>(&self, method: &'static str, call: StoreCall<'_, T>) -> Result<T, StoreError> {
        let longest = if method.starts_with("sweep") { SWEEP } else { CALL };
        timeout(longest, call).await.unwrap_or_else(|late| Err(StoreError::unavailable(late)))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::future::pending;

    use tokio::time::Instant;

    use super::*;
    use crate::clock::SystemClock;
    use crate::memory::MemoryStore;

    struct Mute;

    #[async_trait]
    impl AroundCall for Mute {
        async fn around<T: Send + 'static>(&self, _: &'static str, _: StoreCall<'_, T>) -> Result<T, StoreError> {
            pending().await
        }
    }

    #[tokio::test(start_paused = true)]
    async fn inv_34_no_call_of_a_store_that_never_answers_is_waited_for_for_ever() {
        let mute = Arc::new(Around::new(Arc::new(MemoryStore::new(SystemClock::shared())), Mute));
        let store = Deadline::around(mute);
        let begun = Instant::now();
        assert!(matches!(store.settle(Vec::new()).await, Err(StoreError::Unavailable(_))));
        assert_eq!(begun.elapsed(), CALL);
    }

    #[tokio::test]
    async fn what_answers_in_time_is_heard() {
        let store = Deadline::around(Arc::new(MemoryStore::new(SystemClock::shared())));
        assert!(store.settle(Vec::new()).await.unwrap().is_empty());
        assert_eq!(store.info().name, "memory");
    }
}
