//! Rows of payloads, and who names them.

use std::fmt::Display;

use async_trait::async_trait;
use orchestrator_core::secrets::seal::PayloadSeal;
use orchestrator_core::store::{NewPayload, PayloadIndex, PayloadLinks, PayloadRecord, PayloadSweep, StoreError};
use orchestrator_core::types::{ExecutionId, PayloadId, WorkspaceId};
use sqlx::sqlite::SqliteRow;

use crate::SqliteStore;
use crate::batch::Batch;
use crate::op::{Failure, Op};
use crate::rows::{Unreadable, bits, hash, id_bytes, int, number, readable, time, time_opt, to_json, value};

#[async_trait]
impl PayloadIndex for SqliteStore {
    async fn add_payload(&self, workspace: &WorkspaceId, payload: NewPayload) -> Result<(), StoreError> {
        self.write(Add { workspace: workspace.clone(), payload }).await
    }

    async fn payload(&self, workspace: &WorkspaceId, id: PayloadId) -> Result<Option<PayloadRecord>, StoreError> {
        const ONE: &str = "SELECT * FROM payloads WHERE workspace = ?1 AND id = ?2";
        let query = sqlx::query(ONE).bind(workspace.as_str()).bind(id_bytes(id.bits()));
        let row = self.read(query.fetch_optional(self.readers())).await?;
        Ok(row.as_ref().map(read).transpose()?)
    }

    async fn known_payloads(&self, workspace: &WorkspaceId, ids: &[PayloadId]) -> Result<Vec<PayloadId>, StoreError> {
        const KNOWN: &str = "SELECT id FROM payloads \
            WHERE workspace = ?1 AND id IN (SELECT unhex(value) FROM json_each(?2))";
        let wanted = hexes(ids).map_err(Failure::into_store_error)?;
        let query = sqlx::query(KNOWN).bind(workspace.as_str()).bind(wanted);
        let rows = self.read(query.fetch_all(self.readers())).await?;
        let known = readable(&rows, |row| bits(row, "id").map(PayloadId::from_bits));
        Ok(ids.iter().filter(|id| known.contains(id)).copied().collect())
    }

    async fn note_lost_payload(&self, workspace: &WorkspaceId, id: PayloadId) -> Result<(), StoreError> {
        self.write(NoteLost { workspace: workspace.clone(), id }).await
    }

    async fn sweep_payloads(
        &self,
        workspace: &WorkspaceId,
        sweep: PayloadSweep,
        limit: usize,
    ) -> Result<Vec<PayloadId>, StoreError> {
        self.write(Remove { workspace: workspace.clone(), sweep, limit: int(limit) }).await
    }
}

fn hexes(ids: &[PayloadId]) -> Result<String, Failure> {
    to_json(&ids.iter().map(|id| format!("{:032x}", id.bits())).collect::<Vec<_>>())
}

fn read(row: &SqliteRow) -> Result<PayloadRecord, Unreadable> {
    let seal = value::<Option<&[u8]>>(row, "seal")?.map(PayloadSeal::from_bytes).transpose();
    Ok(PayloadRecord {
        payload: NewPayload {
            id: PayloadId::from_bits(bits(row, "id")?),
            size: number(row, "size")?,
            sha256: hash(row, "sha256")?,
            content_type: value(row, "content_type")?,
            seal: seal.map_err(|_| Unreadable { column: "seal" })?,
        },
        created_at: time(row, "created_at")?,
        lost_at: time_opt(row, "lost_at")?,
    })
}

async fn insert(batch: &mut Batch<'_>, workspace: &WorkspaceId, payload: &NewPayload) -> Result<(), Failure> {
    const INSERT: &str = "INSERT INTO payloads (workspace, id, size, sha256, content_type, seal, created_at) \
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (workspace, id) DO NOTHING";
    sqlx::query(INSERT)
        .bind(workspace.as_str())
        .bind(id_bytes(payload.id.bits()))
        .bind(int(payload.size))
        .bind(payload.sha256.to_vec())
        .bind(&payload.content_type)
        .bind(payload.seal.map(|seal| seal.to_bytes()))
        .bind(batch.now.unix_ms())
        .execute(&mut *batch.conn)
        .await?;
    Ok(())
}

