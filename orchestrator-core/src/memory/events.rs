//! The event log in memory: a deque a workspace, whose numbers have no holes.

use std::collections::{BTreeMap, VecDeque};

use async_trait::async_trait;
use orchestrator_types::{EventView, Timestamp, WorkspaceId};

use super::MemoryStore;
use crate::store::{EventFilter, EventLog, EventPage, NewEvent, StoreError};

/// No search looks at more events than this.
const MAX_SCANNED: usize = 10_000;

#[derive(Default)]
pub(super) struct Events(BTreeMap<WorkspaceId, Stream>);

/// The last number, and the events up to it: what retention removes, it removes at the front.
#[derive(Default)]
struct Stream {
    last: u64,
    kept: VecDeque<EventView>,
}

impl Events {
    pub(super) fn append(
        &mut self,
        workspace: &WorkspaceId,
        events: impl IntoIterator<Item = NewEvent>,
        now: Timestamp,
    ) {
        let stream = self.0.entry(workspace.clone()).or_default();
        for event in events {
            stream.last += 1;
            stream.kept.push_back(event.numbered(workspace, stream.last, now));
        }
    }

    fn page(&self, workspace: &WorkspaceId, after: u64, filter: &EventFilter, limit: usize) -> EventPage {
        let mut page = EventPage { items: Vec::new(), scanned_to: after };
        let Some(stream) = self.0.get(workspace) else { return page };
        let removed = stream.last - stream.kept.len() as u64;
        let start = usize::try_from(after.saturating_sub(removed)).unwrap_or(usize::MAX);
        for event in stream.kept.iter().skip(start).take(MAX_SCANNED) {
            if page.items.len() >= limit {
                break;
            }
            page.scanned_to = event.id.sequence();
            if filter.matches(event.kind, &event.subject, event.trace_id) {
                page.items.push(event.clone());
            }
        }
        page
    }

    /// Removes up to `limit` events from the front that were committed before `before`.
    pub(super) fn sweep(&mut self, workspace: &WorkspaceId, before: Timestamp, limit: usize) -> usize {
        let Some(stream) = self.0.get_mut(workspace) else { return 0 };
        let old = stream.kept.iter().take(limit).take_while(|event| event.time < before).count();
        stream.kept.drain(..old).count()
    }
}

#[async_trait]
impl EventLog for MemoryStore {
    async fn append(&self, workspace: &WorkspaceId, events: Vec<NewEvent>) -> Result<(), StoreError> {
        if !events.is_empty() {
            self.write(|transaction| transaction.tell(workspace, events));
        }
        Ok(())
    }

    async fn events(
        &self,
        workspace: &WorkspaceId,
        after: u64,
        filter: &EventFilter,
        limit: usize,
    ) -> Result<EventPage, StoreError> {
        Ok(self.read(|state| state.events.page(workspace, after, filter, limit)))
    }

    async fn last_event(&self, workspace: &WorkspaceId) -> Result<u64, StoreError> {
        Ok(self.read(|state| state.events.0.get(workspace).map_or(0, |stream| stream.last)))
    }
}
