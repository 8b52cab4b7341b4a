//! Idempotency keys: one narrow table, a row a (workspace, route, key). A row past its time counts as absent.

use std::time::Duration;

use bytes::Bytes;
use orchestrator_core::store::{Begin, IdempotencyScope, IdempotentAnswer, KeyRoute, KnownAnswer, StoreError};
use orchestrator_core::types::{IdempotencyKey, WorkspaceId};
use sqlx::sqlite::SqliteRow;

use crate::SqliteStore;
use crate::batch::Batch;
use crate::op::Failure;
use crate::rows::{Unreadable, hash, id_bytes, value};

/// The scope of keys of jobs.
pub(crate) const JOBS: &str = KeyRoute::Jobs.as_str();
/// The scope of keys of synchronous calls.
pub(super) const EXECUTE: &str = KeyRoute::Execute.as_str();
/// How long a call that began and was never heard of again is remembered.
const REMEMBERED: Duration = Duration::from_secs(24 * 60 * 60);

/// The row of a key, if it is not past its time.
pub(crate) async fn live(
    batch: &mut Batch<'_>,
    workspace: &WorkspaceId,
    route: &'static str,
    key: &IdempotencyKey,
) -> Result<Option<SqliteRow>, Failure> {
    const LIVE: &str = "SELECT request_hash, execution, valid_until, answer FROM idempotency \
        WHERE workspace = ?1 AND route = ?2 AND key = ?3 AND expires_at > ?4";
    let row = sqlx::query(LIVE)
        .bind(workspace.as_str())
        .bind(route)
        .bind(key.as_str())
        .bind(batch.now.unix_ms())
        .fetch_optional(&mut *batch.conn)
        .await?;
    Ok(row)
}

/// The answer of a request that has ended, read beside the writer.
pub(super) async fn kept(
    store: &SqliteStore,
    workspace: &WorkspaceId,
    route: KeyRoute,
    key: &IdempotencyKey,
) -> Result<Option<KnownAnswer>, StoreError> {
    const KEPT: &str = "SELECT request_hash, answer FROM idempotency \
        WHERE workspace = ?1 AND route = ?2 AND key = ?3 AND expires_at > ?4 AND answer IS NOT NULL";
    let kept = sqlx::query(KEPT).bind(workspace.as_str()).bind(route.as_str()).bind(key.as_str());
    let row = store.read(kept.bind(store.now().unix_ms()).fetch_optional(store.readers())).await?;
    let read = |row: &SqliteRow| -> Result<KnownAnswer, Unreadable> {
        let answer = Bytes::from(value::<Vec<u8>>(row, "answer")?);
        Ok(KnownAnswer { request_hash: hash(row, "request_hash")?, answer })
    };
    Ok(row.as_ref().map(read).transpose()?)
}

/// Keeps the answer to a request for jobs.
pub(crate) async fn put_answer(
    batch: &mut Batch<'_>,
    workspace: &WorkspaceId,
    kept: &IdempotentAnswer,
) -> Result<(), Failure> {
    const PUT: &str = "INSERT OR REPLACE INTO idempotency (workspace, route, key, request_hash, answer, expires_at) \
        VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    sqlx::query(PUT)
        .bind(workspace.as_str())
        .bind(JOBS)
        .bind(kept.key.as_str())
        .bind(kept.request_hash.to_vec())
        .bind(kept.answer.to_vec())
        .bind(kept.expires_at.unix_ms())
        .execute(&mut *batch.conn)
        .await?;
    Ok(())
}

/// Notes that a call has begun.
pub(super) async fn put_begun(batch: &mut Batch<'_>, workspace: &WorkspaceId, begin: &Begin) -> Result<(), Failure> {
    const PUT: &str = "INSERT OR REPLACE INTO idempotency \
        (workspace, route, key, request_hash, execution, valid_until, expires_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    sqlx::query(PUT)
        .bind(workspace.as_str())
        .bind(EXECUTE)
        .bind(begin.key.as_str())
        .bind(begin.request_hash.to_vec())
        .bind(id_bytes(begin.execution.bits()))
        .bind(begin.valid_until.unix_ms())
        .bind(begin.valid_until.max(batch.now).after(REMEMBERED).unix_ms())
        .execute(&mut *batch.conn)
        .await?;
    Ok(())
}

/// Notes how a call ended, if it is still the one that has the key.
pub(super) async fn end(
    batch: &mut Batch<'_>,
    workspace: &WorkspaceId,
    scope: &IdempotencyScope,
) -> Result<(), Failure> {
    const KEEP: &str = "UPDATE idempotency SET answer = ?5, expires_at = ?6, valid_until = NULL \
        WHERE workspace = ?1 AND route = ?2 AND key = ?3 AND execution = ?4 AND answer IS NULL";
    const FORGET: &str = "DELETE FROM idempotency \
        WHERE workspace = ?1 AND route = ?2 AND key = ?3 AND execution = ?4 AND answer IS NULL";
    let statement = sqlx::query(if scope.keep.is_some() { KEEP } else { FORGET })
        .bind(workspace.as_str())
        .bind(EXECUTE)
        .bind(scope.key.as_str())
        .bind(id_bytes(scope.execution.bits()));
    let statement = match &scope.keep {
        Some(kept) => statement.bind(kept.answer.to_vec()).bind(kept.expires_at.unix_ms()),
        None => statement,
    };
    statement.execute(&mut *batch.conn).await?;
    Ok(())
}
