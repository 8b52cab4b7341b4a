//! Lists: a page, or all items one after the other.

use std::collections::VecDeque;
use std::future::IntoFuture;
use std::marker::PhantomData;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, Stream, StreamExt, stream};
use orchestrator_types::Page;
use serde::de::DeserializeOwned;

use crate::client::Client;
use crate::error::Error;
use crate::transport::Call;

/// A list: await it for one page, or take all [`items`](List::items).
#[must_use = "nothing is asked for before it is awaited or its items are taken"]
pub struct List<T> {
    client: Client,
    call: Call,
    limit: Option<u32>,
    cursor: Option<String>,
    item: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned + Send + 'static> List<T> {
    pub(crate) fn new(client: &Client, call: Call) -> Self {
        Self { client: client.clone(), call, limit: None, cursor: None, item: PhantomData }
    }

    /// So many items a page, at most 500; the server has 50 if not set.
    pub fn limit(mut self, limit: u32) -> Self {
        self.limit = Some(limit);
        self
    }

    /// From where another page ended: its `next_cursor`.
    pub fn cursor(mut self, cursor: impl Into<String>) -> Self {
        self.cursor = Some(cursor.into());
        self
    }

    /// One page.
    ///
    /// # Errors
    /// An [`Error`] if it cannot be had.
    pub async fn page(&self) -> Result<Page<T>, Error> {
        let call = self.call.clone().query("limit", self.limit).query("cursor", self.cursor.as_ref());
        self.client.body(&call).await
    }

    /// Every item from the cursor on. Pages are fetched as the items are taken; an error ends the stream.
    pub fn items(self) -> impl Stream<Item = Result<T, Error>> + Send + Unpin + 'static {
        stream::unfold(Walk { list: self, items: VecDeque::new(), ended: false }, Walk::step).boxed()
    }
}

impl<T: DeserializeOwned + Send + 'static> IntoFuture for List<T> {
    type Output = Result<Page<T>, Error>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        async move { self.page().await }.boxed()
    }
}

struct Walk<T> {
    list: List<T>,
    items: VecDeque<T>,
    ended: bool,
}

impl<T: DeserializeOwned + Send + 'static> Walk<T> {
    async fn step(mut self) -> Option<(Result<T, Error>, Self)> {
        loop {
            if let Some(item) = self.items.pop_front() {
                return Some((Ok(item), self));
            }
            if self.ended {
                return None;
            }
            match self.list.page().await {
                Ok(page) => {
                    // A cursor that does not move would make this endless.
                    self.ended = page.next_cursor.is_none() || page.next_cursor == self.list.cursor;
                    self.items = page.items.into();
                    self.list.cursor = page.next_cursor;
                }
                Err(problem) => {
                    self.ended = true;
                    return Some((Err(problem), self));
                }
            }
        }
    }
}
