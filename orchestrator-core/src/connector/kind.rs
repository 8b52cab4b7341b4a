//! What an integrator implements.

use std::sync::Arc;

use async_trait::async_trait;
use orchestrator_types::{FieldError, Idempotency, Name, TraceId, WorkspaceId};
use serde_json::Value;

use super::error::{CallError, PlanError};
use super::secrets::SecretSlots;
use crate::payload::{PayloadAccess, PayloadError};

/// A kind of connector: what `GET /connector-kinds` lists and what a workspace's config names as `kind`.
pub trait ConnectorKind: Send + Sync + 'static {
    /// Its name, settings, secret slots and operations.
    fn describe(&self) -> KindDescription;

    /// Builds a connector from settings that match the schema.
    ///
    /// # Errors
    /// Everything that is wrong with the settings beyond their schema, with pointers relative to them.
    fn build(&self, settings: &Value, secrets: SecretSlots) -> Result<Arc<dyn Connector>, Vec<FieldError>>;
}

/// A kind that is shared.
impl<K: ConnectorKind + ?Sized> ConnectorKind for Arc<K> {
    fn describe(&self) -> KindDescription {
        (**self).describe()
    }

    fn build(&self, settings: &Value, secrets: SecretSlots) -> Result<Arc<dyn Connector>, Vec<FieldError>> {
        (**self).build(settings, secrets)
    }
}

/// A connector of a workspace. Shared by all its calls.
#[async_trait]
pub trait Connector: Send + Sync + 'static {
    /// Checks a call before anything is sent.
    ///
    /// # Errors
    /// No such operation, or what is wrong with the input, with pointers relative to it.
    fn plan(&self, operation: &str, input: &Value) -> Result<CallPlan, PlanError>;

    /// Makes one attempt. The input has been planned.
    ///
    /// Dropping the future gives up the attempt and frees what it held; the upstream may or may not have seen it.
    ///
    /// # Errors
    /// How the attempt failed, and whether the upstream may have seen it.
    async fn call(&self, context: &CallContext, operation: &str, input: &Value) -> Result<Value, CallError>;

    /// The operations that this connector has beyond those of its kind, as its settings name them.
    fn operations(&self) -> Vec<OperationDescription> {
        Vec::new()
    }

    /// Secret slots whose values an output of this operation must carry, and which are therefore left in it: the id of the
    /// key in a URL that was signed with it. Of all other slots the secrets are taken out of whatever comes back.
    fn shown_slots(&self, _operation: &str) -> &[&'static str] {
        &[]
    }

    /// Asks the upstream once, with the credentials of a call, whether it would serve one. Changes nothing there. A kind
    /// that has no such question leaves this as it is.
    ///
    /// Has no deadline of its own. Dropping the future gives up the question and frees what it held.
    ///
    /// # Errors
    /// Why the upstream would not serve a call.
    async fn health(&self, _context: &CallContext) -> Result<HealthCheck, CallError> {
        Ok(HealthCheck::NotSupported)
    }
}

/// What asking an upstream gave, if it did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HealthCheck {
    /// The upstream was reached, and would serve a call.
    Passed,
    /// Nothing was asked: the kind, or the connector's settings, give no way to.
    NotSupported,
}

/// What a kind tells about itself.
#[derive(Debug, Clone)]
pub struct KindDescription {
    /// Its name.
    pub name: Name,
    /// What it is for, in a sentence.
    pub description: String,
    /// JSON Schema of its settings.
    pub settings_schema: Value,
    /// The slots that a workspace fills with secret references.
    pub secret_slots: Vec<Name>,
    /// Its operations; settings may name more, where the kind says so.
    pub operations: Vec<OperationDescription>,
}

/// What a kind tells about one of its operations.
#[derive(Debug, Clone)]
pub struct OperationDescription {
    /// Its name.
    pub name: String,
    /// What it does, in a sentence.
    pub description: String,
    /// Whether it may be made twice. What [`Connector::plan`] says of a call agrees with it.
    pub idempotency: Idempotency,
    /// JSON Schema of its input.
    pub input_schema: Value,
    /// JSON Schema of its output.
    pub output_schema: Value,
}

/// What is known of a call before it is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallPlan {
    /// Whether making it twice is as good as once (by its nature, or because it carries an idempotency key upstream).
    pub idempotent: bool,
}

/// Who calls, and as part of what.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CallContext {
    /// The tenant.
    pub workspace: WorkspaceId,
    /// The connector's name in its config.
    pub connector: Name,
    /// The execution's or job's id: the same for each attempt, so it serves as an idempotency key upstream.
    pub subject: String,
    /// The trace; goes out as `traceparent`.
    pub trace_id: TraceId,
    /// The fencing token of the job that runs: grows with each claim, so that a receiver can refuse a late one.
    pub fence: Option<u64>,
    payloads: Option<PayloadAccess>,
}

impl CallContext {
    /// The context of a call made for `subject`.
    #[must_use]
    pub fn new(workspace: WorkspaceId, connector: Name, subject: impl Into<String>, trace_id: TraceId) -> Self {
        Self { workspace, connector, subject: subject.into(), trace_id, fence: None, payloads: None }
    }

    /// The same with the fencing token of the running job.
    #[must_use]
    pub fn with_fence(mut self, fence: u64) -> Self {
        self.fence = Some(fence);
        self
    }

    /// The same with the payloads of the workspace.
    #[must_use]
    pub fn with_payloads(mut self, payloads: PayloadAccess) -> Self {
        self.payloads = Some(payloads);
        self
    }

    /// The payloads of the workspace: what the input names by `payload_ref` is read by it, and what the output is to name is
    /// written.
    ///
    /// # Errors
    /// This install stores none.
    pub fn payloads(&self) -> Result<&PayloadAccess, PayloadError> {
        self.payloads.as_ref().ok_or_else(PayloadError::none)
    }
}
