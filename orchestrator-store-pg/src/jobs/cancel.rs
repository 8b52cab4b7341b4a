//! Cancelling a job that has not ended.

use orchestrator_core::store::{Cancelled, JobState, NewEvent};
use orchestrator_core::types::{JobId, WorkspaceId};

use crate::arrays::EventRow;
use crate::events::append::append;
use crate::failure::Failure;
use crate::jobs::order;
use crate::notices::Told;
use crate::rows::{Unreadable, id};
use crate::shared::Shared;

pub(super) async fn cancel(
    shared: &Shared,
    workspace: &WorkspaceId,
    job: JobId,
    event: &NewEvent,
) -> Result<Cancelled, Failure> {
    const KEY: &str = "SELECT ordering_key FROM queue WHERE workspace = $1 AND id = $2";
    const CANCEL: &str = "WITH gone AS (DELETE FROM queue WHERE workspace = $1 AND id = $2 RETURNING *) \
        INSERT INTO ended (workspace, id, seq, state, run_at, attempt, fence, lost_leases, finished_at, error, delivery) \
        SELECT workspace, id, seq, 'cancelled', run_at, attempt, fence + 1, lost_leases, now_ms($3), error, delivery FROM gone";
    const ENDED: &str = "SELECT state FROM ended WHERE workspace = $1 AND id = $2";
    let (name, id) = (workspace.as_str(), id(job.bits()));
    let mut transaction = shared.begin(name).await?;
    let key: Option<Option<String>> =
        sqlx::query_scalar(KEY).bind(name).bind(id).fetch_optional(&mut *transaction).await?;
    let keys: Vec<String> = key.into_iter().flatten().collect();
    order::lock(&mut transaction, workspace, &keys).await?;
    let cancelled = sqlx::query(CANCEL).bind(name).bind(id).bind(shared.now()).execute(&mut *transaction).await?;
    if cancelled.rows_affected() == 0 {
        let ended: Option<String> =
            sqlx::query_scalar(ENDED).bind(name).bind(id).fetch_optional(&mut *transaction).await?;
        transaction.rollback().await?;
        return match ended {
            Some(state) => Ok(Cancelled::Ended(JobState::parse(&state).ok_or(Unreadable { column: "state" })?)),
            None => Ok(Cancelled::NotFound),
        };
    }
    let mut told = Told::default();
    told.touched(workspace);
    order::release(shared, &mut transaction, workspace, &keys, &mut told).await?;
    append(shared, &mut transaction, vec![EventRow::new(1, workspace, event)?]).await?;
    transaction.commit().await?;
    shared.tell(&told);
    Ok(Cancelled::Done)
}
