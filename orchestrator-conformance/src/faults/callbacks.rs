//! A product that is hard to reach.

use std::sync::Arc;

use async_trait::async_trait;
use orchestrator_core::callback::{CallbackAnswer, CallbackRequest, CallbackTransport};
use orchestrator_core::connector::{CallError, CallErrorKind, Sent};

use super::Faults;

/// A transport whose deliveries fail by a plan, as the method `deliver`.
pub struct FaultyCallbacks {
    inner: Arc<dyn CallbackTransport>,
    faults: Faults,
}

impl FaultyCallbacks {
    /// Puts the faults over a transport.
    #[must_use]
    pub fn new(inner: Arc<dyn CallbackTransport>, faults: Faults) -> Self {
        Self { inner, faults }
    }
}

/// What is heard of a call whose answer was lost: the other side may have seen it.
pub(super) fn broke_off() -> CallError {
    CallError::new(CallErrorKind::Unreachable, Sent::Maybe, "a fault was injected")
}

#[async_trait]
impl CallbackTransport for FaultyCallbacks {
    async fn deliver(&self, request: CallbackRequest) -> Result<CallbackAnswer, CallError> {
        self.faults.strike("deliver", self.inner.deliver(request), broke_off).await
    }
}
