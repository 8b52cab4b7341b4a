//! What nobody names any more goes: first its row, then its object; and objects that never had a row.
//!
//! Any node may do it at any time: each step is harmless when it is repeated.

use std::time::Duration;

use orchestrator_types::{PayloadId, WorkspaceId};

use super::service::UNNAMED;
use crate::clock::Clock;
use crate::engine::Engine;
use crate::error::Error;
use crate::store::{PayloadSweep, StoreError};

/// The payload of an execution is kept at least so long: the answer that names it is kept for its idempotency key.
const ANSWERED: Duration = Duration::from_secs(2 * 24 * 60 * 60);
const CHUNK: usize = 500;

/// Sweeps one workspace, whose executions are kept for `requests`; with `objects`, also what lies there without a row.
pub(crate) async fn sweep(
    engine: &Engine,
    workspace: &WorkspaceId,
    requests: Duration,
    objects: bool,
) -> Result<(), Error> {
    let Some(depot) = &engine.payloads else { return Ok(()) };
    let now = engine.store_time.now();
    let unnamed_before = now.before(UNNAMED);
    let line = PayloadSweep { executions_before: now.before(requests.max(ANSWERED)), unnamed_before };
    loop {
        let gone = engine.store.sweep_payloads(workspace, line, CHUNK).await?;
        let more = gone.len() >= CHUNK;
        depot.discard(workspace, gone).await;
        if !more || engine.stopping.is_cancelled() {
            break;
        }
    }
    if !objects {
        return Ok(());
    }
    let young = PayloadId::first_of(u64::try_from(unnamed_before.unix_ms()).unwrap_or(0));
    let (scope, mut after) = (depot.scope(workspace), None);
    loop {
        let mut found = depot.objects.list(&scope, after, CHUNK).await.map_err(StoreError::unavailable)?;
        let whole = found.len() >= CHUNK;
        // Ids begin with their time: from here on all are younger.
        found.retain(|id| *id < young);
        let Some(last) = found.last().copied() else { return Ok(()) };
        after = Some(last);
        let known = engine.store.known_payloads(workspace, &found).await?;
        depot.discard(workspace, found.into_iter().filter(|id| !known.contains(id))).await;
        if !whole || engine.stopping.is_cancelled() {
            return Ok(());
        }
    }
}
