//! The event streams: paging, and waiting for what comes next.

use std::time::Duration;

use orchestrator_types::{EventId, EventView, Page, WorkspaceId};
use tokio::time::{Instant, timeout};

use crate::engine::{Engine, page_size, wait_until};
use crate::error::Error;
use crate::store::{EventFilter, EventPage};

/// So often a waiting reader looks by itself, for what another process committed.
const LOOK: Duration = Duration::from_millis(500);

/// The events of workspaces.
#[derive(Clone, Copy)]
pub struct Events<'a>(pub(crate) &'a Engine);

impl Events<'_> {
    /// Up to `limit` matching events from after `after` (or from the first that is kept), waiting up to `wait` if there
    /// is none yet. `next_cursor` is the last event's id, also at the end of what is there; absent if nothing was read.
    ///
    /// # Errors
    /// No such workspace, or the store.
    pub async fn page(
        &self,
        workspace: &WorkspaceId,
        after: Option<EventId>,
        filter: &EventFilter,
        limit: usize,
        wait: Duration,
    ) -> Result<Page<EventView>, Error> {
        self.0.workspace(workspace).await?;
        let after = after.map_or(0, EventId::sequence);
        let found = self.next(workspace, after, filter, limit, wait).await?;
        let next_cursor = found.items.last().map(|event| event.id.to_string());
        Ok(Page { items: found.items, next_cursor })
    }

    /// The next matching events from after number `after`, waiting up to `wait` if there is none yet; to be read on from
    /// its `scanned_to`. Ends early, with nothing, when the engine drains.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn next(
        &self,
        workspace: &WorkspaceId,
        after: u64,
        filter: &EventFilter,
        limit: usize,
        wait: Duration,
    ) -> Result<EventPage, Error> {
        let deadline = wait_until(wait);
        let limit = page_size(limit);
        let mut after = after;
        let mut flushed = false;
        loop {
            let mut changes = self.0.hub.watch(workspace);
            let page = self.0.store.events(workspace, after, filter, limit).await?;
            if !page.items.is_empty() {
                return Ok(page);
            }
            if page.scanned_to > after {
                after = page.scanned_to;
                continue;
            }
            if !flushed {
                // A caller that has just seen its execution's answer shall find its event.
                flushed = true;
                self.0.recorder.flush().await;
                continue;
            }
            let now = Instant::now();
            if now >= deadline || self.0.draining.is_cancelled() {
                return Ok(page);
            }
            let pause = (deadline - now).min(LOOK);
            tokio::select! {
                biased;
                _ = timeout(pause, changes.changed()) => {}
                () = self.0.draining.cancelled() => {}
            }
        }
    }
}
