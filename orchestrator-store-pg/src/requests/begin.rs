//! A call under an idempotency key begins, or is found to have begun.

use std::time::Duration;

use bytes::Bytes;
use orchestrator_core::store::{Begin, Begun};
use orchestrator_core::types::{ExecutionId, WorkspaceId};
use sqlx::PgConnection;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use crate::committer::{Write, about};
use crate::failure::Failure;
use crate::notices::Told;
use crate::rows::{Unreadable, bits, id, int, value};
use crate::session::context;
use crate::shared::Shared;

/// How long a call that began and was never heard of again is remembered.
const REMEMBERED: Duration = Duration::from_secs(24 * 60 * 60);

/// A call that begins, with those of others.
pub(crate) struct Begins;

impl Write for Begins {
    type Item = (WorkspaceId, Begin);
    type Answer = Begun;

    fn weight(_: &Self::Item) -> usize {
        256
    }

    fn keys((workspace, begin): &Self::Item, keys: &mut Vec<u64>) {
        keys.push(about((workspace, begin.key.as_str())));
    }

    async fn write(
        shared: &Shared,
        conn: &mut PgConnection,
        items: &[&Self::Item],
        _: &mut Told,
    ) -> Result<Vec<Begun>, Failure> {
        const BEGIN: &str = "SELECT op, outcome, execution, answer FROM begin_calls(\
            set_config('orchestrator.workspaces', $1, true), $2, $3, $4, $5, $6, $7, $8, $9)";
        let rows = sqlx::query(BEGIN)
            .bind(context(items.iter().map(|(workspace, _)| workspace)))
            .bind(shared.now())
            .bind(int(REMEMBERED.as_millis()))
            .bind(items.iter().map(|(workspace, _)| workspace.as_str()).collect::<Vec<_>>())
            .bind(items.iter().map(|(_, begin)| begin.key.as_str()).collect::<Vec<_>>())
            .bind(items.iter().map(|(_, begin)| begin.request_hash.as_slice()).collect::<Vec<_>>())
            .bind(items.iter().map(|(_, begin)| id(begin.execution.bits())).collect::<Vec<Uuid>>())
            .bind(items.iter().map(|(_, begin)| begin.valid_until.unix_ms()).collect::<Vec<_>>())
            .bind(items.iter().map(|(_, begin)| begin.take_over).collect::<Vec<_>>())
            .fetch_all(conn)
            .await?;
        let mut answers: Vec<Option<Begun>> = items.iter().map(|_| None).collect();
        for row in &rows {
            let index = usize::try_from(value::<i32>(row, "op")? - 1).map_err(|_| Unreadable { column: "op" })?;
            if let Some(slot) = answers.get_mut(index) {
                *slot = Some(read(row)?);
            }
        }
        // A key that was swept away in between: the caller asks again.
        let lost = || Failure::Sql(sqlx::Error::RowNotFound);
        answers.into_iter().map(|answer| answer.ok_or_else(lost)).collect()
    }
}

fn read(row: &PgRow) -> Result<Begun, Unreadable> {
    let execution = || bits(row, "execution").map(ExecutionId::from_bits);
    Ok(match value::<&str>(row, "outcome")? {
        "fresh" => Begun::Fresh,
        "mismatch" => Begun::Mismatch,
        "done" => Begun::Done(Bytes::from(value::<Vec<u8>>(row, "answer")?)),
        "running" => Begun::Running(execution()?),
        _ => Begun::Unknown(execution()?),
    })
}
