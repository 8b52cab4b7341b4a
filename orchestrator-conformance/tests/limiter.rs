//! The limiter suite holds for the limits that are shared inside a process.

use std::sync::Arc;

use async_trait::async_trait;
use orchestrator_conformance::limiter::LimiterHarness;
use orchestrator_core::policy::rate_limit::lease::{SharedTokens, TokenLeases};

struct InProcess(Arc<SharedTokens>);

#[async_trait]
impl LimiterHarness for InProcess {
    async fn node(&self) -> Arc<dyn TokenLeases> {
        self.0.clone()
    }
}

orchestrator_conformance::limiter_conformance!(InProcess(Arc::new(SharedTokens::between(2))));
