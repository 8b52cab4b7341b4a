//! A change: all of it or nothing.

use orchestrator_core::store::{CommitError, Committed, ControlChange, Expect, Owner, RecordWrite};
use sqlx::Row;

use crate::batch::Batch;
use crate::control::{append_audit, routes};
use crate::op::{Failure, Op};
use crate::rows::{int, number};

pub(crate) struct Commit(pub(crate) ControlChange);

impl Op for Commit {
    type Answer = Result<Committed, CommitError>;

    fn weight(&self) -> usize {
        self.0.writes.iter().map(|write| write.body.as_ref().map_or(0, bytes::Bytes::len)).sum()
    }

    async fn apply(&self, batch: &mut Batch<'_>) -> Result<Self::Answer, Failure> {
        // A change can meet its conflict after it has written something.
        let part = batch.begin_part().await?;
        match self.change(batch).await? {
            Ok(committed) => {
                batch.keep(part).await?;
                batch.control();
                Ok(Ok(committed))
            }
            Err(conflict) => {
                batch.undo(part).await?;
                Ok(Err(conflict))
            }
        }
    }
}

impl Commit {
    async fn change(&self, batch: &mut Batch<'_>) -> Result<Result<Committed, CommitError>, Failure> {
        let change = &self.0;
        let mut versions = Vec::with_capacity(change.writes.len());
        for (index, write) in change.writes.iter().enumerate() {
            match apply_write(batch, &change.owner, write).await? {
                Ok(version) => versions.push(version),
                Err(current) => return Ok(Err(CommitError::Conflict { write: index, current })),
            }
        }
        let epoch = next_epoch(batch).await?;
        mark(batch, change.owner.as_str(), epoch).await?;
        if let (Some(wanted), Owner::Workspace(workspace)) = (&change.routes, &change.owner) {
            match routes::replace(batch, workspace, wanted, change.take_routes).await? {
                Ok(losers) => {
                    for loser in losers {
                        mark(batch, &loser, epoch).await?;
                    }
                }
                Err(refused) => return Ok(Err(refused)),
            }
        }
        for audit in &change.audit {
            append_audit(batch, &change.owner, audit.clone()).await?;
        }
        if let Owner::Workspace(workspace) = &change.owner {
            batch.events(workspace, &change.events);
        }
        Ok(Ok(Committed { versions, epoch }))
    }
}

/// The record's new version, or the one that is there against the expectation.
async fn apply_write(
    batch: &mut Batch<'_>,
    owner: &Owner,
    write: &RecordWrite,
) -> Result<Result<u64, Option<u64>>, Failure> {
    const CURRENT: &str = "SELECT version FROM records WHERE owner = ?1 AND kind = ?2 AND key = ?3";
    const PUT: &str = "INSERT INTO records (owner, kind, key, version, updated_at, body) \
        VALUES (?1, ?2, ?3, ?4, ?5, ?6) \
        ON CONFLICT (owner, kind, key) DO UPDATE \
        SET version = excluded.version, updated_at = excluded.updated_at, body = excluded.body";
    const DELETE: &str = "DELETE FROM records WHERE owner = ?1 AND kind = ?2 AND key = ?3";
    let (owner, kind, key) = (owner.as_str(), write.kind.as_str(), write.key.as_str());
    let row = sqlx::query(CURRENT).bind(owner).bind(kind).bind(key).fetch_optional(&mut *batch.conn).await?;
    let current: Option<u64> = row.map(|row| number(&row, "version")).transpose()?;
    let holds = match write.expect {
        Expect::Any => true,
        Expect::Absent => current.is_none(),
        Expect::Version(wanted) => current == Some(wanted),
    };
    if !holds {
        return Ok(Err(current));
    }
    let Some(body) = &write.body else {
        sqlx::query(DELETE).bind(owner).bind(kind).bind(key).execute(&mut *batch.conn).await?;
        return Ok(Ok(0));
    };
    let version = current.unwrap_or(0) + 1;
    sqlx::query(PUT)
        .bind(owner)
        .bind(kind)
        .bind(key)
        .bind(int(version))
        .bind(batch.now.unix_ms())
        .bind(body.to_vec())
        .execute(&mut *batch.conn)
        .await?;
    Ok(Ok(version))
}

async fn next_epoch(batch: &mut Batch<'_>) -> Result<u64, Failure> {
    const NEXT: &str = "UPDATE install SET epoch = epoch + 1 RETURNING epoch";
    let row = sqlx::query(NEXT).fetch_one(&mut *batch.conn).await?;
    let epoch: i64 = row.try_get("epoch")?;
    Ok(u64::try_from(epoch).unwrap_or_default())
}

async fn mark(batch: &mut Batch<'_>, owner: &str, epoch: u64) -> Result<(), Failure> {
    const MARK: &str = "INSERT INTO owners (owner, epoch) VALUES (?1, ?2) \
        ON CONFLICT (owner) DO UPDATE SET epoch = excluded.epoch";
    sqlx::query(MARK).bind(owner).bind(int(epoch)).execute(&mut *batch.conn).await?;
    Ok(())
}
