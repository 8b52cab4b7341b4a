//! The audit chains. Each column is as it was hashed: nothing is rewritten on its way in or out.

use orchestrator_core::audit::chain;
use orchestrator_core::store::{NewAudit, Owner, StoreError};
use orchestrator_core::types::{AuditId, AuditRecord};
use serde_json::Value;
use sqlx::sqlite::SqliteRow;

use crate::SqliteStore;
use crate::batch::Batch;
use crate::op::Failure;
use crate::rows::{Unreadable, bits, document_opt, id_bytes, int, number, time, value};

/// Appends a record to the owner's chain.
pub(crate) async fn append(batch: &mut Batch<'_>, owner: &Owner, new: NewAudit) -> Result<(), Failure> {
    const HEAD: &str = "SELECT number, hash FROM audit WHERE owner = ?1 ORDER BY number DESC LIMIT 1";
    const INSERT: &str = "INSERT INTO audit (owner, number, id, time, actor, via, action, target, reason, before, \
        after, trace, previous_hash, hash) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)";
    let head = match sqlx::query(HEAD).bind(owner.as_str()).fetch_optional(&mut *batch.conn).await? {
        Some(row) => Some((number::<u64>(&row, "number")?, value::<String>(&row, "hash")?)),
        None => None,
    };
    let previous = head.as_ref().map(|(number, hash)| (*number, hash.as_str()));
    let record = chain(owner, previous, new, batch.now);
    sqlx::query(INSERT)
        .bind(owner.as_str())
        .bind(int(record.number))
        .bind(id_bytes(record.id.bits()))
        .bind(record.time.unix_ms())
        .bind(record.actor)
        .bind(record.via)
        .bind(record.action)
        .bind(record.target)
        .bind(record.reason)
        .bind(record.before.as_ref().map(Value::to_string))
        .bind(record.after.as_ref().map(Value::to_string))
        .bind(record.trace_id)
        .bind(record.previous_hash)
        .bind(record.hash)
        .execute(&mut *batch.conn)
        .await?;
    Ok(())
}

/// A page of the owner's chain.
pub(super) async fn read(
    store: &SqliteStore,
    owner: &Owner,
    after: u64,
    limit: usize,
) -> Result<Vec<AuditRecord>, StoreError> {
    const PAGE: &str = "SELECT * FROM audit WHERE owner = ?1 AND number > ?2 ORDER BY number LIMIT ?3";
    let query = sqlx::query(PAGE).bind(owner.as_str()).bind(int(after)).bind(int(limit));
    let rows = store.read(query.fetch_all(store.readers())).await?;
    // A record that cannot be read is damage to a chain that promises to be whole: it is not left out.
    rows.iter().map(|row| record(owner, row).map_err(StoreError::from)).collect()
}

fn record(owner: &Owner, row: &SqliteRow) -> Result<AuditRecord, Unreadable> {
    Ok(AuditRecord {
        id: AuditId::from_bits(bits(row, "id")?),
        number: number(row, "number")?,
        workspace: owner.workspace().cloned(),
        actor: value(row, "actor")?,
        via: value(row, "via")?,
        action: value(row, "action")?,
        target: value(row, "target")?,
        reason: value(row, "reason")?,
        before: document_opt(row, "before")?,
        after: document_opt(row, "after")?,
        time: time(row, "time")?,
        trace_id: value(row, "trace")?,
        previous_hash: value(row, "previous_hash")?,
        hash: value(row, "hash")?,
    })
}
