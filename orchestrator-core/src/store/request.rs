//! The request log, and what is kept for idempotency keys of synchronous calls.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use orchestrator_types::{ExecutionId, IdempotencyKey, RequestId, RequestView, Timestamp, WorkspaceId};

use super::error::StoreError;
use super::event::NewEvent;
use super::payload::PayloadLinks;

/// A synchronous call that is about to be made under an idempotency key.
#[derive(Debug, Clone)]
pub struct Begin {
    /// The key, scoped to the workspace and to `/execute`.
    pub key: IdempotencyKey,
    /// SHA-256 of the request's body.
    pub request_hash: [u8; 32],
    /// The execution.
    pub execution: ExecutionId,
    /// If nothing is heard of it by then, its process is dead.
    pub valid_until: Timestamp,
    /// Takes over from an execution whose outcome is unknown: only where repeating it is harmless.
    pub take_over: bool,
}

/// What is known of the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Begun {
    /// Nothing, or no longer: the call is noted as begun, and is this caller's to make.
    Fresh,
    /// It was made: this was the answer.
    Done(Bytes),
    /// It is being made.
    Running(ExecutionId),
    /// It was begun, and its process died.
    Unknown(ExecutionId),
    /// The key was used with another request.
    Mismatch,
}

/// What an idempotency key is of, beside its workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyRoute {
    /// `/jobs`.
    Jobs,
    /// `/execute`.
    Execute,
}

impl KeyRoute {
    /// As it is stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Jobs => "jobs",
            Self::Execute => "execute",
        }
    }
}

/// The answer that a request got, which the same one gets again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownAnswer {
    /// SHA-256 of the request's body.
    pub request_hash: [u8; 32],
    /// The answer.
    pub answer: Bytes,
}

/// What becomes of the key when the call ends.
#[derive(Debug, Clone)]
pub struct IdempotencyScope {
    /// The key.
    pub key: IdempotencyKey,
    /// The execution that began.
    pub execution: ExecutionId,
    /// The answer to keep; `None` forgets the key, as if it had never been used (no attempt began).
    pub keep: Option<KeptAnswer>,
}

/// An answer to keep.
#[derive(Debug, Clone)]
pub struct KeptAnswer {
    /// What the same request gets again.
    pub answer: Bytes,
    /// Until when.
    pub expires_at: Timestamp,
}

/// A call that was made.
#[derive(Debug, Clone)]
pub struct RequestEntry {
    /// The tenant.
    pub workspace: WorkspaceId,
    /// The record; `None` where only a key is to be forgotten.
    pub record: Option<RequestView>,
    /// Appended to the workspace's events.
    pub events: Vec<NewEvent>,
    /// The idempotency key that it ran under.
    pub idempotency: Option<IdempotencyScope>,
    /// Payloads of its output, named by the record's subject.
    pub payloads: PayloadLinks,
}

/// What has outlived its time in one workspace.
#[derive(Debug, Clone)]
pub struct Sweep {
    /// The tenant.
    pub workspace: WorkspaceId,
    /// Request-log records begun before.
    pub requests_before: Timestamp,
    /// Events committed before.
    pub events_before: Timestamp,
    /// Inbox bodies taken in before, of entries whose delivery has ended; what deduplicates them stays.
    pub inbox_before: Timestamp,
    /// Jobs that ended before, except dead ones.
    pub jobs_before: Timestamp,
    /// What deduplicates webhooks taken in before.
    pub tombstones_before: Timestamp,
}

/// The request log.
#[async_trait]
pub trait RequestLog: Send + Sync + 'static {
    /// Notes that a call under an idempotency key begins, before its first byte leaves; or what is known of the key.
    ///
    /// # Errors
    /// The store does not answer.
    async fn begin(&self, workspace: &WorkspaceId, begin: Begin) -> Result<Begun, StoreError>;

    /// The answer that is kept for an idempotency key; `None` if none is, or not yet, or no longer. Reads, and begins nothing.
    ///
    /// # Errors
    /// The store does not answer.
    async fn kept(
        &self,
        workspace: &WorkspaceId,
        route: KeyRoute,
        key: &IdempotencyKey,
    ) -> Result<Option<KnownAnswer>, StoreError>;

    /// Writes calls that were made, each with its events and the fate of its key. Shared, as they are handed in again where the store
    /// did not answer.
    ///
    /// # Errors
    /// The store does not answer.
    async fn log(&self, entries: Vec<Arc<RequestEntry>>) -> Result<(), StoreError>;

    /// The newest record about an execution or job.
    ///
    /// # Errors
    /// The store does not answer.
    async fn request_about(&self, workspace: &WorkspaceId, subject: &str) -> Result<Option<RequestView>, StoreError>;

    /// Up to `limit` records, newest first, older than `before`; all, or those about `subject`.
    ///
    /// # Errors
    /// The store does not answer.
    async fn requests(
        &self,
        workspace: &WorkspaceId,
        subject: Option<&str>,
        before: Option<RequestId>,
        limit: usize,
    ) -> Result<Vec<RequestView>, StoreError>;

    /// Removes up to `limit` things of each sort that have outlived their time, and idempotency keys past theirs.
    /// Answers how many. Nothing unfinished is touched.
    ///
    /// # Errors
    /// The store does not answer.
    async fn sweep(&self, sweep: Sweep, limit: usize) -> Result<u64, StoreError>;
}
