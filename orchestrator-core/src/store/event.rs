//! The event log.

use async_trait::async_trait;
use orchestrator_types::{EventId, EventType, EventView, Timestamp, TraceId, WorkspaceId};
use serde_json::Value;

use super::error::StoreError;

/// An event to be: its number and time are the store's to give, inside the transaction of what it tells.
#[derive(Debug, Clone, PartialEq)]
pub struct NewEvent {
    /// What happened.
    pub kind: EventType,
    /// To what.
    pub subject: String,
    /// The trace.
    pub trace_id: TraceId,
    /// What else is to say.
    pub data: Value,
}

impl NewEvent {
    /// An event about `subject`.
    pub fn new(kind: EventType, subject: impl ToString, trace_id: TraceId, data: Value) -> Self {
        Self { kind, subject: subject.to_string(), trace_id, data }
    }

    /// The event as number `sequence` of a workspace, committed at `now`.
    #[must_use]
    pub fn numbered(self, workspace: &WorkspaceId, sequence: u64, now: Timestamp) -> EventView {
        EventView {
            id: EventId::at(u64::try_from(now.unix_ms()).unwrap_or(0), sequence),
            kind: self.kind,
            workspace: workspace.clone(),
            subject: self.subject,
            time: now,
            trace_id: self.trace_id,
            data: self.data,
        }
    }
}

/// Which events are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// Of one of these types; of any if empty.
    pub kinds: Vec<EventType>,
    /// About this.
    pub subject: Option<String>,
    /// Of this trace.
    pub trace_id: Option<TraceId>,
}

impl EventFilter {
    /// Whether an event is wanted.
    #[must_use]
    pub fn matches(&self, kind: EventType, subject: &str, trace_id: TraceId) -> bool {
        (self.kinds.is_empty() || self.kinds.contains(&kind))
            && self.subject.as_deref().is_none_or(|wanted| wanted == subject)
            && self.trace_id.is_none_or(|wanted| wanted == trace_id)
    }
}

/// A page of events.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct EventPage {
    /// Those that match.
    pub items: Vec<EventView>,
    /// Everything up to this number has been looked at: read on from here. Equals `after` if nothing was there.
    pub scanned_to: u64,
}

/// Events: one total order a workspace, without holes. A reader that saw number N never misses one below N.
#[async_trait]
pub trait EventLog: Send + Sync + 'static {
    /// Appends events, in their order.
    ///
    /// # Errors
    /// The store does not answer.
    async fn append(&self, workspace: &WorkspaceId, events: Vec<NewEvent>) -> Result<(), StoreError>;

    /// Up to `limit` matching events from after number `after`, looking at no more than 10,000.
    ///
    /// # Errors
    /// The store does not answer.
    async fn events(
        &self,
        workspace: &WorkspaceId,
        after: u64,
        filter: &EventFilter,
        limit: usize,
    ) -> Result<EventPage, StoreError>;

    /// The number of the last event; 0 if there is none.
    ///
    /// # Errors
    /// The store does not answer.
    async fn last_event(&self, workspace: &WorkspaceId) -> Result<u64, StoreError>;
}
