//! Shared limits that cannot be reached.

use std::sync::Arc;

use async_trait::async_trait;
use orchestrator_core::policy::rate_limit::lease::{Lease, LeasesAway, SharedLimit, TokenLeases};

use super::Faults;

/// A place of shared tokens whose answers fail by a plan, as the method `lease`. A lost answer is a lost lot.
pub struct FaultyLeases {
    inner: Arc<dyn TokenLeases>,
    faults: Faults,
}

impl FaultyLeases {
    /// Puts the faults over a place of shared tokens.
    #[must_use]
    pub fn new(inner: Arc<dyn TokenLeases>, faults: Faults) -> Self {
        Self { inner, faults }
    }
}

#[async_trait]
impl TokenLeases for FaultyLeases {
    async fn lease(&self, limit: &SharedLimit, want: u32) -> Result<Lease, LeasesAway> {
        self.faults.strike("lease", self.inner.lease(limit, want), || LeasesAway).await
    }

    fn nodes(&self) -> u32 {
        self.inner.nodes()
    }
}
