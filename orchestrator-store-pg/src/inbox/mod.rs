//! The webhook inbox. What deduplicates is narrow and lives long; bodies lie apart and go early.

pub(crate) mod ingest;

use async_trait::async_trait;
use bytes::Bytes;
use orchestrator_core::store::{
    Enqueue, InboxRecord, InboxStore, Ingested, NewInbox, PayloadLinks, StoreError, delivering,
};
use orchestrator_core::types::{InboxId, JobId, PayloadId, WorkspaceId};
use sqlx::postgres::PgRow;

use crate::PgStore;
use crate::failure::Failure;
use crate::jobs::enqueue::accept_whole;
use crate::notices::Told;
use crate::rows::{
    Unreadable, below, bits, bits_opt, document_opt, hash, id, int, number, parsed, readable, text, text_opt, time,
    trace, value,
};
use crate::session::owned;
use crate::shared::Shared;

#[async_trait]
impl InboxStore for PgStore {
    async fn ingest(&self, workspace: &WorkspaceId, entry: NewInbox) -> Result<Ingested, StoreError> {
        if entry.payloads.is_empty() && entry.jobs.iter().all(|job| job.payloads.is_empty()) {
            return self.lanes.ingest.submit((workspace.clone(), entry)).await;
        }
        let (shared, workspace) = (self.shared.clone(), workspace.clone());
        owned(async move { ingest::ingest_whole(&shared, workspace, entry).await }).await
    }

    async fn inbox_entry(&self, workspace: &WorkspaceId, entry: InboxId) -> Result<Option<InboxRecord>, StoreError> {
        const ONE: &str = "SELECT i.*, b.headers, b.body, b.payload, b.id IS NOT NULL AS body_kept \
            FROM inbox i LEFT JOIN inbox_bodies b USING (workspace, id) WHERE i.workspace = $1 AND i.id = $2";
        let (shared, workspace) = (self.shared.clone(), workspace.clone());
        owned(async move {
            let mut transaction = shared.begin(workspace.as_str()).await?;
            let one = sqlx::query(ONE).bind(workspace.as_str()).bind(id(entry.bits()));
            let row = one.fetch_optional(&mut *transaction).await?;
            transaction.commit().await?;
            Ok(row.as_ref().map(read_entry).transpose()?)
        })
        .await
    }

    async fn inbox(
        &self,
        workspace: &WorkspaceId,
        before: Option<InboxId>,
        limit: usize,
    ) -> Result<Vec<InboxRecord>, StoreError> {
        const PAGE: &str = "SELECT i.*, NULL::text AS headers, NULL::bytea AS body, NULL::uuid AS payload, \
              EXISTS (SELECT FROM inbox_bodies b WHERE b.workspace = i.workspace AND b.id = i.id) AS body_kept \
            FROM inbox i WHERE i.workspace = $1 AND i.id < $2 ORDER BY i.id DESC LIMIT $3";
        let (shared, workspace) = (self.shared.clone(), workspace.clone());
        owned(async move {
            let before = below(before.map(InboxId::bits));
            let mut transaction = shared.begin(workspace.as_str()).await?;
            let page = sqlx::query(PAGE).bind(workspace.as_str()).bind(before).bind(int(limit));
            let rows = page.fetch_all(&mut *transaction).await?;
            transaction.commit().await?;
            Ok(readable(&rows, read_entry))
        })
        .await
    }

    async fn redeliver(&self, workspace: &WorkspaceId, entry: InboxId, enqueue: Enqueue) -> Result<bool, StoreError> {
        let (shared, workspace) = (self.shared.clone(), workspace.clone());
        owned(async move { redeliver(&shared, &workspace, entry, &enqueue).await }).await
    }
}

fn read_entry(row: &PgRow) -> Result<InboxRecord, Unreadable> {
    let entry = NewInbox {
        id: InboxId::from_bits(bits(row, "id")?),
        provider: parsed(row, "provider")?,
        route: parsed(row, "route")?,
        account: text_opt(row, "account")?,
        event_id: text(row, "event_id")?,
        event_type: text_opt(row, "event_type")?,
        headers: document_opt(row, "headers")?.unwrap_or_default(),
        body: value::<Option<Vec<u8>>>(row, "body")?.map(Bytes::from).unwrap_or_default(),
        body_payload: bits_opt(row, "payload")?.map(PayloadId::from_bits),
        body_hash: hash(row, "body_hash")?,
        received_at: time(row, "received_at")?,
        trace_id: trace(row, "trace")?,
        events: Vec::new(),
        jobs: Vec::new(),
        payloads: PayloadLinks::default(),
    };
    Ok(InboxRecord {
        entry,
        body_kept: value(row, "body_kept")?,
        duplicates: number(row, "duplicates")?,
        job: bits_opt(row, "job")?.map(JobId::from_bits),
        given_up: value(row, "given_up")?,
    })
}

async fn redeliver(
    shared: &Shared,
    workspace: &WorkspaceId,
    entry: InboxId,
    enqueue: &Enqueue,
) -> Result<bool, Failure> {
    const KNOWN: &str = "SELECT 1 FROM inbox WHERE workspace = $1 AND id = $2 FOR UPDATE";
    const NOTE: &str = "UPDATE inbox SET job = $3, given_up = false WHERE workspace = $1 AND id = $2";
    let mut told = Told::default();
    let mut transaction = shared.begin(workspace.as_str()).await?;
    let known = sqlx::query(KNOWN).bind(workspace.as_str()).bind(id(entry.bits()));
    if known.fetch_optional(&mut *transaction).await?.is_none() {
        transaction.rollback().await?;
        return Ok(false);
    }
    let (_, fresh) = accept_whole(shared, &mut transaction, workspace, enqueue, &mut told).await?;
    if let Some(job) = delivering(&enqueue.jobs).filter(|_| fresh) {
        let note = sqlx::query(NOTE).bind(workspace.as_str()).bind(id(entry.bits())).bind(id(job.bits()));
        note.execute(&mut *transaction).await?;
    }
    transaction.commit().await?;
    shared.tell(&told);
    Ok(true)
}
