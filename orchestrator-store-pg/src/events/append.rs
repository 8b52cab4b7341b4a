//! The way in: the last thing before a commit.

use orchestrator_core::store::NewEvent;
use orchestrator_core::types::WorkspaceId;
use sqlx::PgConnection;

use crate::arrays::{EventRow, op};
use crate::committer::Write;
use crate::failure::Failure;
use crate::notices::Told;
use crate::session::context;
use crate::shared::Shared;

/// Appends events in a transaction that has named their workspaces: the last thing before its commit.
pub(crate) async fn append(shared: &Shared, conn: &mut PgConnection, events: Vec<EventRow<'_>>) -> Result<(), Failure> {
    const APPEND: &str = "SELECT append_events($1, now_ms($2))";
    if !events.is_empty() {
        sqlx::query(APPEND).bind(events).bind(shared.now()).execute(conn).await?;
    }
    Ok(())
}

/// Events to append, with those of others.
pub(crate) struct Append;

impl Write for Append {
    type Item = (WorkspaceId, Vec<NewEvent>);
    type Answer = ();

    fn weight((_, events): &Self::Item) -> usize {
        events.len() * 512
    }

    fn keys(_: &Self::Item, _: &mut Vec<u64>) {}

    async fn write(
        shared: &Shared,
        conn: &mut PgConnection,
        items: &[&Self::Item],
        told: &mut Told,
    ) -> Result<Vec<()>, Failure> {
        const APPEND: &str =
            "SELECT append_events($2, now_ms($3)) FROM set_config('orchestrator.workspaces', $1, true)";
        let mut rows = Vec::with_capacity(items.len());
        for (index, (workspace, events)) in items.iter().enumerate() {
            told.touched(workspace);
            for event in events {
                rows.push(EventRow::new(op(index), workspace, event)?);
            }
        }
        sqlx::query(APPEND)
            .bind(context(items.iter().map(|(workspace, _)| workspace)))
            .bind(rows)
            .bind(shared.now())
            .execute(conn)
            .await?;
        Ok(vec![(); items.len()])
    }
}
