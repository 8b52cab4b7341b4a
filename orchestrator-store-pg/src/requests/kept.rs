//! The answer of a request that has ended, read without beginning anything.

use bytes::Bytes;
use orchestrator_core::store::{KeyRoute, KnownAnswer};
use orchestrator_core::types::{IdempotencyKey, WorkspaceId};
use sqlx::postgres::PgRow;

use crate::failure::Failure;
use crate::rows::{Unreadable, value};
use crate::shared::Shared;

pub(super) async fn kept(
    shared: &Shared,
    workspace: &WorkspaceId,
    route: KeyRoute,
    key: &IdempotencyKey,
) -> Result<Option<KnownAnswer>, Failure> {
    const KEPT: &str = "SELECT request_hash, answer FROM idempotency \
        WHERE workspace = $1 AND route = $2 AND key = $3 AND expires_at > now_ms($4) AND answer IS NOT NULL";
    let mut transaction = shared.begin(workspace.as_str()).await?;
    let kept = sqlx::query(KEPT).bind(workspace.as_str()).bind(route.as_str()).bind(key.as_str()).bind(shared.now());
    let row = kept.fetch_optional(&mut *transaction).await?;
    transaction.commit().await?;
    let read = |row: &PgRow| -> Result<KnownAnswer, Unreadable> {
        let hash = value::<Vec<u8>>(row, "request_hash")?;
        let request_hash = hash.try_into().map_err(|_| Unreadable { column: "request_hash" })?;
        Ok(KnownAnswer { request_hash, answer: Bytes::from(value::<Vec<u8>>(row, "answer")?) })
    };
    Ok(row.as_ref().map(read).transpose()?)
}
