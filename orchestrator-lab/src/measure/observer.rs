//! Listens to the layers.

use orchestrator_core::policy::{Observe, PolicyEvent, Scope};

use super::Shared;
use crate::call::Call;

/// Hands what the layers tell to the record.
#[derive(Debug, Clone)]
pub(crate) struct Watch {
    shared: Shared,
}

impl Watch {
    pub(crate) fn new(shared: Shared) -> Self {
        Self { shared }
    }
}

impl Observe<Call> for Watch {
    type Scope = Self;

    fn scope(&self, _call: &Call) -> Self {
        self.clone()
    }
}

impl Scope for Watch {
    fn event(&self, event: PolicyEvent) {
        self.shared.event(event);
    }
}