/// Writes what an owner has to do with payloads.
pub(crate) async fn link(
    batch: &mut Batch<'_>,
    workspace: &WorkspaceId,
    owner: impl Display,
    links: &PayloadLinks,
) -> Result<(), Failure> {
    const NAME: &str = "INSERT INTO payload_names (workspace, owner, payload, since) \
        SELECT workspace, ?2, id, ?4 FROM payloads \
        WHERE workspace = ?1 AND id IN (SELECT unhex(value) FROM json_each(?3)) \
        ON CONFLICT (workspace, owner, payload) DO NOTHING";
    if links.is_empty() {
        return Ok(());
    }
    for payload in &links.new {
        insert(batch, workspace, payload).await?;
    }
    sqlx::query(NAME)
        .bind(workspace.as_str())
        .bind(owner.to_string())
        .bind(hexes(&links.all())?)
        .bind(batch.now.unix_ms())
        .execute(&mut *batch.conn)
        .await?;
    Ok(())
}

/// These owners are gone, and what they named is named by them no more.
pub(crate) async fn unlink(
    batch: &mut Batch<'_>,
    workspace: &WorkspaceId,
    owners: impl IntoIterator<Item = impl Display>,
) -> Result<(), Failure> {
    const FORGET: &str = "DELETE FROM payload_names \
        WHERE workspace = ?1 AND owner IN (SELECT value FROM json_each(?2))";
    let owners: Vec<_> = owners.into_iter().map(|owner| owner.to_string()).collect();
    if !owners.is_empty() {
        sqlx::query(FORGET).bind(workspace.as_str()).bind(to_json(&owners)?).execute(&mut *batch.conn).await?;
    }
    Ok(())
}

struct Add {
    workspace: WorkspaceId,
    payload: NewPayload,
}

impl Op for Add {
    type Answer = ();

    async fn apply(&self, batch: &mut Batch<'_>) -> Result<(), Failure> {
        insert(batch, &self.workspace, &self.payload).await
    }
}

struct NoteLost {
    workspace: WorkspaceId,
    id: PayloadId,
}

impl Op for NoteLost {
    type Answer = ();

    async fn apply(&self, batch: &mut Batch<'_>) -> Result<(), Failure> {
        const NOTE: &str = "UPDATE payloads SET lost_at = ?3 WHERE workspace = ?1 AND id = ?2 AND lost_at IS NULL";
        sqlx::query(NOTE)
            .bind(self.workspace.as_str())
            .bind(id_bytes(self.id.bits()))
            .bind(batch.now.unix_ms())
            .execute(&mut *batch.conn)
            .await?;
        Ok(())
    }
}

struct Remove {
    workspace: WorkspaceId,
    sweep: PayloadSweep,
    limit: i64,
}

impl Op for Remove {
    type Answer = Vec<PayloadId>;

    async fn apply(&self, batch: &mut Batch<'_>) -> Result<Vec<PayloadId>, Failure> {
        // The range of texts that begin with the prefix.
        const EXECUTIONS: &str = "DELETE FROM payload_names WHERE (workspace, owner, payload) IN \
            (SELECT workspace, owner, payload FROM payload_names \
             WHERE workspace = ?1 AND owner >= ?2 || '_' AND owner < ?2 || '`' AND since < ?3 LIMIT ?4)";
        const NOBODYS: &str = "DELETE FROM payloads WHERE rowid IN \
            (SELECT p.rowid FROM payloads p INDEXED BY payloads_age WHERE p.workspace = ?1 AND p.created_at < ?2 \
             AND NOT EXISTS (SELECT 1 FROM payload_names n INDEXED BY payload_names_of \
               WHERE n.workspace = p.workspace AND n.payload = p.id) \
             ORDER BY p.created_at LIMIT ?3) RETURNING id";
        sqlx::query(EXECUTIONS)
            .bind(self.workspace.as_str())
            .bind(ExecutionId::PREFIX)
            .bind(self.sweep.executions_before.unix_ms())
            .bind(self.limit)
            .execute(&mut *batch.conn)
            .await?;
        let rows = sqlx::query(NOBODYS)
            .bind(self.workspace.as_str())
            .bind(self.sweep.unnamed_before.unix_ms())
            .bind(self.limit)
            .fetch_all(&mut *batch.conn)
            .await?;
        rows.iter().map(|row| Ok(PayloadId::from_bits(bits(row, "id")?))).collect()
    }
}
