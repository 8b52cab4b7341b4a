//! Ordering keys: of the unfinished jobs of a key at most one runs or may run, and it is the one accepted first. Whoever
//! changes that holds the key until the commit.

use orchestrator_core::types::WorkspaceId;
use sqlx::PgConnection;

use crate::failure::Failure;
use crate::notices::Told;
use crate::shared::Shared;

/// Holds keys of a workspace until the commit: to be done before any row is touched.
pub(super) async fn lock(conn: &mut PgConnection, workspace: &WorkspaceId, keys: &[String]) -> Result<(), Failure> {
    const LOCK: &str = "SELECT lock_keys(array_fill($1::text, ARRAY[cardinality($2)]), $2)";
    if !keys.is_empty() {
        sqlx::query(LOCK).bind(workspace.as_str()).bind(keys).execute(conn).await?;
    }
    Ok(())
}

/// Lets the first unfinished job of each key go, if none of it runs.
pub(super) async fn release(
    shared: &Shared,
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    keys: &[String],
    told: &mut Told,
) -> Result<(), Failure> {
    const RELEASE: &str = "SELECT workspace, id, lane, priority, run_at, lost \
        FROM release_keys(array_fill($1::text, ARRAY[cardinality($2)]), $2, now_ms($3))";
    if keys.is_empty() {
        return Ok(());
    }
    let rows = sqlx::query(RELEASE).bind(workspace.as_str()).bind(keys).bind(shared.now()).fetch_all(conn).await?;
    for row in &rows {
        told.hint(row, "id")?;
    }
    Ok(())
}
