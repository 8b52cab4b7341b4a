//! Records of calls.

use std::sync::Arc;

use orchestrator_core::store::{RequestEntry, StoreError};
use orchestrator_core::types::{RequestId, RequestView, WorkspaceId};

use crate::SqliteStore;
use crate::batch::Batch;
use crate::op::{Failure, Op};
use crate::payloads;
use crate::requests::keys;
use crate::rows::{below, document, id_bytes, int, readable, to_json};

pub(super) struct Write(pub(super) Vec<Arc<RequestEntry>>);

impl Op for Write {
    type Answer = ();

    fn weight(&self) -> usize {
        let answer = |entry: &RequestEntry| {
            entry.idempotency.as_ref().and_then(|scope| scope.keep.as_ref()).map_or(0, |kept| kept.answer.len())
        };
        self.0.iter().map(|entry| 2048 + answer(entry)).sum()
    }

    async fn apply(&self, batch: &mut Batch<'_>) -> Result<(), Failure> {
        for entry in &self.0 {
            let fresh = match &entry.record {
                Some(record) => insert(batch, &entry.workspace, record).await?,
                None => true,
            };
            // A record that is there was written by the same call, with its events.
            if fresh {
                if let Some(record) = &entry.record {
                    payloads::link(batch, &entry.workspace, &record.subject, &entry.payloads).await?;
                }
                batch.events(&entry.workspace, &entry.events);
            }
            if let Some(scope) = &entry.idempotency {
                keys::end(batch, &entry.workspace, scope).await?;
            }
        }
        Ok(())
    }
}

/// Writes a record, unless it is there. Answers whether it was written.
pub(crate) async fn insert(
    batch: &mut Batch<'_>,
    workspace: &WorkspaceId,
    view: &RequestView,
) -> Result<bool, Failure> {
    const INSERT: &str = "INSERT INTO requests (workspace, id, subject, started_at, view) \
        VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (workspace, id) DO NOTHING";
    let inserted = sqlx::query(INSERT)
        .bind(workspace.as_str())
        .bind(id_bytes(view.id.bits()))
        .bind(&view.subject)
        .bind(view.started_at.unix_ms())
        .bind(to_json(view)?)
        .execute(&mut *batch.conn)
        .await?;
    Ok(inserted.rows_affected() > 0)
}

pub(super) async fn about(
    store: &SqliteStore,
    workspace: &WorkspaceId,
    subject: &str,
) -> Result<Option<RequestView>, StoreError> {
    const NEWEST: &str = "SELECT view FROM requests WHERE workspace = ?1 AND subject = ?2 ORDER BY id DESC LIMIT 1";
    let query = sqlx::query(NEWEST).bind(workspace.as_str()).bind(subject);
    let row = store.read(query.fetch_optional(store.readers())).await?;
    Ok(row.as_ref().map(|row| document(row, "view")).transpose()?)
}

pub(super) async fn requests(
    store: &SqliteStore,
    workspace: &WorkspaceId,
    subject: Option<&str>,
    before: Option<RequestId>,
    limit: usize,
) -> Result<Vec<RequestView>, StoreError> {
    const ALL: &str = "SELECT view FROM requests WHERE workspace = ?1 AND id < ?2 ORDER BY id DESC LIMIT ?3";
    const ABOUT: &str = "SELECT view FROM requests WHERE workspace = ?1 AND id < ?2 AND subject = ?4 \
        ORDER BY id DESC LIMIT ?3";
    let query = sqlx::query(if subject.is_some() { ABOUT } else { ALL })
        .bind(workspace.as_str())
        .bind(below(before.map(RequestId::bits)))
        .bind(int(limit));
    let query = match subject {
        Some(subject) => query.bind(subject),
        None => query,
    };
    let rows = store.read(query.fetch_all(store.readers())).await?;
    Ok(readable(&rows, |row| document(row, "view")))
}
