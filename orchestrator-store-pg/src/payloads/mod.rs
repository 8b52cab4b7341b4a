//! Rows of payloads, and who names them.

pub(crate) mod links;

use async_trait::async_trait;
use orchestrator_core::secrets::seal::PayloadSeal;
use orchestrator_core::store::{NewPayload, PayloadIndex, PayloadRecord, PayloadSweep, StoreError};
use orchestrator_core::types::{ExecutionId, PayloadId, WorkspaceId};
use sqlx::postgres::PgRow;
use uuid::Uuid;

use crate::PgStore;
use crate::failure::Failure;
use crate::rows::{Unreadable, bits, hash, id, int, number, text, time, time_opt, value};
use crate::session::owned;
use crate::shared::Shared;

#[async_trait]
impl PayloadIndex for PgStore {
    async fn add_payload(&self, workspace: &WorkspaceId, payload: NewPayload) -> Result<(), StoreError> {
        let (shared, workspace) = (self.shared.clone(), workspace.clone());
        owned(async move {
            let mut transaction = shared.begin(workspace.as_str()).await?;
            links::insert(&shared, &mut transaction, &workspace, &payload).await?;
            Ok(transaction.commit().await?)
        })
        .await
    }

    async fn payload(&self, workspace: &WorkspaceId, payload: PayloadId) -> Result<Option<PayloadRecord>, StoreError> {
        const ONE: &str = "SELECT * FROM payloads WHERE workspace = $1 AND id = $2";
        let (shared, workspace) = (self.shared.clone(), workspace.clone());
        owned(async move {
            let mut transaction = shared.begin(workspace.as_str()).await?;
            let one = sqlx::query(ONE).bind(workspace.as_str()).bind(id(payload.bits()));
            let row = one.fetch_optional(&mut *transaction).await?;
            transaction.commit().await?;
            Ok(row.as_ref().map(read).transpose()?)
        })
        .await
    }

    async fn known_payloads(&self, workspace: &WorkspaceId, ids: &[PayloadId]) -> Result<Vec<PayloadId>, StoreError> {
        const KNOWN: &str = "SELECT id FROM payloads WHERE workspace = $1 AND id = ANY ($2)";
        let (shared, workspace, ids) = (self.shared.clone(), workspace.clone(), ids.to_vec());
        owned(async move {
            let wanted: Vec<Uuid> = ids.iter().map(|payload| id(payload.bits())).collect();
            let mut transaction = shared.begin(workspace.as_str()).await?;
            let known: Vec<Uuid> =
                sqlx::query_scalar(KNOWN).bind(workspace.as_str()).bind(wanted).fetch_all(&mut *transaction).await?;
            transaction.commit().await?;
            Ok(ids.into_iter().filter(|payload| known.contains(&id(payload.bits()))).collect())
        })
        .await
    }

    async fn note_lost_payload(&self, workspace: &WorkspaceId, payload: PayloadId) -> Result<(), StoreError> {
        const NOTE: &str =
            "UPDATE payloads SET lost_at = now_ms($3) WHERE workspace = $1 AND id = $2 AND lost_at IS NULL";
        let (shared, workspace) = (self.shared.clone(), workspace.clone());
        owned(async move {
            let mut transaction = shared.begin(workspace.as_str()).await?;
            let note = sqlx::query(NOTE).bind(workspace.as_str()).bind(id(payload.bits())).bind(shared.now());
            note.execute(&mut *transaction).await?;
            Ok(transaction.commit().await?)
        })
        .await
    }

    async fn sweep_payloads(
        &self,
        workspace: &WorkspaceId,
        sweep: PayloadSweep,
        limit: usize,
    ) -> Result<Vec<PayloadId>, StoreError> {
        let (shared, workspace) = (self.shared.clone(), workspace.clone());
        owned(async move { remove(&shared, &workspace, sweep, limit).await }).await
    }
}

fn read(row: &PgRow) -> Result<PayloadRecord, Unreadable> {
    let seal = value::<Option<&[u8]>>(row, "seal")?.map(PayloadSeal::from_bytes).transpose();
    Ok(PayloadRecord {
        payload: NewPayload {
            id: PayloadId::from_bits(bits(row, "id")?),
            size: number(row, "size")?,
            sha256: hash(row, "sha256")?,
            content_type: text(row, "content_type")?,
            seal: seal.map_err(|_| Unreadable { column: "seal" })?,
        },
        created_at: time(row, "created_at")?,
        lost_at: time_opt(row, "lost_at")?,
    })
}

async fn remove(
    shared: &Shared,
    workspace: &WorkspaceId,
    sweep: PayloadSweep,
    limit: usize,
) -> Result<Vec<PayloadId>, Failure> {
    // The range of texts that begin with the prefix.
    const EXECUTIONS: &str = "DELETE FROM payload_names n USING (SELECT owner, payload FROM payload_names \
          WHERE workspace = $1 AND owner >= $2 || '_' AND owner < $2 || '`' AND since < $3 LIMIT $4) old \
        WHERE n.workspace = $1 AND n.owner = old.owner AND n.payload = old.payload";
    const OLD: &str = "SELECT p.id FROM payloads p WHERE p.workspace = $1 AND p.created_at < $2 \
        AND NOT EXISTS (SELECT FROM payload_names n WHERE n.workspace = p.workspace AND n.payload = p.id) \
        ORDER BY p.created_at LIMIT $3 FOR UPDATE SKIP LOCKED";
    // Looks again, now that nobody can name them any more.
    const NOBODYS: &str = "DELETE FROM payloads p WHERE p.workspace = $1 AND p.id = ANY ($2) \
        AND NOT EXISTS (SELECT FROM payload_names n WHERE n.workspace = p.workspace AND n.payload = p.id) RETURNING p.id";
    let name = workspace.as_str();
    let mut transaction = shared.begin(name).await?;
    sqlx::query(EXECUTIONS)
        .bind(name)
        .bind(ExecutionId::PREFIX)
        .bind(sweep.executions_before.unix_ms())
        .bind(int(limit))
        .execute(&mut *transaction)
        .await?;
    let old: Vec<Uuid> = sqlx::query_scalar(OLD)
        .bind(name)
        .bind(sweep.unnamed_before.unix_ms())
        .bind(int(limit))
        .fetch_all(&mut *transaction)
        .await?;
    let gone: Vec<Uuid> = sqlx::query_scalar(NOBODYS).bind(name).bind(old).fetch_all(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(gone.into_iter().map(|id| PayloadId::from_bits(id.as_u128())).collect())
}
