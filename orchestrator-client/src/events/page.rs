//! Events by page.

use std::time::Duration;

use orchestrator_types::{EventId, EventType, EventView, Page, TraceId};

use crate::client::Client;
use crate::error::Error;
use crate::jobs::LONGEST_POLL;
use crate::transport::Call;

/// Which events, and how long to wait for one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventQuery {
    /// After this event; from the first that is kept if absent.
    pub after: Option<EventId>,
    /// Of these types; of all if there are none.
    pub kinds: Vec<EventType>,
    /// About this: the id of a job, execution or inbox entry, or a name.
    pub subject: Option<String>,
    /// Of this trace.
    pub trace_id: Option<TraceId>,
    /// If there is none, wait so long for one; at most 30 s.
    pub wait: Option<Duration>,
    /// So many at most; up to 500.
    pub limit: Option<u32>,
}

impl Client {
    /// A page of events. The next begins after the last event of this one.
    ///
    /// # Errors
    /// An [`Error`] if it cannot be had.
    pub async fn events(&self, query: &EventQuery) -> Result<Page<EventView>, Error> {
        let wait = query.wait.unwrap_or_default().min(LONGEST_POLL);
        let call = Call::get("list_events", ["events"])
            .query("after", query.after)
            .query("type", names(&query.kinds))
            .query("subject", query.subject.as_ref())
            .query("trace_id", query.trace_id)
            .query("wait_ms", (!wait.is_zero()).then_some(wait.as_millis()))
            .query("limit", query.limit)
            .held_back(wait);
        self.body(&call).await
    }
}

/// The names of types as the contract lists them; `None` for no condition.
pub(super) fn names(kinds: &[EventType]) -> Option<String> {
    (!kinds.is_empty()).then(|| kinds.iter().map(|kind| kind.as_str()).collect::<Vec<_>>().join(","))
}
