//! [`SeenKeys`]: which idempotency keys were used lately, so that a repeated request is answered by a read.

use async_trait::async_trait;
use orchestrator_types::{IdempotencyKey, WorkspaceId};

use crate::store::KeyRoute;

/// Remembers for a while which idempotency keys were used, on all nodes. A hint and never the answer: a key that was seen has
/// the store read before it is written to, and what the store says is what counts; one that was not seen, or forgotten, goes the
/// usual way, which finds it too.
#[async_trait]
pub trait SeenKeys: Send + Sync + 'static {
    /// Whether this key may have been used. `false` where nobody knows: it does not hold up a request, and answers within some
    /// tens of milliseconds.
    async fn seen(&self, workspace: &WorkspaceId, route: KeyRoute, key: &IdempotencyKey) -> bool;

    /// Notes that it was used, best effort. Does not wait.
    fn note(&self, workspace: &WorkspaceId, route: KeyRoute, key: &IdempotencyKey);
}
