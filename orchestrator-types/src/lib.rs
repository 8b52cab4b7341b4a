//! The words of the contract: ids, names, documents and the shapes that travel.
//!
//! The server and its clients share this crate and nothing else. It holds no behaviour beyond parsing: a value of a
//! type in here is well formed, so that nobody downstream checks it again.

mod access;
mod audit;
mod callbacks;
mod config;
mod connectors;
mod control;
mod dlq;
mod events;
mod execute;
mod ids;
mod jobs;
mod names;
mod page;
mod payloads;
mod policy;
mod problem;
mod secrets;
mod time;
mod trace;
mod webhooks;

pub use access::{
    IdentityCreated, IdentityRequest, IdentityView, OperatorRequest, OperatorView, Role, TokenRequest, TokenResponse,
    scope,
};
pub use audit::{AuditRecord, AuditVerification};
pub use callbacks::{CallbackBody, CallbackType, JobCallbackData, WebhookCallbackData};
pub use config::{
    CallbackConfig, ConnectorConfig, LoggingConfig, PayloadConfig, RetentionConfig, SecretRef, WebhookRouteConfig,
    WorkspaceConfig,
};
pub use connectors::{ConnectorCheck, ConnectorHealth, ConnectorKindView, Idempotency, OperationView};
pub use control::{
    Bundle, BundleOperator, BundleResult, Change, ChangeKind, ConfigDiff, ConfigRequest, ConfigVersion,
    ConfigVersionSummary, PointerRequest, ProductConfig, ReasonRequest, WorkspaceRequest, WorkspaceStatus,
    WorkspaceView,
};
pub use dlq::{DeadLetter, DlqFilter, DlqRequest, DlqResult, DlqSkipped};
pub use events::{EventType, EventView};
pub use execute::{
    AttemptOutcome, AttemptRecord, Decision, ErrorView, ExecuteRequest, ExecuteResponse, ExecutionView, RequestKind,
    RequestView, Stage, UpstreamView,
};
pub use ids::{AuditId, EventId, ExecutionId, IdError, InboxId, JobId, PayloadId, RequestId};
pub use jobs::{CallbackView, JobAccepted, JobBatchAccepted, JobBatchRequest, JobRequest, JobStatus, JobView};
pub use names::{Environment, IdempotencyKey, Name, NameError, ServiceName, WorkspaceId};
pub use page::Page;
pub use payloads::{PayloadOut, PayloadRef, PayloadUploaded};
pub use policy::{
    AdaptivePolicy, BreakerHold, BreakerPolicy, ConcurrencyPolicy, FallbackOn, FallbackPolicy, HedgePolicy, Jitter,
    JobRetryPolicy, OnLimit, Policy, RateLimitPolicy, RetryPolicy, SlowCallPolicy, TimeoutPolicy,
};
pub use problem::{FieldError, Problem};
pub use secrets::{
    InstallKeyState, InstallKeyView, InstallKeysView, KeyRotationStatus, KeyRotationView, RotateKekRequest,
    RotateSecretRequest, SecretHealth, SecretRequest, SecretStatus, SecretVersionState, SecretVersionView, SecretView,
};
pub use time::Timestamp;
pub use trace::TraceId;
pub use webhooks::{InboxStatus, InboxView, WebhookAccepted};
