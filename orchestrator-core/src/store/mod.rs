//! The ports to what is durable. The store is the one source of truth: it commits, then we acknowledge.
//!
//! | port | holds |
//! |---|---|
//! | [`ControlStore`] | records (workspaces, config versions, secrets, identities, …), the route index, the audit chains |
//! | [`JobStore`] | jobs, their leases and fences |
//! | [`InboxStore`] | webhooks and what is deduplicated by |
//! | [`EventLog`] | events, gapless and ordered in a workspace |
//! | [`RequestLog`] | each call made, and the answers kept for idempotency keys |
//! | [`PayloadIndex`] | what is true of payloads, and who names them |
//!
//! What belongs together is one method, and one method is one transaction. A method whose answer was lost may be called
//! again with the same ids, keys and fences: it changes nothing more (invariant 32). Futures that are dropped may or may
//! not have taken effect; they leave nothing half done.
//!
//! A backend has deadlines of its own where it can name a better cause; the engine waits ten seconds for any answer (a minute
//! for a sweep) and then takes it for lost. [`Around`] puts something around each call of any store.

mod around;
mod control;
mod deadline;
mod error;
mod event;
mod inbox;
mod job;
mod payload;
mod request;

use std::sync::Arc;

use async_trait::async_trait;
use orchestrator_types::{Timestamp, WorkspaceId};

use crate::queue::JobHint;

pub use around::{Around, AroundCall, StoreCall};
pub use control::{
    CommitError, Committed, ControlChange, ControlStore, DEFAULT_WORKSPACES, Expect, NewAudit, Owner, Record,
    RecordKind, RecordWrite, Route, RouteKey, RouteOwner,
};
pub(crate) use deadline::Deadline;
pub use error::StoreError;
pub use event::{EventFilter, EventLog, EventPage, NewEvent};
pub use inbox::{InboxRecord, InboxStore, Ingested, NewInbox, delivering};
pub use job::{
    Cancelled, Claim, ClaimNamed, ClaimedJob, DeadFilter, Enqueue, Enqueued, HeldLease, IdempotentAnswer, JobFilter,
    JobKind, JobRecord, JobState, JobStore, LaneKey, MAX_LOST_LEASES, Moved, NewJob, Outcome, QueueStats, Settled,
    Settlement,
};
pub use payload::{NewPayload, PayloadIndex, PayloadLinks, PayloadRecord, PayloadSweep};
pub use request::{Begin, Begun, IdempotencyScope, KeptAnswer, KeyRoute, KnownAnswer, RequestEntry, RequestLog, Sweep};

/// Everything durable, as the engine wants it.
#[async_trait]
pub trait Store: ControlStore + JobStore + InboxStore + EventLog + RequestLog + PayloadIndex {
    /// What this backend is, and what it promises.
    fn info(&self) -> StoreInfo;

    /// Tells `watch` of every commit from now on, so that nobody needs to poll for what this process wrote itself.
    fn attach(&self, watch: Arc<dyn CommitWatch>);

    /// The store's time: the one that leases, `run_at` and every other moment in the ports are compared with. Nodes whose own
    /// clocks lie reckon in it.
    ///
    /// # Errors
    /// The store does not answer.
    async fn now(&self) -> Result<Timestamp, StoreError>;

    /// Answers when the store does.
    ///
    /// # Errors
    /// The store does not answer.
    async fn ping(&self) -> Result<(), StoreError>;

    /// Finishes what was handed in and lets go of files and connections.
    async fn close(&self);
}

/// What a backend is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreInfo {
    /// `memory`, `sqlite`, …
    pub name: &'static str,
    /// Whether what was acknowledged survives the process.
    pub durable: bool,
}

/// Hears of commits. Called on the committer's path: it must not block.
pub trait CommitWatch: Send + Sync + 'static {
    /// The workspace has new events, or the state of its jobs changed.
    fn touched(&self, workspace: &WorkspaceId);
    /// Jobs have become ready, or will at a time that is known now: new ones, those of a retry, give-back or replay, and
    /// those that an earlier one of their ordering key let go. None named: there may be some, look. Jobs that lost a lease
    /// are not named: they run apart.
    fn ready(&self, hints: &[JobHint]);
    /// Control records changed.
    fn control(&self);
    /// Whether it wants jobs named that become ready. Asked once, when it is attached: naming them for nobody costs.
    fn wants_hints(&self) -> bool {
        false
    }
}
