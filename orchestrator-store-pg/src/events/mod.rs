//! The event log. Numbers come from the workspace's counter, inside the transaction of what the events tell.

pub(crate) mod append;

use async_trait::async_trait;
use orchestrator_core::store::{EventFilter, EventLog, EventPage, NewEvent, StoreError};
use orchestrator_core::types::{EventType, EventView, JobId, WorkspaceId};
use sqlx::postgres::PgRow;

use crate::PgStore;
use crate::failure::Failure;
use crate::rows::{Unreadable, bits_opt, document, id, int, number, parsed, readable, text, time, trace, value};
use crate::session::owned;
use crate::shared::Shared;
use crate::text::stored;

/// How many events one page may look at.
const WINDOW: i64 = 10_000;

#[async_trait]
impl EventLog for PgStore {
    async fn append(&self, workspace: &WorkspaceId, events: Vec<NewEvent>) -> Result<(), StoreError> {
        if events.is_empty() {
            return Ok(());
        }
        self.lanes.append.submit((workspace.clone(), events)).await
    }

    async fn events(
        &self,
        workspace: &WorkspaceId,
        after: u64,
        filter: &EventFilter,
        limit: usize,
    ) -> Result<EventPage, StoreError> {
        let (shared, workspace, filter) = (self.shared.clone(), workspace.clone(), filter.clone());
        owned(async move { page(&shared, &workspace, after, &filter, limit).await }).await
    }

    async fn last_event(&self, workspace: &WorkspaceId) -> Result<u64, StoreError> {
        const LAST: &str = "SELECT events FROM counters WHERE workspace = $1";
        let (shared, workspace) = (self.shared.clone(), workspace.clone());
        owned(async move {
            let mut transaction = shared.begin(workspace.as_str()).await?;
            let last: Option<i64> =
                sqlx::query_scalar(LAST).bind(workspace.as_str()).fetch_optional(&mut *transaction).await?;
            transaction.commit().await?;
            Ok(last.and_then(|last| u64::try_from(last).ok()).unwrap_or_default())
        })
        .await
    }
}

async fn page(
    shared: &Shared,
    workspace: &WorkspaceId,
    after: u64,
    filter: &EventFilter,
    limit: usize,
) -> Result<EventPage, Failure> {
    // The end of the window comes first: what is committed meanwhile must not be counted as looked at.
    const END: &str = "SELECT max(number) AS number FROM \
        (SELECT number FROM events WHERE workspace = $1 AND number > $2 ORDER BY number LIMIT $3) looked_at";
    const PAGE: &str = "SELECT number, time, kind, subject, job, trace, data FROM events \
        WHERE workspace = $1 AND number > $2 AND number <= $3 AND ($4::text[] IS NULL OR kind = ANY ($4)) \
        AND ($5::text IS NULL OR job = $6 OR (job IS NULL AND subject = $5)) AND ($7::uuid IS NULL OR trace = $7) \
        ORDER BY number LIMIT $8";
    let name = workspace.as_str();
    let mut transaction = shared.begin(name).await?;
    let end = sqlx::query(END).bind(name).bind(int(after)).bind(WINDOW).fetch_one(&mut *transaction).await?;
    let end: Option<i64> = value(&end, "number")?;
    let Some(end) = end.filter(|_| limit > 0) else {
        transaction.commit().await?;
        return Ok(EventPage { items: Vec::new(), scanned_to: after });
    };
    let kinds: Vec<&str> = filter.kinds.iter().map(|kind| kind.as_str()).collect();
    let rows = sqlx::query(PAGE)
        .bind(name)
        .bind(int(after))
        .bind(end)
        .bind((!kinds.is_empty()).then_some(kinds))
        .bind(filter.subject.as_deref().map(stored).as_deref())
        .bind(filter.subject.as_ref().and_then(|subject| subject.parse::<JobId>().ok()).map(|job| id(job.bits())))
        .bind(filter.trace_id.map(|trace| id(trace.bits())))
        .bind(int(limit))
        .fetch_all(&mut *transaction)
        .await?;
    transaction.commit().await?;
    let scanned_to = match rows.last() {
        Some(last) if rows.len() >= limit => number(last, "number")?,
        _ => u64::try_from(end).unwrap_or(after),
    };
    Ok(EventPage { items: readable(&rows, |row| event(workspace, row)), scanned_to })
}

fn event(workspace: &WorkspaceId, row: &PgRow) -> Result<EventView, Unreadable> {
    let job = bits_opt(row, "job")?.map(|bits| JobId::from_bits(bits).to_string());
    let event = NewEvent {
        kind: parsed::<EventType>(row, "kind")?,
        subject: job.map_or_else(|| text(row, "subject"), Ok)?,
        trace_id: trace(row, "trace")?,
        data: document(row, "data")?,
    };
    Ok(event.numbered(workspace, number(row, "number")?, time(row, "time")?))
}
