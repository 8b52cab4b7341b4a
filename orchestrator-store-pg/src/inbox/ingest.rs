//! Taking webhooks in: deduplication, entry, events and jobs in one transaction.

use orchestrator_core::store::{Ingested, NewInbox, delivering};
use orchestrator_core::types::{InboxId, WorkspaceId};
use sqlx::PgConnection;
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::types::PgRecordEncoder;
use sqlx::postgres::{PgArgumentBuffer, PgHasArrayType, PgTypeInfo};
use sqlx::{Encode, Postgres, Type};

use crate::arrays::{EventRow, JobRow, op};
use crate::committer::{Write, about};
use crate::failure::Failure;
use crate::jobs::enqueue::{distinct, jobs_weight};
use crate::notices::Told;
use crate::payloads::links;
use crate::rows::{Unreadable, bits, id, number, to_json, value};
use crate::session::context;
use crate::shared::Shared;
use crate::text::stored;

/// An entry to be, as the database's type `new_entry`.
struct EntryRow<'a> {
    op: i32,
    workspace: &'a WorkspaceId,
    entry: &'a NewInbox,
    headers: String,
}

impl Type<Postgres> for EntryRow<'_> {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_name("new_entry")
    }
}

impl PgHasArrayType for EntryRow<'_> {
    fn array_type_info() -> PgTypeInfo {
        PgTypeInfo::array_of("new_entry")
    }
}

impl Encode<'_, Postgres> for EntryRow<'_> {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        let entry = self.entry;
        let mut record = PgRecordEncoder::new(buffer);
        record
            .encode(self.op)?
            .encode(self.workspace.as_str())?
            .encode(id(entry.id.bits()))?
            .encode(entry.provider.as_str())?
            .encode(stored(&entry.sender()).as_ref())?
            .encode(stored(&entry.event_id).as_ref())?
            .encode(entry.route.as_str())?
            .encode(entry.account.as_deref().map(stored).as_deref())?
            .encode(entry.event_type.as_deref().map(stored).as_deref())?
            .encode(entry.body_hash.as_slice())?
            .encode(entry.received_at.unix_ms())?
            .encode(id(entry.trace_id.bits()))?
            .encode(delivering(&entry.jobs).map(|job| id(job.bits())))?
            .encode(self.headers.as_str())?
            .encode(entry.body.as_ref())?
            .encode(entry.body_payload.map(|payload| id(payload.bits())))?;
        record.finish();
        Ok(IsNull::No)
    }
}

/// A webhook to take in, with those of others.
pub(crate) struct Ingest;

impl Write for Ingest {
    type Item = (WorkspaceId, NewInbox);
    type Answer = Ingested;

    fn weight((_, entry): &Self::Item) -> usize {
        entry.body.len() + jobs_weight(&entry.jobs)
    }

    fn keys((workspace, entry): &Self::Item, keys: &mut Vec<u64>) {
        keys.push(about((workspace, entry.provider.as_str(), entry.sender(), &entry.event_id)));
        keys.push(about((workspace, entry.id)));
        keys.extend(entry.jobs.iter().map(|job| about((workspace, job.id))));
    }

    async fn write(
        shared: &Shared,
        conn: &mut PgConnection,
        items: &[&Self::Item],
        told: &mut Told,
    ) -> Result<Vec<Ingested>, Failure> {
        write(shared, conn, items, told).await
    }
}

async fn write(
    shared: &Shared,
    conn: &mut PgConnection,
    items: &[&(WorkspaceId, NewInbox)],
    told: &mut Told,
) -> Result<Vec<Ingested>, Failure> {
    const INGEST: &str = "SELECT op, fresh, id, conflict, duplicates, workspace, lane, priority, run_at, lost FROM ingest(\
        set_config('orchestrator.workspaces', $1, true), $2, $3, $4, $5)";
    let mut entries = Vec::with_capacity(items.len());
    let (mut jobs, mut events) = (Vec::with_capacity(items.len()), Vec::with_capacity(items.len() * 2));
    for (index, (workspace, entry)) in items.iter().enumerate() {
        let op = op(index);
        entries.push(EntryRow { op, workspace, entry, headers: to_json(&entry.headers)? });
        for event in &entry.events {
            events.push(EventRow::new(op, workspace, event)?);
        }
        for job in distinct(&entry.jobs) {
            jobs.push(JobRow::new(op, workspace, job)?);
            events.extend(EventRow::queued(op, workspace, job)?);
        }
    }
    let rows = sqlx::query(INGEST)
        .bind(context(items.iter().map(|(workspace, _)| workspace)))
        .bind(shared.now())
        .bind(entries)
        .bind(jobs)
        .bind(events)
        .fetch_all(conn)
        .await?;
    let mut answers: Vec<Option<Ingested>> = items.iter().map(|_| None).collect();
    for row in &rows {
        let Some(op) = value::<Option<i32>>(row, "op")? else {
            told.hint(row, "id")?;
            continue;
        };
        let index = usize::try_from(op - 1).map_err(|_| Unreadable { column: "op" })?;
        let Some((slot, (workspace, _))) = answers.get_mut(index).zip(items.get(index)) else { continue };
        *slot = Some(if value::<bool>(row, "fresh")? {
            told.touched(workspace);
            Ingested::New
        } else {
            Ingested::Duplicate {
                id: InboxId::from_bits(bits(row, "id")?),
                conflict: value(row, "conflict")?,
                count: number(row, "duplicates")?,
            }
        });
    }
    // A tombstone that was swept away in between: the sender tries again.
    let lost = || Failure::Sql(sqlx::Error::RowNotFound);
    answers.into_iter().map(|answer| answer.ok_or_else(lost)).collect()
}

/// Takes a webhook in by a transaction of its own, with its payloads.
pub(super) async fn ingest_whole(
    shared: &Shared,
    workspace: WorkspaceId,
    entry: NewInbox,
) -> Result<Ingested, Failure> {
    let mut told = Told::default();
    let mut transaction = shared.begin(workspace.as_str()).await?;
    let item = (workspace, entry);
    let ingested = write(shared, &mut transaction, &[&item], &mut told).await?.pop();
    let (workspace, entry) = &item;
    let ingested = ingested.ok_or_else(|| Failure::Refused("it was not taken in".to_owned()))?;
    if ingested == Ingested::New {
        links::link(shared, &mut transaction, workspace, &entry.id.to_string(), &entry.payloads).await?;
        for job in &entry.jobs {
            links::link(shared, &mut transaction, workspace, &job.id.to_string(), &job.payloads).await?;
        }
    }
    transaction.commit().await?;
    shared.tell(&told);
    Ok(ingested)
}
