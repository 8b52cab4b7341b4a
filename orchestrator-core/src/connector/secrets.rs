//! The secrets of a connector, by slot.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use orchestrator_types::Name;

use crate::secrets::{Secret, SecretError};

/// Gives a secret when it is needed, so that a rotated one is picked up by the next call.
#[async_trait]
pub trait SecretSource: Send + Sync + 'static {
    /// Every version that is accepted now, the newest first. Never empty.
    ///
    /// # Errors
    /// The secret is missing or its source does not answer.
    async fn resolve(&self) -> Result<Vec<Secret>, SecretError>;
}

/// Which secret fills which slot.
#[derive(Clone, Default)]
pub struct SecretSlots(BTreeMap<Name, Arc<dyn SecretSource>>);

impl SecretSlots {
    /// Slots filled with these sources.
    #[must_use]
    pub fn new(sources: BTreeMap<Name, Arc<dyn SecretSource>>) -> Self {
        Self(sources)
    }

    /// Whether the slot is filled.
    #[must_use]
    pub fn has(&self, slot: &str) -> bool {
        self.0.contains_key(slot)
    }

    /// The newest secret in the slot; `None` if it is not filled.
    ///
    /// # Errors
    /// The secret is missing or its source does not answer.
    pub async fn get(&self, slot: &str) -> Result<Option<Secret>, SecretError> {
        match self.0.get(slot) {
            Some(source) => Ok(source.resolve().await?.into_iter().next()),
            None => Ok(None),
        }
    }

    /// Every secret of every slot that can be had now, for redaction of what an upstream echoes.
    pub(crate) async fn all(&self) -> Vec<Secret> {
        self.all_but(&[]).await
    }

    /// The same without those of some slots.
    pub(crate) async fn all_but(&self, slots: &[&str]) -> Vec<Secret> {
        let mut secrets = Vec::new();
        for (_, source) in self.0.iter().filter(|(slot, _)| !slots.contains(&slot.as_ref())) {
            secrets.extend(source.resolve().await.unwrap_or_default());
        }
        secrets
    }
}

impl fmt::Debug for SecretSlots {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_set().entries(self.0.keys()).finish()
    }
}
