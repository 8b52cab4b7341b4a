//! Rows of payloads: what is true of them, and who names them.
//!
//! A payload is named by *owners*: an execution, a job or an inbox entry, by its id as text. An owner's names are written in
//! the transaction that writes the owner, and go in the one that removes it.

use async_trait::async_trait;
use orchestrator_types::{PayloadId, Timestamp, WorkspaceId};

use super::error::StoreError;
use crate::secrets::seal::PayloadSeal;

/// A payload whose object has been stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPayload {
    /// Its id.
    pub id: PayloadId,
    /// Its bytes, before they were sealed.
    pub size: u64,
    /// The SHA-256 of them.
    pub sha256: [u8; 32],
    /// What it is.
    pub content_type: String,
    /// How it was sealed; `None` if it lies open.
    pub seal: Option<PayloadSeal>,
}

/// A stored row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PayloadRecord {
    /// The payload.
    pub payload: NewPayload,
    /// When the row was written.
    pub created_at: Timestamp,
    /// When its object was first found to be gone or damaged.
    pub lost_at: Option<Timestamp>,
}

/// What an owner has to do with payloads.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PayloadLinks {
    /// Payloads that come into being with it.
    pub new: Vec<NewPayload>,
    /// Payloads that are there, which it names as well. One that is not there is passed over.
    pub named: Vec<PayloadId>,
}

impl PayloadLinks {
    /// Every payload of it.
    #[must_use]
    pub fn all(&self) -> Vec<PayloadId> {
        self.new.iter().map(|payload| payload.id).chain(self.named.iter().copied()).collect()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.new.is_empty() && self.named.is_empty()
    }
}

/// What has outlived its time in one workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PayloadSweep {
    /// Executions named their payloads before.
    pub executions_before: Timestamp,
    /// Payloads that nobody names and whose row was written before.
    pub unnamed_before: Timestamp,
}

/// Rows of payloads.
#[async_trait]
pub trait PayloadIndex: Send + Sync + 'static {
    /// Writes the row of a payload that nobody names yet. Writing it twice is once.
    ///
    /// # Errors
    /// The store did not write it.
    async fn add_payload(&self, workspace: &WorkspaceId, payload: NewPayload) -> Result<(), StoreError>;

    /// One row.
    ///
    /// # Errors
    /// The store does not answer.
    async fn payload(&self, workspace: &WorkspaceId, id: PayloadId) -> Result<Option<PayloadRecord>, StoreError>;

    /// Which of these have a row.
    ///
    /// # Errors
    /// The store does not answer.
    async fn known_payloads(&self, workspace: &WorkspaceId, ids: &[PayloadId]) -> Result<Vec<PayloadId>, StoreError>;

    /// Notes that an object was found to be gone or damaged, if that was not noted before.
    ///
    /// # Errors
    /// The store does not answer.
    async fn note_lost_payload(&self, workspace: &WorkspaceId, id: PayloadId) -> Result<(), StoreError>;

    /// Forgets the names of executions that have outlived their time, and removes up to `limit` rows that nobody names any
    /// more. Answers those: their objects may go.
    ///
    /// # Errors
    /// The store does not answer.
    async fn sweep_payloads(
        &self,
        workspace: &WorkspaceId,
        sweep: PayloadSweep,
        limit: usize,
    ) -> Result<Vec<PayloadId>, StoreError>;
}
