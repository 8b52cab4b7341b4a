//! The webhook inbox. What deduplicates is narrow and lives long; bodies lie apart and go early.

use async_trait::async_trait;
use bytes::Bytes;
use orchestrator_core::store::{
    Enqueue, InboxRecord, InboxStore, Ingested, NewInbox, PayloadLinks, StoreError, delivering,
};
use orchestrator_core::types::{InboxId, JobId, PayloadId, WorkspaceId};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::SqliteStore;
use crate::batch::Batch;
use crate::jobs::enqueue;
use crate::op::{Failure, Op};
use crate::payloads;
use crate::rows::{
    Unreadable, below, bits, bits_opt, document_opt, hash, id_bytes, int, number, parsed, readable, time, to_json,
    trace, value,
};

#[async_trait]
impl InboxStore for SqliteStore {
    async fn ingest(&self, workspace: &WorkspaceId, entry: NewInbox) -> Result<Ingested, StoreError> {
        self.write(Ingest { workspace: workspace.clone(), entry }).await
    }

    async fn inbox_entry(&self, workspace: &WorkspaceId, id: InboxId) -> Result<Option<InboxRecord>, StoreError> {
        const ONE: &str = "SELECT inbox.*, b.headers, b.body, b.payload FROM inbox LEFT JOIN inbox_bodies b ON b.seq = inbox.seq \
            WHERE workspace = ?1 AND id = ?2";
        let query = sqlx::query(ONE).bind(workspace.as_str()).bind(id_bytes(id.bits()));
        let row = self.read(query.fetch_optional(self.readers())).await?;
        Ok(row.as_ref().map(read_entry).transpose()?)
    }

    async fn inbox(
        &self,
        workspace: &WorkspaceId,
        before: Option<InboxId>,
        limit: usize,
    ) -> Result<Vec<InboxRecord>, StoreError> {
        const PAGE: &str = "SELECT inbox.*, NULL AS headers, NULL AS body, NULL AS payload FROM inbox \
            WHERE workspace = ?1 AND id < ?2 ORDER BY id DESC LIMIT ?3";
        let before = below(before.map(InboxId::bits));
        let query = sqlx::query(PAGE).bind(workspace.as_str()).bind(before).bind(int(limit));
        let rows = self.read(query.fetch_all(self.readers())).await?;
        Ok(readable(&rows, read_entry))
    }

    async fn redeliver(&self, workspace: &WorkspaceId, id: InboxId, enqueue: Enqueue) -> Result<bool, StoreError> {
        self.write(Redeliver { workspace: workspace.clone(), id, enqueue }).await
    }
}

