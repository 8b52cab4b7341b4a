//! The same for payloads.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;

use async_trait::async_trait;
use futures_util::StreamExt;
use futures_util::stream::poll_fn;
use orchestrator_core::payload::{ByteStream, Object, ObjectError, PayloadKey, PayloadScope, PayloadStore};
use orchestrator_core::types::PayloadId;

use super::caller::{Caller, Repeat};

const TRIES: u32 = 100;

/// A payload store whose calls are repeated while the answer is that it is not available.
///
/// A `put` that was made is told by the second one, which finds the object: the first one's answer counts. One that was
/// dropped in the middle has used up its body and cannot be repeated with it: of these an injected fault makes whole ones
/// whose answer is lost.
pub struct RetryingPayloads {
    inner: Arc<dyn PayloadStore>,
}

impl RetryingPayloads {
    /// Repeats what fails of a payload store.
    #[must_use]
    pub fn new(inner: Arc<dyn PayloadStore>) -> Self {
        Self { inner }
    }
}

async fn repeated<T, F>(caller: &Arc<Caller>, call: impl Fn() -> F) -> Result<T, ObjectError>
where
    F: Future<Output = Result<T, ObjectError>>,
{
    let mut tries = 0;
    loop {
        tries += 1;
        match caller.make(call()).await {
            None if tries < TRIES => {}
            None => return Err(ObjectError::unavailable("it never answers")),
            Some(Err(ObjectError::Unavailable(_))) if tries < TRIES => tokio::task::yield_now().await,
            Some(answer) => return answer,
        }
    }
}

/// A body that several tries read from, one after the other.
fn shared(body: &Arc<Mutex<ByteStream>>) -> ByteStream {
    let body = Arc::clone(body);
    let next = move |context: &mut std::task::Context<'_>| -> Poll<_> {
        body.lock().unwrap_or_else(PoisonError::into_inner).poll_next_unpin(context)
    };
    poll_fn(next).boxed()
}

#[async_trait]
impl PayloadStore for RetryingPayloads {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    async fn put(&self, key: &PayloadKey, body: ByteStream) -> Result<u64, ObjectError> {
        let (caller, body) = (Caller::new(Repeat::Answered), Arc::new(Mutex::new(body)));
        let second = repeated(&caller, || self.inner.put(key, shared(&body))).await;
        match caller.found::<u64>() {
            None => second,
            Some(first) => {
                let found = matches!(second, Err(ObjectError::Exists));
                assert!(found, "`put` wrote {first} bytes, and when it was repeated answered {second:?}");
                Ok(first)
            }
        }
    }

    async fn get(&self, key: &PayloadKey, range: Option<Range<u64>>) -> Result<Object, ObjectError> {
        repeated(&Caller::new(Repeat::Freely), || self.inner.get(key, range.clone())).await
    }

    async fn delete(&self, key: &PayloadKey) -> Result<(), ObjectError> {
        repeated(&Caller::new(Repeat::Freely), || self.inner.delete(key)).await
    }

    async fn list(
        &self,
        scope: &PayloadScope,
        after: Option<PayloadId>,
        limit: usize,
    ) -> Result<Vec<PayloadId>, ObjectError> {
        repeated(&Caller::new(Repeat::Freely), || self.inner.list(scope, after, limit)).await
    }

    async fn ping(&self) -> Result<(), ObjectError> {
        repeated(&Caller::new(Repeat::Freely), || self.inner.ping()).await
    }
}
