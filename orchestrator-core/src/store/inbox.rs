//! The webhook inbox.

use std::collections::BTreeMap;

use async_trait::async_trait;
use bytes::Bytes;
use orchestrator_types::{InboxId, JobId, Name, PayloadId, Timestamp, TraceId, WorkspaceId};

use super::error::StoreError;
use super::event::NewEvent;
use super::job::{Enqueue, JobKind, NewJob};
use super::payload::PayloadLinks;

/// A verified webhook to take in.
#[derive(Debug, Clone)]
pub struct NewInbox {
    /// Its id.
    pub id: InboxId,
    /// The provider.
    pub provider: Name,
    /// The route that verified it.
    pub route: Name,
    /// The account that it names.
    pub account: Option<String>,
    /// The provider's id of the event. Deduplicated by (workspace, provider, account or else route, this).
    pub event_id: String,
    /// The provider's type of the event.
    pub event_type: Option<String>,
    /// The headers, that of the signature redacted.
    pub headers: BTreeMap<String, String>,
    /// The body, byte for byte. Empty if it is stored apart.
    pub body: Bytes,
    /// The payload that the body is, if it is stored apart.
    pub body_payload: Option<PayloadId>,
    /// SHA-256 of the body: another body under the same event id is a conflict.
    pub body_hash: [u8; 32],
    /// When it was taken in.
    pub received_at: Timestamp,
    /// The trace.
    pub trace_id: TraceId,
    /// Appended before the jobs' own `job.queued`, if it is new.
    pub events: Vec<NewEvent>,
    /// Enqueued, if it is new.
    pub jobs: Vec<NewJob>,
    /// Its payloads, written with it if it is new. Empty when it is read.
    pub payloads: PayloadLinks,
}

impl NewInbox {
    /// What the event id is unique within, besides workspace and provider.
    #[must_use]
    pub fn sender(&self) -> String {
        match &self.account {
            Some(account) => format!("account:{account}"),
            None => format!("route:{}", self.route),
        }
    }
}

/// Which of the jobs of an entry delivers it: what the entry is noted by. The callback's, if there is one.
#[must_use]
pub fn delivering(jobs: &[NewJob]) -> Option<JobId> {
    let delivery = jobs.iter().rev().find(|job| job.kind == JobKind::Webhook);
    delivery.or(jobs.last()).map(|job| job.id)
}

/// A stored inbox entry.
#[derive(Debug, Clone)]
pub struct InboxRecord {
    /// What was taken in; `body` is `None` after retention. Events and jobs are empty.
    pub entry: NewInbox,
    /// Whether the body is still there.
    pub body_kept: bool,
    /// How often it came again.
    pub duplicates: u64,
    /// The newest job that delivers it.
    pub job: Option<JobId>,
    /// Whether that job was purged: what is gone then was never delivered.
    pub given_up: bool,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ingested {
    /// It is new, and durable with its events and jobs.
    New,
    /// It was there already; nothing was enqueued.
    Duplicate {
        /// The first entry.
        id: InboxId,
        /// Whether the body is another than the first.
        conflict: bool,
        /// How often it came again, this time included.
        count: u64,
    },
}

/// The inbox.
#[async_trait]
pub trait InboxStore: Send + Sync + 'static {
    /// Takes a webhook in, or finds that it was: by a unique key in the same transaction as its events and jobs.
    ///
    /// # Errors
    /// The store did not take it in: nothing of it is there.
    async fn ingest(&self, workspace: &WorkspaceId, entry: NewInbox) -> Result<Ingested, StoreError>;

    /// One entry.
    ///
    /// # Errors
    /// The store does not answer.
    async fn inbox_entry(&self, workspace: &WorkspaceId, id: InboxId) -> Result<Option<InboxRecord>, StoreError>;

    /// Up to `limit` entries, newest first, older than `before`. Their bodies and headers are left out.
    ///
    /// # Errors
    /// The store does not answer.
    async fn inbox(
        &self,
        workspace: &WorkspaceId,
        before: Option<InboxId>,
        limit: usize,
    ) -> Result<Vec<InboxRecord>, StoreError>;

    /// Enqueues a new delivery of an entry, and notes it as its job. `false` if there is no such entry.
    ///
    /// # Errors
    /// The store does not answer; nothing was enqueued.
    async fn redeliver(&self, workspace: &WorkspaceId, id: InboxId, enqueue: Enqueue) -> Result<bool, StoreError>;
}
