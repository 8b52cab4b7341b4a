//! Reading control records.

use orchestrator_core::store::{Owner, Record, RecordKind};
use orchestrator_core::types::WorkspaceId;
use sqlx::postgres::PgRow;

use crate::failure::Failure;
use crate::rows::{Unreadable, int, number, readable, text, time, value};
use crate::session::{owner as name, parse_owner};
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

pub(super) async fn record(
    shared: &Shared,
    owner: &Owner,
    kind: RecordKind,
    key: &str,
) -> Result<Option<Record>, Failure> {
    const ONE: &str =
        "SELECT key, version, body, updated_at FROM records WHERE workspace = $1 AND kind = $2 AND key = $3";
    let mut transaction = shared.begin(name(owner)).await?;
    let one = sqlx::query(ONE).bind(name(owner)).bind(kind.as_str()).bind(stored(key).as_ref());
    let row = one.fetch_optional(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(row.as_ref().map(read_record).transpose()?)
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
