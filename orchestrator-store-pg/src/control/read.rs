//! Reading control records.

use orchestrator_core::store::{Owner, Record, RecordKind};
use orchestrator_core::types::WorkspaceId;
use sqlx::PgConnection;
use sqlx::postgres::PgRow;

use crate::committer::Write;
use crate::failure::Failure;
use crate::notices::Told;
use crate::rows::{Unreadable, int, number, place, readable, text, time, value};
use crate::session::{context_of, owner as name, parse_owner};
use crate::shared::Shared;
use crate::text::stored;

fn read_record(row: &PgRow) -> Result<Record, Unreadable> {
    Ok(Record {
        key: text(row, "key")?,
        version: number(row, "version")?,
        body: value::<Vec<u8>>(row, "body")?.into(),
        updated_at: time(row, "updated_at")?,
    })
}

/// A record: many are asked for at once when workspaces that nobody called for a while are called again.
pub(crate) struct OneRecord;

impl Write for OneRecord {
    const WRITES: bool = false;

    type Item = (Owner, RecordKind, String);
    type Answer = Option<Record>;

    fn weight((_, _, key): &Self::Item) -> usize {
        256 + key.len()
    }

    fn keys(_: &Self::Item, _: &mut Vec<u64>) {}

    async fn write(
        _: &Shared,
        conn: &mut PgConnection,
        items: &[&Self::Item],
        _: &mut Told,
    ) -> Result<Vec<Option<Record>>, Failure> {
        const FIND: &str = "SELECT op, key, version, body, updated_at FROM find_records(\
            set_config('orchestrator.workspaces', $1, true), $2, $3, $4)";
        let rows = sqlx::query(FIND)
            .bind(context_of(items.iter().map(|(owner, _, _)| name(owner))))
            .bind(items.iter().map(|(owner, _, _)| name(owner)).collect::<Vec<_>>())
            .bind(items.iter().map(|(_, kind, _)| kind.as_str()).collect::<Vec<_>>())
            .bind(items.iter().map(|(_, _, key)| stored(key)).collect::<Vec<_>>())
            .fetch_all(conn)
            .await?;
        let mut found: Vec<Option<Record>> = items.iter().map(|_| None).collect();
        for row in &rows {
            if let Some(found) = found.get_mut(place(row)?) {
                *found = Some(read_record(row)?);
            }
        }
        Ok(found)
    }
}

pub(super) async fn records(
    shared: &Shared,
    owner: &Owner,
    kind: RecordKind,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<Record>, Failure> {
    const PAGE: &str = "SELECT key, version, body, updated_at FROM records \
        WHERE workspace = $1 AND kind = $2 AND ($3::text IS NULL OR key > $3) ORDER BY key LIMIT $4";
    let mut transaction = shared.begin(name(owner)).await?;
    let page = sqlx::query(PAGE).bind(name(owner)).bind(kind.as_str());
    let page = page.bind(after.map(stored).as_deref()).bind(int(limit));
    let rows = page.fetch_all(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(readable(&rows, read_record))
}

pub(super) async fn workspaces(
    shared: &Shared,
    after: Option<&WorkspaceId>,
    limit: usize,
) -> Result<Vec<WorkspaceId>, Failure> {
    const PAGE: &str = "SELECT * FROM list_workspaces($1, $2)";
    let after = after.map_or("", WorkspaceId::as_str);
    let names: Vec<String> = sqlx::query_scalar(PAGE).bind(after).bind(int(limit)).fetch_all(&shared.pool).await?;
    Ok(names.iter().filter_map(|name| name.parse().ok()).collect())
}

pub(super) async fn changed_since(shared: &Shared, epoch: u64) -> Result<(u64, Vec<Owner>), Failure> {
    // One statement is one snapshot: an epoch without its owners would hide a change for good.
    const CHANGED: &str = "SELECT install.epoch, owners.owner FROM install \
        LEFT JOIN owners ON owners.epoch > $1 ORDER BY owners.owner";
    let rows: Vec<(i64, Option<String>)> = sqlx::query_as(CHANGED).bind(int(epoch)).fetch_all(&shared.pool).await?;
    let now = rows.first().and_then(|(epoch, _)| u64::try_from(*epoch).ok()).unwrap_or_default();
    Ok((now, rows.iter().filter_map(|(_, owner)| parse_owner(owner.as_deref()?)).collect()))
}