fn read_entry(row: &SqliteRow) -> Result<InboxRecord, Unreadable> {
    let entry = NewInbox {
        id: InboxId::from_bits(bits(row, "id")?),
        provider: parsed(row, "provider")?,
        route: parsed(row, "route")?,
        account: value(row, "account")?,
        event_id: value(row, "event_id")?,
        event_type: value(row, "event_type")?,
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

struct Ingest {
    workspace: WorkspaceId,
    entry: NewInbox,
}

impl Op for Ingest {
    type Answer = Ingested;

    fn weight(&self) -> usize {
        self.entry.body.len() + enqueue::weight(&self.entry.jobs)
    }

    async fn apply(&self, batch: &mut Batch<'_>) -> Result<Ingested, Failure> {
        const KNOWN: &str = "SELECT seq, id, body_hash, duplicates FROM inbox \
            WHERE workspace = ?1 AND provider = ?2 AND sender = ?3 AND event_id = ?4";
        const COUNT: &str = "UPDATE inbox SET duplicates = duplicates + 1 WHERE seq = ?1";
        let entry = &self.entry;
        let known = sqlx::query(KNOWN)
            .bind(self.workspace.as_str())
            .bind(entry.provider.as_str())
            .bind(entry.sender())
            .bind(&entry.event_id)
            .fetch_optional(&mut *batch.conn)
            .await?;
        let Some(row) = known else {
            self.insert(batch).await?;
            return Ok(Ingested::New);
        };
        let id = InboxId::from_bits(bits(&row, "id")?);
        if id == entry.id {
            // The same call again: its answer was lost.
            return Ok(Ingested::New);
        }
        sqlx::query(COUNT).bind(value::<i64>(&row, "seq")?).execute(&mut *batch.conn).await?;
        let conflict = hash(&row, "body_hash")? != entry.body_hash;
        Ok(Ingested::Duplicate { id, conflict, count: number::<u64>(&row, "duplicates")? + 1 })
    }
}

impl Ingest {
    async fn insert(&self, batch: &mut Batch<'_>) -> Result<(), Failure> {
        const ENTRY: &str = "INSERT INTO inbox (workspace, id, provider, sender, event_id, route, account, event_type, \
            body_hash, body_kept, received_at, trace, job, duplicates) \
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 1, ?10, ?11, ?12, 0) RETURNING seq";
        const BODY: &str = "INSERT INTO inbox_bodies (seq, headers, body, payload) VALUES (?1, ?2, ?3, ?4)";
        let entry = &self.entry;
        let row = sqlx::query(ENTRY)
            .bind(self.workspace.as_str())
            .bind(id_bytes(entry.id.bits()))
            .bind(entry.provider.as_str())
            .bind(entry.sender())
            .bind(&entry.event_id)
            .bind(entry.route.as_str())
            .bind(&entry.account)
            .bind(&entry.event_type)
            .bind(entry.body_hash.to_vec())
            .bind(entry.received_at.unix_ms())
            .bind(id_bytes(entry.trace_id.bits()))
            .bind(delivering(&entry.jobs).map(|job| id_bytes(job.bits())))
            .fetch_one(&mut *batch.conn)
            .await?;
        let seq: i64 = row.try_get("seq")?;
        sqlx::query(BODY)
            .bind(seq)
            .bind(to_json(&entry.headers)?)
            .bind(entry.body.to_vec())
            .bind(entry.body_payload.map(|id| id_bytes(id.bits())))
            .execute(&mut *batch.conn)
            .await?;
        payloads::link(batch, &self.workspace, entry.id, &entry.payloads).await?;
        batch.events(&self.workspace, &entry.events);
        for job in &entry.jobs {
            enqueue::insert(batch, &self.workspace, job).await?;
        }
        Ok(())
    }
}

/// Notes that the job that delivers an entry was purged.
pub(crate) async fn give_up(batch: &mut Batch<'_>, workspace: &WorkspaceId, job: JobId) -> Result<(), Failure> {
    const SUBJECT: &str = "SELECT subject FROM jobs WHERE workspace = ?1 AND id = ?2";
    const NOTE: &str = "UPDATE inbox SET given_up = 1 WHERE workspace = ?1 AND id = ?2 AND job = ?3";
    let (workspace, job) = (workspace.as_str(), id_bytes(job.bits()));
    let found = sqlx::query(SUBJECT).bind(workspace).bind(&job).fetch_optional(&mut *batch.conn).await?;
    let subject = found.map(|row| value::<Option<String>>(&row, "subject")).transpose()?.flatten();
    if let Some(entry) = subject.and_then(|subject| subject.parse::<InboxId>().ok()) {
        let note = sqlx::query(NOTE).bind(workspace).bind(id_bytes(entry.bits())).bind(&job);
        note.execute(&mut *batch.conn).await?;
    }
    Ok(())
}

struct Redeliver {
    workspace: WorkspaceId,
    id: InboxId,
    enqueue: Enqueue,
}

impl Op for Redeliver {
    type Answer = bool;

    fn weight(&self) -> usize {
        enqueue::weight(&self.enqueue.jobs)
    }

    async fn apply(&self, batch: &mut Batch<'_>) -> Result<bool, Failure> {
        const KNOWN: &str = "SELECT seq FROM inbox WHERE workspace = ?1 AND id = ?2";
        const NOTE: &str = "UPDATE inbox SET job = ?2, given_up = 0 WHERE seq = ?1";
        let known = sqlx::query(KNOWN).bind(self.workspace.as_str()).bind(id_bytes(self.id.bits()));
        let Some(row) = known.fetch_optional(&mut *batch.conn).await? else {
            return Ok(false);
        };
        let fresh = enqueue::accept(batch, &self.workspace, &self.enqueue).await?.fresh;
        if let Some(job) = delivering(&self.enqueue.jobs).filter(|_| fresh) {
            let seq: i64 = row.try_get("seq")?;
            sqlx::query(NOTE).bind(seq).bind(id_bytes(job.bits())).execute(&mut *batch.conn).await?;
        }
        Ok(true)
    }
}
