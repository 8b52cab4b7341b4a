//! The audit chains. Each column is as it was hashed: what is rewritten on its way in is restored on its way out.

use orchestrator_core::audit::chain;
use orchestrator_core::store::{NewAudit, Owner};
use orchestrator_core::types::{AuditId, AuditRecord};
use serde_json::Value;
use sqlx::PgConnection;
use sqlx::postgres::PgRow;

use crate::failure::Failure;
use crate::rows::{Unreadable, bits, document_opt, id, int, number, text, text_opt, time, value};
use crate::session::owner as name;
use crate::shared::Shared;
use crate::text::stored;

/// Holds the chain until the commit. To be done before anything that takes numbers of events.
pub(crate) async fn lock(conn: &mut PgConnection, owner: &Owner) -> Result<(), Failure> {
    const HEAD: &str = "INSERT INTO audit_heads AS h (workspace, number, hash) VALUES ($1, 0, '') \
        ON CONFLICT (workspace) DO UPDATE SET number = h.number";
    sqlx::query(HEAD).bind(name(owner)).execute(conn).await?;
    Ok(())
}

/// Appends a record to a chain that is held.
pub(crate) async fn append(
    shared: &Shared,
    conn: &mut PgConnection,
    owner: &Owner,
    new: NewAudit,
) -> Result<(), Failure> {
    const HEAD: &str = "SELECT number, hash, now_ms($2) AS now FROM audit_heads WHERE workspace = $1";
    const MOVE: &str = "UPDATE audit_heads SET number = $2, hash = $3 WHERE workspace = $1";
    const INSERT: &str = "INSERT INTO audit (workspace, number, id, time, actor, via, action, target, reason, before, \
        after, trace, previous_hash, hash) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)";
    let head = sqlx::query(HEAD).bind(name(owner)).bind(shared.now()).fetch_one(&mut *conn).await?;
    let (last, hash) = (number::<u64>(&head, "number")?, value::<String>(&head, "hash")?);
    let previous = (last > 0).then_some((last, hash.as_str()));
    let record = chain(owner, previous, new, time(&head, "now")?);
    let moved = sqlx::query(MOVE).bind(name(owner)).bind(int(record.number)).bind(&record.hash);
    moved.execute(&mut *conn).await?;
    sqlx::query(INSERT)
        .bind(name(owner))
        .bind(int(record.number))
        .bind(id(record.id.bits()))
        .bind(record.time.unix_ms())
        .bind(stored(&record.actor).as_ref())
        .bind(record.via.as_deref().map(stored).as_deref())
        .bind(stored(&record.action).as_ref())
        .bind(stored(&record.target).as_ref())
        .bind(record.reason.as_deref().map(stored).as_deref())
        .bind(record.before.as_ref().map(Value::to_string))
        .bind(record.after.as_ref().map(Value::to_string))
        .bind(&record.trace_id)
        .bind(&record.previous_hash)
        .bind(&record.hash)
        .execute(conn)
        .await?;
    Ok(())
}

/// A page of the owner's chain.
pub(super) async fn read(
    shared: &Shared,
    owner: &Owner,
    after: u64,
    limit: usize,
) -> Result<Vec<AuditRecord>, Failure> {
    const PAGE: &str = "SELECT * FROM audit WHERE workspace = $1 AND number > $2 ORDER BY number LIMIT $3";
    let mut transaction = shared.begin(name(owner)).await?;
    let page = sqlx::query(PAGE).bind(name(owner)).bind(int(after)).bind(int(limit));
    let rows = page.fetch_all(&mut *transaction).await?;
    transaction.commit().await?;
    // A record that cannot be read is damage to a chain that promises to be whole: it is not left out.
    rows.iter().map(|row| Ok(record(owner, row)?)).collect()
}

fn record(owner: &Owner, row: &PgRow) -> Result<AuditRecord, Unreadable> {
    Ok(AuditRecord {
        id: AuditId::from_bits(bits(row, "id")?),
        number: number(row, "number")?,
        workspace: owner.workspace().cloned(),
        actor: text(row, "actor")?,
        via: text_opt(row, "via")?,
        action: text(row, "action")?,
        target: text(row, "target")?,
        reason: text_opt(row, "reason")?,
        before: document_opt(row, "before")?,
        after: document_opt(row, "after")?,
        time: time(row, "time")?,
        trace_id: value(row, "trace")?,
        previous_hash: value(row, "previous_hash")?,
        hash: value(row, "hash")?,
    })
}
