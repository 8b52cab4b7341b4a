//! A connection that is kept from one use to the next: to give it back to the pool and take it again is a round trip each time.

use std::time::Duration;

use sqlx::Postgres;
use sqlx::pool::PoolConnection;
use tokio::time::Instant;

use crate::failure::Failure;
use crate::shared::Shared;

/// So long it is kept at most, so that the pool sees it from time to time.
const TENURE: Duration = Duration::from_secs(60);

/// Maybe a connection that is kept. Whoever takes it says afterwards that it is in order; else it goes back to the pool, which
/// looks.
#[derive(Default)]
pub(crate) struct Kept(Option<(PoolConnection<Postgres>, Instant)>);

impl Kept {
    /// Whether there is one.
    pub(crate) fn is_some(&self) -> bool {
        self.0.is_some()
    }

    /// The connection, and since when it is kept; one of the pool's if there is none.
    pub(crate) async fn take(&mut self, shared: &Shared) -> Result<(PoolConnection<Postgres>, Instant), Failure> {
        match self.0.take() {
            Some(kept) => Ok(kept),
            None => Ok((shared.pool.acquire().await?, Instant::now())),
        }
    }

    /// Keeps it for the next time, unless others need it.
    pub(crate) fn keep(&mut self, shared: &Shared, conn: PoolConnection<Postgres>, since: Instant) {
        let spare = shared.pool.num_idle() > 0 || shared.pool.size() < shared.options.connections;
        if spare && since.elapsed() < TENURE {
            self.0 = Some((conn, since));
        }
    }
}
