//! One limit for many nodes: tokens are leased in small lots from a place that they share, so that the hot path asks nobody.
//!
//! A node holds a stock of tokens for each lane and takes from that. When it runs low the [`Keeper`] fetches the next lot in the
//! background. Tokens are spent in the shared limit when they are leased, so over any time all nodes together admit at most
//! burst + rate × time, and the lots that they hold. While the place cannot be reached each node falls to its share of the
//! limit, which is neither everything nor nothing.
//!
//! The place is a port, [`TokenLeases`]. [`SharedTokens`] is one inside a process.

mod keeper;
mod shared;
mod stock;

#[cfg(test)]
mod tests;

use std::time::Duration;

use async_trait::async_trait;
use orchestrator_types::{Name, WorkspaceId};

pub use keeper::Keeper;
pub use shared::SharedTokens;
pub(crate) use stock::{Room, Stock, Taken};

/// Hands out the tokens of limits that several nodes share.
#[async_trait]
pub trait TokenLeases: Send + Sync + 'static {
    /// Leases up to `want` tokens. What is leased counts as spent from that moment. Dropping the future may lose a lot, and
    /// never hands one out twice.
    ///
    /// # Errors
    /// It cannot be said: the place is away.
    async fn lease(&self, limit: &SharedLimit, want: u32) -> Result<Lease, LeasesAway>;

    /// How many nodes share the limits now, this one included: what a node's share is while the place is away.
    fn nodes(&self) -> u32;
}

/// A limit that is shared, and by whom it is used.
#[derive(Debug, Clone, PartialEq)]
pub struct SharedLimit {
    /// Whose it is.
    pub lane: LimitKey,
    /// How long a token takes to come.
    pub period: Duration,
    /// Tokens of a rested limit.
    pub burst: u32,
}

/// The lane that a limit bounds.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LimitKey {
    /// The tenant.
    pub workspace: WorkspaceId,
    /// Whether it is a callback's, not a connector's.
    pub delivery: bool,
    /// The connector's or callback's name.
    pub target: Name,
}

/// A lot of tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// How many; none if the limit is reached.
    pub tokens: u32,
    /// After how long there may be more, if there are none.
    pub retry_after: Duration,
}

/// The place where tokens are shared does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the shared limits cannot be reached")]
pub struct LeasesAway;
