//! The event log. Numbers are given where the transaction ends ([`Batch::finish`]); here is the way in and the way out.

use async_trait::async_trait;
use orchestrator_core::store::{EventFilter, EventLog, EventPage, NewEvent, StoreError};
use orchestrator_core::types::{EventType, EventView, WorkspaceId};
use sqlx::sqlite::SqliteRow;

use crate::SqliteStore;
use crate::batch::Batch;
use crate::op::{Failure, Op};
use crate::rows::{Unreadable, document, id_bytes, int, number, parsed, readable, time, trace, value};

/// How many events one page may look at.
const WINDOW: i64 = 10_000;

#[async_trait]
impl EventLog for SqliteStore {
    async fn append(&self, workspace: &WorkspaceId, events: Vec<NewEvent>) -> Result<(), StoreError> {
        if events.is_empty() {
            return Ok(());
        }
        self.write(Append { workspace: workspace.clone(), events }).await
    }

    async fn events(
        &self,
        workspace: &WorkspaceId,
        after: u64,
        filter: &EventFilter,
        limit: usize,
    ) -> Result<EventPage, StoreError> {
        // The end of the window comes first: what is committed meanwhile must not be counted as looked at.
        const END: &str = "SELECT max(number) AS number FROM \
            (SELECT number FROM events WHERE workspace = ?1 AND number > ?2 ORDER BY number LIMIT ?3)";
        const PAGE: &str = "SELECT number, time, kind, subject, trace, data FROM events \
            WHERE workspace = ?1 AND number > ?2 AND number <= ?3 \
            AND (?4 IS NULL OR kind IN (SELECT value FROM json_each(?4))) \
            AND (?5 IS NULL OR subject = ?5) AND (?6 IS NULL OR trace = ?6) \
            ORDER BY number LIMIT ?7";
        let name = workspace.as_str();
        let end = sqlx::query(END).bind(name).bind(int(after)).bind(WINDOW).fetch_one(self.readers());
        let end: Option<i64> = value(&self.read(end).await?, "number")?;
        let Some(end) = end.filter(|_| limit > 0) else {
            return Ok(EventPage { items: Vec::new(), scanned_to: after });
        };
        let kinds: Vec<&str> = filter.kinds.iter().map(|kind| kind.as_str()).collect();
        let kinds = if kinds.is_empty() { None } else { serde_json::to_string(&kinds).ok() };
        let page = sqlx::query(PAGE)
            .bind(name)
            .bind(int(after))
            .bind(end)
            .bind(kinds)
            .bind(filter.subject.as_deref())
            .bind(filter.trace_id.map(|trace| id_bytes(trace.bits())))
            .bind(int(limit))
            .fetch_all(self.readers());
        let rows = self.read(page).await?;
        let scanned_to = match rows.last() {
            Some(last) if rows.len() >= limit => number(last, "number")?,
            _ => u64::try_from(end).unwrap_or(after),
        };
        Ok(EventPage { items: readable(&rows, |row| event(workspace, row)), scanned_to })
    }

    async fn last_event(&self, workspace: &WorkspaceId) -> Result<u64, StoreError> {
        const LAST: &str = "SELECT events FROM counters WHERE workspace = ?1";
        let row = sqlx::query(LAST).bind(workspace.as_str()).fetch_optional(self.readers());
        Ok(self.read(row).await?.map_or(Ok(0), |row| number(&row, "events"))?)
    }
}

fn event(workspace: &WorkspaceId, row: &SqliteRow) -> Result<EventView, Unreadable> {
    let event = NewEvent {
        kind: parsed::<EventType>(row, "kind")?,
        subject: value(row, "subject")?,
        trace_id: trace(row, "trace")?,
        data: document(row, "data")?,
    };
    Ok(event.numbered(workspace, number(row, "number")?, time(row, "time")?))
}

struct Append {
    workspace: WorkspaceId,
    events: Vec<NewEvent>,
}

impl Op for Append {
    type Answer = ();

    async fn apply(&self, batch: &mut Batch<'_>) -> Result<(), Failure> {
        batch.events(&self.workspace, &self.events);
        Ok(())
    }
}
