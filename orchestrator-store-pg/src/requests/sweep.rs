//! What has outlived its time goes, a bounded step at a time. What is unfinished stays, and what keeps it does not hide
//! what lies behind.
//!
//! Events, requests and bodies are dropped by the day as soon as no workspace needs the day (`keep_partitions`). A sweep
//! notes what its workspace needs no more, and deletes what did not go that way in time: what shares its days with others'.

use orchestrator_core::store::Sweep;
use orchestrator_core::types::{InboxId, JobId, Timestamp};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::failure::Failure;
use crate::payloads::links;
use crate::rows::int;
use crate::shared::Shared;

/// Sweeps one workspace. Answers how much went.
pub(super) async fn sweep(shared: &Shared, sweep: &Sweep, limit: usize) -> Result<u64, Failure> {
    const FLOORS: &str = "INSERT INTO floors AS f (workspace, part, before) \
        VALUES ($1, 'events', $2), ($1, 'inbox_bodies', $3), ($1, 'requests', $4) \
        ON CONFLICT (workspace, part) DO UPDATE SET before = excluded.before WHERE f.before <> excluded.before";
    let name = sweep.workspace.as_str();
    let mut transaction = shared.begin(name).await?;
    sqlx::query(FLOORS)
        .bind(name)
        .bind(sweep.events_before.unix_ms())
        .bind(sweep.inbox_before.unix_ms())
        .bind(sweep.requests_before.unix_ms())
        .execute(&mut *transaction)
        .await?;
    let mut removed = log(shared, &mut transaction, sweep, limit).await?;
    removed += jobs(&mut transaction, sweep, limit).await?;
    removed += inbox(shared, &mut transaction, sweep, limit).await?;
    transaction.commit().await?;
    Ok(removed)
}

async fn log(shared: &Shared, conn: &mut PgConnection, sweep: &Sweep, limit: usize) -> Result<u64, Failure> {
    const REQUESTS: &str = "DELETE FROM requests r USING (SELECT id FROM requests \
          WHERE workspace = $1 AND started_at < $2 ORDER BY started_at LIMIT $3) old \
        WHERE r.workspace = $1 AND r.id = old.id";
    // From the beginning only, so that what remains has no hole.
    const EVENTS: &str = "DELETE FROM events WHERE workspace = $1 AND number < \
        (SELECT coalesce(min(number) FILTER (WHERE time >= $2), max(number) + 1) FROM \
          (SELECT number, time FROM events WHERE workspace = $1 ORDER BY number LIMIT $3) oldest)";
    const KEYS: &str = "DELETE FROM idempotency i USING (SELECT route, key FROM idempotency \
          WHERE workspace = $1 AND expires_at <= now_ms($2) ORDER BY expires_at LIMIT $3 FOR UPDATE SKIP LOCKED) old \
        WHERE i.workspace = $1 AND i.route = old.route AND i.key = old.key";
    let lingering = |before: Timestamp| Some(before.unix_ms().saturating_sub(shared.linger_ms()));
    let mut removed = 0;
    for (statement, before) in
        [(REQUESTS, lingering(sweep.requests_before)), (EVENTS, lingering(sweep.events_before)), (KEYS, shared.now())]
    {
        let done = sqlx::query(statement).bind(sweep.workspace.as_str()).bind(before).bind(int(limit));
        removed += done.execute(&mut *conn).await?.rows_affected();
    }
    Ok(removed)
}

async fn jobs(conn: &mut PgConnection, sweep: &Sweep, limit: usize) -> Result<u64, Failure> {
    const ENDED: &str = "WITH gone AS (DELETE FROM ended e USING (SELECT id FROM ended \
            WHERE workspace = $1 AND finished_at < $2 AND state <> 'dead' ORDER BY finished_at LIMIT $3) old \
          WHERE e.workspace = $1 AND e.id = old.id AND e.state <> 'dead' RETURNING e.id) \
        DELETE FROM jobs j USING gone g WHERE j.workspace = $1 AND j.id = g.id RETURNING j.id";
    let name = sweep.workspace.as_str();
    let gone: Vec<Uuid> = sqlx::query_scalar(ENDED)
        .bind(name)
        .bind(sweep.jobs_before.unix_ms())
        .bind(int(limit))
        .fetch_all(&mut *conn)
        .await?;
    let owners = gone.iter().map(|id| JobId::from_bits(id.as_u128()).to_string()).collect();
    links::unlink(conn, &sweep.workspace, owners).await?;
    Ok(gone.len() as u64)
}

/// No delivery of the entry `i` is under way.
macro_rules! delivered {
    () => {
        "NOT EXISTS (SELECT FROM queue q WHERE q.workspace = i.workspace AND q.id = i.job)"
    };
}

async fn inbox(shared: &Shared, conn: &mut PgConnection, sweep: &Sweep, limit: usize) -> Result<u64, Failure> {
    const BODIES: &str = concat!(
        "DELETE FROM inbox_bodies b USING (SELECT i.id FROM inbox_bodies o JOIN inbox i USING (workspace, id) \
           WHERE o.workspace = $1 AND o.received_at < $2 AND ",
        delivered!(),
        " ORDER BY o.received_at LIMIT $3) old WHERE b.workspace = $1 AND b.id = old.id RETURNING b.id"
    );
    const TOMBSTONES: &str = concat!(
        "WITH gone AS (DELETE FROM inbox e USING (SELECT i.id FROM inbox i WHERE i.workspace = $1 AND i.received_at < $2 AND ",
        delivered!(),
        " ORDER BY i.received_at LIMIT $3) old WHERE e.workspace = $1 AND e.id = old.id RETURNING e.id), \
         bodies AS (DELETE FROM inbox_bodies b USING gone g WHERE b.workspace = $1 AND b.id = g.id) SELECT id FROM gone"
    );
    let mut removed = 0;
    for (statement, before) in [
        (BODIES, sweep.inbox_before.unix_ms().saturating_sub(shared.linger_ms())),
        (TOMBSTONES, sweep.tombstones_before.unix_ms()),
    ] {
        let gone: Vec<Uuid> = sqlx::query_scalar(statement)
            .bind(sweep.workspace.as_str())
            .bind(before)
            .bind(int(limit))
            .fetch_all(&mut *conn)
            .await?;
        let owners = gone.iter().map(|id| InboxId::from_bits(id.as_u128()).to_string()).collect();
        links::unlink(conn, &sweep.workspace, owners).await?;
        removed += gone.len() as u64;
    }
    Ok(removed)
}
