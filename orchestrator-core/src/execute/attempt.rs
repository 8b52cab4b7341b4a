//! One attempt of something: a connector's call, or a delivery.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;

use crate::connector::{CallContext, CallError, Connector, SecretSlots};
use crate::secrets::Redactor;

/// Makes one attempt.
#[async_trait]
pub(crate) trait Attempt: Send + Sync + 'static {
    async fn attempt(&self) -> Result<Value, CallError>;
}

/// A call of a connector.
pub(crate) struct ConnectorAttempt {
    pub(crate) connector: Arc<dyn Connector>,
    pub(crate) context: CallContext,
    pub(crate) operation: String,
    pub(crate) input: Value,
    pub(crate) secrets: SecretSlots,
}

#[async_trait]
impl Attempt for ConnectorAttempt {
    async fn attempt(&self) -> Result<Value, CallError> {
        let mut result = self.connector.call(&self.context, &self.operation, &self.input).await;
        let shown = if result.is_ok() { self.connector.shown_slots(&self.operation) } else { &[] };
        if let Some(redactor) = self.redactor(shown).await {
            match &mut result {
                Ok(output) => {
                    redactor.value(output);
                }
                Err(error) => redact(error, &redactor),
            }
        }
        result
    }
}

impl ConnectorAttempt {
    /// An upstream may echo what we sent it: what it says is kept and shown, so our secrets are taken out of it first.
    async fn redactor(&self, shown: &[&str]) -> Option<Redactor> {
        let secrets = self.secrets.all_but(shown).await;
        (!secrets.is_empty()).then(|| Redactor::new(&secrets))
    }
}

pub(crate) fn redact(error: &mut CallError, redactor: &Redactor) {
    if let Some(upstream) = &mut error.upstream {
        redactor.value(&mut upstream.body);
    }
    if let std::borrow::Cow::Owned(detail) = redactor.text(&error.detail) {
        error.detail = detail;
    }
}
