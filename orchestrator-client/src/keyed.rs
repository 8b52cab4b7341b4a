//! Calls that carry an idempotency key.

use std::future::IntoFuture;
use std::marker::PhantomData;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use orchestrator_types::IdempotencyKey;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::answer::Answer;
use crate::client::Client;
use crate::error::Error;
use crate::transport::Call;

/// A call under an idempotency key: await it, or give it a key of your own first.
///
/// Without one it gets a fresh random key, the same for all of its tries: its own retries do nothing twice, but a second
/// call does. Give a key that you keep (an order's id) where the call may be made again after your own restart.
#[must_use = "nothing is sent before it is awaited"]
pub struct KeyedCall<T> {
    client: Client,
    call: Call,
    key: Option<IdempotencyKey>,
    answer: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> KeyedCall<T> {
    pub(crate) fn new(client: &Client, call: Call) -> Self {
        Self { client: client.clone(), call, key: None, answer: PhantomData }
    }

    /// Uses this key: within 24 h the same key with the same body gets the first answer again.
    pub fn idempotency_key(mut self, key: IdempotencyKey) -> Self {
        self.key = Some(key);
        self
    }

    /// Sends it and gives the answer with what its headers tell: [`Answer::replayed`] among it.
    ///
    /// # Errors
    /// As awaiting it.
    pub async fn answer(self) -> Result<Answer<T>, Error> {
        let call = match &self.key {
            Some(key) => self.call.keyed(key.as_str()),
            None => self.call.keyed(&Uuid::new_v4().to_string()),
        };
        self.client.answer(&call).await
    }
}

impl<T: DeserializeOwned + 'static> IntoFuture for KeyedCall<T> {
    type Output = Result<T, Error>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        self.answer().map(|outcome| outcome.map(|answer| answer.body)).boxed()
    }
}
