//! Whether a service identity is still the one that a token was issued to.

use std::time::Duration;

use orchestrator_core::{Error, Orchestrator};
use orchestrator_types::WorkspaceId;
use quick_cache::sync::Cache;
use tokio::time::Instant;

use crate::tokens::Claims;

/// A deleted identity's tokens are refused within this time on every node.
const FRESH: Duration = Duration::from_secs(2);
/// With the store away, what was live is believed for so long.
const STALE: Duration = Duration::from_secs(60);
const IDENTITIES: usize = 10_000;

/// Remembers for a moment who was live.
pub(crate) struct Liveness(Cache<(WorkspaceId, String, i64), (bool, Instant)>);

impl Default for Liveness {
    fn default() -> Self {
        Self(Cache::new(IDENTITIES))
    }
}

impl Liveness {
    /// Whether the identity behind a token still is. Tokens that were issued to none have none to lose.
    ///
    /// # Errors
    /// The store does not answer, and has not for a while.
    pub(crate) async fn holds(&self, engine: &Orchestrator, claims: &Claims) -> Result<bool, Error> {
        let (Some(workspace), Some(generation)) = (&claims.workspace, claims.generation) else { return Ok(true) };
        let key = (workspace.clone(), claims.subject.clone(), generation);
        let known = self.0.get(&key);
        if let Some((live, at)) = known
            && at.elapsed() < FRESH
        {
            return Ok(live);
        }
        match engine.identities().is_live(workspace, &claims.subject, generation).await {
            Ok(live) => {
                self.0.insert(key, (live, Instant::now()));
                Ok(live)
            }
            Err(error) => match known {
                Some((live, at)) if at.elapsed() < STALE => Ok(live),
                _ => Err(error),
            },
        }
    }
}
