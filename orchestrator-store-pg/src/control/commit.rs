//! A change: all of it or nothing. Changes are made one after the other in the whole install: whoever counts the epoch
//! holds it until the commit, so that no expectation is overtaken and no epoch is seen before a lower one.

use orchestrator_core::store::{CommitError, Committed, ControlChange, Expect, Owner, RecordWrite};
use sqlx::{PgConnection, Postgres, Transaction};

use crate::arrays::{EventRow, op};
use crate::control::audit::{append as append_audit, lock as lock_audit};
use crate::control::routes;
use crate::events::append::append;
use crate::failure::Failure;
use crate::notices::Told;
use crate::rows::int;
use crate::session::owner as name;
use crate::shared::Shared;
use crate::text::stored;

/// How often a change is tried that stands in another's way.
const TRIES: usize = 5;

pub(super) async fn commit(shared: &Shared, change: &ControlChange) -> Result<Result<Committed, CommitError>, Failure> {
    let mut tries = 0;
    loop {
        let mut transaction = shared.begin(name(&change.owner)).await?;
        match apply(shared, &mut transaction, change).await {
            Ok(Ok(committed)) => {
                transaction.commit().await?;
                let mut told = Told::default();
                told.control();
                if let Some(workspace) = change.owner.workspace().filter(|_| !change.events.is_empty()) {
                    told.touched(workspace);
                }
                shared.tell(&told);
                return Ok(Ok(committed));
            }
            Ok(Err(conflict)) => {
                transaction.rollback().await?;
                return Ok(Err(conflict));
            }
            Err(failure) if failure.is_collision() && tries < TRIES => {
                drop(transaction);
                tries += 1;
            }
            Err(failure) => return Err(failure),
        }
    }
}

async fn apply(
    shared: &Shared,
    transaction: &mut Transaction<'static, Postgres>,
    change: &ControlChange,
) -> Result<Result<Committed, CommitError>, Failure> {
    const NEXT: &str = "UPDATE install SET epoch = epoch + 1 RETURNING epoch";
    let epoch: i64 = sqlx::query_scalar(NEXT).fetch_one(&mut **transaction).await?;
    let mut versions = Vec::with_capacity(change.writes.len());
    for (index, write) in change.writes.iter().enumerate() {
        match apply_write(shared, transaction, &change.owner, write).await? {
            Ok(version) => versions.push(version),
            Err(current) => return Ok(Err(CommitError::Conflict { write: index, current })),
        }
    }
    mark(transaction, name(&change.owner), epoch).await?;
    if let (Some(wanted), Owner::Workspace(workspace)) = (&change.routes, &change.owner) {
        match routes::replace(shared, transaction, workspace, wanted, change.take_routes).await? {
            Ok(losers) => {
                for loser in losers {
                    mark(transaction, &loser, epoch).await?;
                }
            }
            Err(refused) => return Ok(Err(refused)),
        }
    }
    if !change.audit.is_empty() {
        lock_audit(transaction, &change.owner).await?;
    }
    for audit in &change.audit {
        append_audit(shared, transaction, &change.owner, audit.clone()).await?;
    }
    if let Owner::Workspace(workspace) = &change.owner {
        let rows = change.events.iter().enumerate();
        let rows = rows.map(|(index, event)| EventRow::new(op(index), workspace, event)).collect::<Result<_, _>>()?;
        append(shared, transaction, rows).await?;
    }
    Ok(Ok(Committed { versions, epoch: u64::try_from(epoch).unwrap_or_default() }))
}

/// The record's new version, or the one that is there against the expectation.
async fn apply_write(
    shared: &Shared,
    conn: &mut PgConnection,
    owner: &Owner,
    write: &RecordWrite,
) -> Result<Result<u64, Option<u64>>, Failure> {
    const CURRENT: &str = "SELECT version FROM records WHERE workspace = $1 AND kind = $2 AND key = $3";
    const PUT: &str = "INSERT INTO records (workspace, kind, key, version, updated_at, body) \
        VALUES ($1, $2, $3, $4, now_ms($5), $6) ON CONFLICT (workspace, kind, key) DO UPDATE \
        SET version = excluded.version, updated_at = excluded.updated_at, body = excluded.body";
    const DELETE: &str = "DELETE FROM records WHERE workspace = $1 AND kind = $2 AND key = $3";
    let (owner, kind, key) = (name(owner), write.kind.as_str(), stored(&write.key));
    let current = sqlx::query_scalar::<_, i64>(CURRENT).bind(owner).bind(kind).bind(key.as_ref());
    let current = current.fetch_optional(&mut *conn).await?.and_then(|version| u64::try_from(version).ok());
    let holds = match write.expect {
        Expect::Any => true,
        Expect::Absent => current.is_none(),
        Expect::Version(wanted) => current == Some(wanted),
    };
    if !holds {
        return Ok(Err(current));
    }
    let Some(body) = &write.body else {
        sqlx::query(DELETE).bind(owner).bind(kind).bind(key.as_ref()).execute(conn).await?;
        return Ok(Ok(0));
    };
    let version = current.unwrap_or(0) + 1;
    sqlx::query(PUT)
        .bind(owner)
        .bind(kind)
        .bind(key.as_ref())
        .bind(int(version))
        .bind(shared.now())
        .bind(body.as_ref())
        .execute(conn)
        .await?;
    Ok(Ok(version))
}

async fn mark(conn: &mut PgConnection, owner: &str, epoch: i64) -> Result<(), Failure> {
    const MARK: &str = "INSERT INTO owners (owner, epoch) VALUES ($1, $2) \
        ON CONFLICT (owner) DO UPDATE SET epoch = excluded.epoch";
    sqlx::query(MARK).bind(owner).bind(epoch).execute(conn).await?;
    Ok(())
}
