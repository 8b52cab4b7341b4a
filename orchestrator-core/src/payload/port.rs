//! The port: what a backend keeps, and what it answers.

use std::error::Error;
use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use orchestrator_types::PayloadId;

use super::key::{PayloadKey, PayloadScope};

/// Why a stream broke off, for the log.
pub type Broken = Box<dyn Error + Send + Sync>;

/// Bytes as they come. An error ends it.
pub type ByteStream = BoxStream<'static, Result<Bytes, Broken>>;

/// What a backend can say besides yes.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ObjectError {
    /// There is no such object.
    #[error("there is no such object")]
    NotFound,
    /// There is an object of that key already; it was not touched.
    #[error("there is such an object already")]
    Exists,
    /// The bytes that were to be stored broke off. Nothing is stored.
    #[error("what was to be stored broke off")]
    Source(#[source] Broken),
    /// The backend does not do it now; the same call may be made again.
    #[error("the payload store is not available")]
    Unavailable(#[source] Broken),
}

impl ObjectError {
    /// A backend that does not do it, because of `source`.
    pub fn unavailable(source: impl Into<Broken>) -> Self {
        Self::Unavailable(source.into())
    }
}

/// An object that is being read.
pub struct Object {
    /// How long the whole object is, whatever part of it was asked for.
    pub size: u64,
    /// The part that was asked for.
    pub body: ByteStream,
}

/// Keeps the bytes of payloads: opaque objects by key, written once and never changed. What is true of them (size, hash, owner)
/// is in the store's rows; an object that no row names is nobody's.
///
/// Every method has its own deadline or passes the caller's cancellation on. A backend knows no plaintext: objects may be sealed.
#[async_trait]
pub trait PayloadStore: Send + Sync + 'static {
    /// What this backend is: `memory`, `folder`, `s3`.
    fn name(&self) -> &'static str;

    /// Stores an object; when this answers it is durable, and readers see all of it or nothing. Answers how long it is.
    ///
    /// Dropping the future stores nothing, or the whole object: never a part that can be read.
    ///
    /// # Errors
    /// There is an object of that key, `body` broke off, or the backend does not do it.
    async fn put(&self, key: &PayloadKey, body: ByteStream) -> Result<u64, ObjectError>;

    /// Reads an object, or the bytes `range` of it. A range that goes past the end is cut there; one that begins there is empty.
    ///
    /// # Errors
    /// There is no such object, or the backend does not answer. What breaks off later is an error of the body.
    async fn get(&self, key: &PayloadKey, range: Option<Range<u64>>) -> Result<Object, ObjectError>;

    /// Removes an object. Removing what is not there is no error.
    ///
    /// # Errors
    /// The backend does not do it.
    async fn delete(&self, key: &PayloadKey) -> Result<(), ObjectError>;

    /// Up to `limit` objects of a workspace in the order of their ids, from after `after`.
    /// What lies there and is no object of ours is passed over.
    ///
    /// # Errors
    /// The backend does not answer.
    async fn list(
        &self,
        scope: &PayloadScope,
        after: Option<PayloadId>,
        limit: usize,
    ) -> Result<Vec<PayloadId>, ObjectError>;

    /// Answers when the backend does and takes writes. Leaves nothing behind.
    ///
    /// # Errors
    /// It does not.
    async fn ping(&self) -> Result<(), ObjectError>;
}
