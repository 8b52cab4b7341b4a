//! Records of calls.

use std::sync::Arc;

use orchestrator_core::store::{RequestEntry, StoreError};
use orchestrator_core::types::{RequestId, RequestView, WorkspaceId};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::arrays::{EventRow, RequestRow, op};
use crate::committer::{Lane, Write, about};
use crate::failure::Failure;
use crate::notices::Told;
use crate::payloads::links;
use crate::rows::{below, document, id, int, readable};
use crate::session::{context, owned};
use crate::shared::Shared;
use crate::text::stored;

/// Writes calls that were made: with those of others, or by themselves if they have payloads.
pub(super) async fn log(
    shared: &Arc<Shared>,
    lane: &Lane<Log>,
    entries: Vec<Arc<RequestEntry>>,
) -> Result<(), StoreError> {
    let (apart, plain): (Vec<_>, Vec<_>) = entries.into_iter().partition(|entry| !entry.payloads.is_empty());
    let mut done = Ok(());
    for answer in lane.submit_all(plain).await {
        if let Err(error) = answer {
            done = Err(error);
        }
    }
    for entry in apart {
        let shared = shared.clone();
        if let Err(error) = owned(async move { log_whole(&shared, &entry).await }).await {
            done = Err(error);
        }
    }
    done
}

/// Writes a call in a transaction of its own, with its payloads.
async fn log_whole(shared: &Shared, entry: &Arc<RequestEntry>) -> Result<(), Failure> {
    let mut told = Told::default();
    let mut transaction = shared.begin(entry.workspace.as_str()).await?;
    let fresh = write(shared, &mut transaction, &[entry], &mut told).await?;
    if let Some(record) = entry.record.as_ref().filter(|_| !fresh.is_empty()) {
        links::link(shared, &mut transaction, &entry.workspace, &record.subject, &entry.payloads).await?;
    }
    transaction.commit().await?;
    shared.tell(&told);
    Ok(())
}

/// A call that was made, with those of others.
pub(crate) struct Log;

impl Write for Log {
    type Item = Arc<RequestEntry>;
    type Answer = ();

    fn weight(entry: &Arc<RequestEntry>) -> usize {
        let kept = entry.idempotency.as_ref().and_then(|scope| scope.keep.as_ref());
        2048 + kept.map_or(0, |kept| kept.answer.len())
    }

    fn keys(entry: &Arc<RequestEntry>, keys: &mut Vec<u64>) {
        keys.extend(entry.idempotency.iter().map(|scope| about((&entry.workspace, scope.key.as_str()))));
        keys.extend(entry.record.iter().map(|record| about((&entry.workspace, record.id))));
    }

    async fn write(
        shared: &Shared,
        conn: &mut PgConnection,
        items: &[&Arc<RequestEntry>],
        told: &mut Told,
    ) -> Result<Vec<()>, Failure> {
        write(shared, conn, items, told).await?;
        Ok(vec![(); items.len()])
    }
}

/// Answers the places of those that are new, counted from 1.
async fn write(
    shared: &Shared,
    conn: &mut PgConnection,
    items: &[&Arc<RequestEntry>],
    told: &mut Told,
) -> Result<Vec<i32>, Failure> {
    const LOG: &str = "SELECT log_calls(\
        set_config('orchestrator.workspaces', $1, true), $2, $3, $4, $5, $6, $7, $8, $9, $10)";
    let (mut requests, mut events) = (Vec::with_capacity(items.len()), Vec::with_capacity(items.len()));
    let (mut of, mut keys, mut executions) = (Vec::new(), Vec::new(), Vec::new());
    let (mut answers, mut expires) = (Vec::new(), Vec::new());
    for (index, entry) in items.iter().enumerate() {
        let op = op(index);
        if let Some(record) = &entry.record {
            requests.push(RequestRow::new(op, &entry.workspace, record)?);
        }
        for event in &entry.events {
            told.touched(&entry.workspace);
            events.push(EventRow::new(op, &entry.workspace, event)?);
        }
        if let Some(scope) = &entry.idempotency {
            of.push(entry.workspace.as_str());
            keys.push(scope.key.as_str());
            executions.push(id(scope.execution.bits()));
            answers.push(scope.keep.as_ref().map(|kept| kept.answer.to_vec()));
            expires.push(scope.keep.as_ref().map(|kept| kept.expires_at.unix_ms()));
        }
    }
    let fresh: Option<Vec<i32>> = sqlx::query_scalar(LOG)
        .bind(context(items.iter().map(|entry| &entry.workspace)))
        .bind(shared.now())
        .bind(i32::try_from(items.len()).unwrap_or(i32::MAX))
        .bind(requests)
        .bind(events)
        .bind(of)
        .bind(keys)
        .bind(executions as Vec<Uuid>)
        .bind(answers)
        .bind(expires)
        .fetch_one(conn)
        .await?;
    Ok(fresh.unwrap_or_default())
}

pub(super) async fn about_subject(
    shared: &Shared,
    workspace: &WorkspaceId,
    subject: &str,
) -> Result<Option<RequestView>, Failure> {
    const NEWEST: &str = "SELECT view FROM requests WHERE workspace = $1 AND subject = $2 ORDER BY id DESC LIMIT 1";
    let mut transaction = shared.begin(workspace.as_str()).await?;
    let newest = sqlx::query(NEWEST).bind(workspace.as_str()).bind(stored(subject).as_ref());
    let row = newest.fetch_optional(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(row.as_ref().map(|row| document(row, "view")).transpose()?)
}

pub(super) async fn requests(
    shared: &Shared,
    workspace: &WorkspaceId,
    subject: Option<&str>,
    before: Option<RequestId>,
    limit: usize,
) -> Result<Vec<RequestView>, Failure> {
    const ALL: &str = "SELECT view FROM requests WHERE workspace = $1 AND id < $2 AND $3::text IS NULL \
        ORDER BY id DESC LIMIT $4";
    const ABOUT: &str = "SELECT view FROM requests WHERE workspace = $1 AND id < $2 AND subject = $3 \
        ORDER BY id DESC LIMIT $4";
    let mut transaction = shared.begin(workspace.as_str()).await?;
    let rows = sqlx::query(if subject.is_some() { ABOUT } else { ALL })
        .bind(workspace.as_str())
        .bind(below(before.map(RequestId::bits)))
        .bind(subject.map(stored).as_deref())
        .bind(int(limit))
        .fetch_all(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok(readable(&rows, |row| document(row, "view")))
}
