//! Reading control records and audit.

use orchestrator_core::store::{Owner, Record, RecordKind, StoreError};
use orchestrator_core::types::WorkspaceId;
use sqlx::sqlite::SqliteRow;

use crate::SqliteStore;
use crate::rows::{Unreadable, first_after, int, number, parsed, readable, time, value};

fn read_record(row: &SqliteRow) -> Result<Record, Unreadable> {
    Ok(Record {
        key: value(row, "key")?,
        version: number(row, "version")?,
        body: value::<Vec<u8>>(row, "body")?.into(),
        updated_at: time(row, "updated_at")?,
    })
}

pub(super) async fn record(
    store: &SqliteStore,
    owner: &Owner,
    kind: RecordKind,
    key: &str,
) -> Result<Option<Record>, StoreError> {
    const ONE: &str = "SELECT key, version, body, updated_at FROM records WHERE owner = ?1 AND kind = ?2 AND key = ?3";
    let query = sqlx::query(ONE).bind(owner.as_str()).bind(kind.as_str()).bind(key);
    let row = store.read(query.fetch_optional(store.readers())).await?;
    Ok(row.as_ref().map(read_record).transpose()?)
}

pub(super) async fn records(
    store: &SqliteStore,
    owner: &Owner,
    kind: RecordKind,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<Record>, StoreError> {
    const PAGE: &str = "SELECT key, version, body, updated_at FROM records \
        WHERE owner = ?1 AND kind = ?2 AND key >= ?3 ORDER BY key LIMIT ?4";
    let query = sqlx::query(PAGE).bind(owner.as_str()).bind(kind.as_str()).bind(first_after(after)).bind(int(limit));
    let rows = store.read(query.fetch_all(store.readers())).await?;
    Ok(readable(&rows, read_record))
}

pub(super) async fn workspaces(
    store: &SqliteStore,
    after: Option<&WorkspaceId>,
    limit: usize,
) -> Result<Vec<WorkspaceId>, StoreError> {
    const PAGE: &str = "SELECT DISTINCT owner FROM records \
        WHERE kind = 'workspace' AND owner >= ?1 ORDER BY owner LIMIT ?2";
    let after = after.map(WorkspaceId::as_str);
    let query = sqlx::query(PAGE).bind(first_after(after)).bind(int(limit));
    let rows = store.read(query.fetch_all(store.readers())).await?;
    Ok(readable(&rows, |row| parsed(row, "owner")))
}

pub(super) async fn changed_since(store: &SqliteStore, epoch: u64) -> Result<(u64, Vec<Owner>), StoreError> {
    // One statement is one snapshot: an epoch without its owners would hide a change for good.
    const CHANGED: &str = "SELECT install.epoch, owners.owner FROM install \
        LEFT JOIN owners ON owners.epoch > ?1 ORDER BY owners.owner";
    let query = sqlx::query(CHANGED).bind(int(epoch));
    let rows = store.read(query.fetch_all(store.readers())).await?;
    let now = rows.first().map_or(Ok(0), |row| number(row, "epoch"))?;
    let owners = readable(&rows, |row| match value::<Option<&str>>(row, "owner")? {
        None => Ok(None),
        Some("") => Ok(Some(Owner::Install)),
        Some(_) => parsed(row, "owner").map(Owner::Workspace).map(Some),
    });
    Ok((now, owners.into_iter().flatten().collect()))
}
