//! Who names which payloads: written and forgotten with whoever does.

use orchestrator_core::store::{NewPayload, PayloadLinks};
use orchestrator_core::types::WorkspaceId;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::failure::Failure;
use crate::rows::{id, int};
use crate::shared::Shared;
use crate::text::stored;

/// Writes the row of a payload, unless it is there.
pub(super) async fn insert(
    shared: &Shared,
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    payload: &NewPayload,
) -> Result<(), Failure> {
    const INSERT: &str = "INSERT INTO payloads (workspace, id, size, sha256, content_type, seal, created_at) \
        VALUES ($1, $2, $3, $4, $5, $6, now_ms($7)) ON CONFLICT (workspace, id) DO NOTHING";
    sqlx::query(INSERT)
        .bind(workspace.as_str())
        .bind(id(payload.id.bits()))
        .bind(int(payload.size))
        .bind(payload.sha256.as_slice())
        .bind(stored(&payload.content_type).as_ref())
        .bind(payload.seal.map(|seal| seal.to_bytes().to_vec()))
        .bind(shared.now())
        .execute(conn)
        .await?;
    Ok(())
}

/// Writes what an owner has to do with payloads.
pub(crate) async fn link(
    shared: &Shared,
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    owner: &str,
    links: &PayloadLinks,
) -> Result<(), Failure> {
    // Whoever names a payload holds its row: a sweep that looks whether somebody names it waits, and finds that.
    const NAME: &str = "INSERT INTO payload_names (workspace, owner, payload, since) \
        SELECT p.workspace, $2, p.id, now_ms($4) FROM (SELECT workspace, id FROM payloads \
          WHERE workspace = $1 AND id = ANY ($3) ORDER BY id FOR KEY SHARE) p \
        ON CONFLICT (workspace, owner, payload) DO NOTHING";
    if links.is_empty() {
        return Ok(());
    }
    for payload in &links.new {
        insert(shared, conn, workspace, payload).await?;
    }
    let all: Vec<Uuid> = links.all().iter().map(|payload| id(payload.bits())).collect();
    let name = sqlx::query(NAME).bind(workspace.as_str()).bind(stored(owner).into_owned()).bind(all).bind(shared.now());
    name.execute(conn).await?;
    Ok(())
}

/// These owners are gone, and what they named is named by them no more.
pub(crate) async fn unlink(
    conn: &mut PgConnection,
    workspace: &WorkspaceId,
    owners: Vec<String>,
) -> Result<(), Failure> {
    const FORGET: &str = "DELETE FROM payload_names WHERE workspace = $1 AND owner = ANY ($2)";
    if !owners.is_empty() {
        sqlx::query(FORGET).bind(workspace.as_str()).bind(owners).execute(conn).await?;
    }
    Ok(())
}
