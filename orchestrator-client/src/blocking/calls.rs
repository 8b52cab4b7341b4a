//! Calls that have options, lists, and what waits for them.

use std::fmt;
use std::pin::Pin;

use futures_util::{Stream, StreamExt};
use orchestrator_types::{ConfigVersionSummary, IdempotencyKey, Page};
use serde::de::DeserializeOwned;

use super::runtime::Runtime;
use crate::answer::{Answer, ETag};
use crate::error::Error;

/// A call under an idempotency key: [`send`](Self::send) it, or give it a key of your own first. See [`crate::KeyedCall`].
#[must_use = "nothing is sent before `send`"]
pub struct KeyedCall<T> {
    pub(super) call: crate::KeyedCall<T>,
    pub(super) runtime: Runtime,
}

impl<T: DeserializeOwned> KeyedCall<T> {
    /// Uses this key: within 24 h the same key with the same body gets the first answer again.
    pub fn idempotency_key(self, key: IdempotencyKey) -> Self {
        Self { call: self.call.idempotency_key(key), ..self }
    }

    /// Sends it.
    ///
    /// # Errors
    /// As the async call.
    pub fn send(self) -> Result<T, Error> {
        self.answer().map(|answer| answer.body)
    }

    /// Sends it and gives the answer with what its headers tell.
    ///
    /// # Errors
    /// As the async call.
    pub fn answer(self) -> Result<Answer<T>, Error> {
        self.runtime.wait(self.call.answer())
    }
}

/// A list: a [`page`](Self::page) of it, or all [`items`](Self::items).
#[must_use = "nothing is asked for before its page or its items are"]
pub struct List<T> {
    pub(super) list: crate::List<T>,
    pub(super) runtime: Runtime,
}

impl<T: DeserializeOwned + Send + 'static> List<T> {
    /// So many items a page, at most 500; the server has 50 if not set.
    pub fn limit(self, limit: u32) -> Self {
        Self { list: self.list.limit(limit), ..self }
    }

    /// From where another page ended: its `next_cursor`.
    pub fn cursor(self, cursor: impl Into<String>) -> Self {
        Self { list: self.list.cursor(cursor), ..self }
    }

    /// One page.
    ///
    /// # Errors
    /// An [`Error`] if it cannot be had.
    pub fn page(&self) -> Result<Page<T>, Error> {
        self.runtime.wait(self.list.page())
    }

    /// Every item from the cursor on. Pages are fetched as the items are taken; an error ends it.
    pub fn items(self) -> impl Iterator<Item = Result<T, Error>> {
        Items::new(self.list.items(), self.runtime)
    }
}

/// A change of the config: [`send`](Self::send) it. See [`crate::ConfigChange`].
#[must_use = "nothing is sent before `send`"]
pub struct ConfigChange {
    pub(super) change: crate::ConfigChange,
    pub(super) runtime: Runtime,
}

impl ConfigChange {
    /// Only if the config is still the one that this validator came with; else it is refused with 412.
    pub fn if_match(self, etag: &ETag) -> Self {
        Self { change: self.change.if_match(etag), ..self }
    }

    /// Takes the webhook routes that it names from the workspaces that hold them. For the install's administrator only.
    pub fn take_routes(self) -> Self {
        Self { change: self.change.take_routes(), ..self }
    }

    /// Sends it.
    ///
    /// # Errors
    /// As the async call.
    pub fn send(self) -> Result<Answer<ConfigVersionSummary>, Error> {
        self.runtime.wait(self.change.into_future())
    }
}

/// The items of a stream, each waited for.
pub(super) struct Items<T> {
    stream: Pin<Box<dyn Stream<Item = Result<T, Error>> + Send>>,
    runtime: Runtime,
    /// It was refused: the stream would be asked for ever.
    refused: bool,
}

impl<T> Items<T> {
    pub(super) fn new(stream: impl Stream<Item = Result<T, Error>> + Send + 'static, runtime: Runtime) -> Self {
        Self { stream: Box::pin(stream), runtime, refused: false }
    }
}

impl<T> Iterator for Items<T> {
    type Item = Result<T, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.refused {
            return None;
        }
        let stream = &mut self.stream;
        match self.runtime.wait(async { Ok(stream.next().await) }) {
            Ok(item) => item,
            Err(refusal) => {
                self.refused = true;
                Some(Err(refusal))
            }
        }
    }
}

macro_rules! debug {
    ($($kind:ident $(<$item:ident>)?),+) => {
        $(impl $(<$item>)? fmt::Debug for $kind $(<$item>)? {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.debug_struct(stringify!($kind)).finish_non_exhaustive()
            }
        })+
    };
}

debug!(KeyedCall<T>, List<T>, ConfigChange);
