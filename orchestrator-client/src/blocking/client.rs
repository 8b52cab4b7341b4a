//! The exec API without `async`.

use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use orchestrator_types::{
    AuditRecord, AuditVerification, ConnectorKindView, EventId, EventView, ExecuteRequest, ExecuteResponse,
    ExecutionId, ExecutionView, InstallKeysView, JobAccepted, JobBatchAccepted, JobBatchRequest, JobId, JobRequest,
    JobView, KeyRotationView, Name, Page, PayloadId, PayloadUploaded, ProductConfig, RotateKekRequest, TraceId,
    WorkspaceId, WorkspaceRequest, WorkspaceView,
};
use serde_json::Value;

use super::calls::{Items, KeyedCall, List};
use super::runtime::Runtime;
use super::workspace::Workspace;
use crate::answer::{Answer, ETag};
use crate::builder::ClientBuilder;
use crate::error::{Error, TransportError};
use crate::events::{EventFilter, EventQuery};
use crate::exec::Payload;
use crate::ingress::WebhookAnswer;
use crate::jobs::JobFilter;

/// The [client](crate::Client) without `async`. A clone shares connections, tokens and the thread that drives them.
#[derive(Debug, Clone)]
pub struct Client {
    pub(super) client: crate::Client,
    pub(super) runtime: Runtime,
}

impl ClientBuilder {
    /// The client without `async`.
    ///
    /// # Errors
    /// As [`build`](Self::build); [`Error::Transport`] if no thread can be had.
    pub fn build_blocking(self) -> Result<Client, Error> {
        let runtime = Runtime::start().map_err(|error| Error::Transport(TransportError::of(error)))?;
        Ok(Client { client: self.build()?, runtime })
    }
}

/// Methods that send something, wait for it, and are otherwise those of the async client.
macro_rules! waits {
    ($inner:ident: $($(#[$doc:meta])* fn $name:ident($($argument:ident: $kind:ty),*) -> $answer:ty;)+) => {
        $(
            $(#[$doc])*
            ///
            /// # Errors
            /// As the async method of this name.
            pub fn $name(&self, $($argument: $kind),*) -> Result<$answer, Error> {
                self.runtime.wait(self.$inner.$name($($argument),*))
            }
        )+
    };
}

/// Methods that prepare something: a call with options, a list, a change.
macro_rules! prepares {
    ($inner:ident: $($(#[$doc:meta])* fn $name:ident($($argument:ident: $kind:ty),*) -> $holder:ident.$field:ident: $answer:ty;)+) => {
        $(
            $(#[$doc])*
            pub fn $name(&self, $($argument: $kind),*) -> $answer {
                $holder { $field: self.$inner.$name($($argument),*), runtime: self.runtime.clone() }
            }
        )+
    };
}

pub(super) use {prepares, waits};

impl Client {
    /// A client of the server at `url` that calls with `token`; everything else as [`ClientBuilder`] has it.
    ///
    /// # Errors
    /// As [`ClientBuilder::build_blocking`].
    pub fn new(url: &str, token: impl Into<String>) -> Result<Self, Error> {
        ClientBuilder::new(url).token(token).build_blocking()
    }

    /// Options for a client of the server at `url`; end them with [`ClientBuilder::build_blocking`].
    pub fn builder(url: &str) -> ClientBuilder {
        ClientBuilder::new(url)
    }

    /// The same client, whose calls continue `trace`.
    #[must_use]
    pub fn with_trace(&self, trace: TraceId) -> Self {
        Self { client: self.client.with_trace(trace), runtime: self.runtime.clone() }
    }

    /// The control API of one workspace. Nothing is asked yet, not even whether it exists.
    #[must_use]
    pub fn workspace(&self, id: &WorkspaceId) -> Workspace {
        Workspace { workspace: self.client.workspace(id), runtime: self.runtime.clone() }
    }

    /// The events after `after`, and then each new one as it happens: the iterator waits for it, reconnects by itself, and has no end
    /// of its own.
    pub fn event_stream(
        &self,
        after: Option<EventId>,
        filter: EventFilter,
    ) -> impl Iterator<Item = Result<EventView, Error>> + use<> {
        Items::new(self.client.event_stream(after, filter), self.runtime.clone())
    }

    prepares! { client:
        /// Calls an operation of a connector and waits for its outcome.
        fn execute(request: &ExecuteRequest) -> KeyedCall.call: KeyedCall<ExecuteResponse>;
        /// Hands a job over. When this answers, the job is durable.
        fn submit(request: &JobRequest) -> KeyedCall.call: KeyedCall<JobAccepted>;
        /// Hands up to 1,000 jobs over, all or none.
        fn submit_batch(request: &JobBatchRequest) -> KeyedCall.call: KeyedCall<JobBatchAccepted>;
        /// Jobs of the workspace.
        fn jobs(filter: &JobFilter) -> List.list: List<JobView>;
        /// The workspaces that the caller may see.
        fn workspaces() -> List.list: List<WorkspaceView>;
        /// Every connector kind that the server has.
        fn connector_kinds() -> List.list: List<ConnectorKindView>;
        /// The install's own audit trail.
        fn audit() -> List.list: List<AuditRecord>;
    }

    waits! { client:
        /// The record of an execution.
        fn execution(id: ExecutionId) -> ExecutionView;
        /// A body that an answer refers to by `payload_ref`.
        fn payload(id: PayloadId) -> Payload;
        /// Hands a body in, for an input to name by its `payload_ref`.
        fn upload(content_type: &str, bytes: Bytes) -> PayloadUploaded;
        /// The product's own documents in the active config version.
        fn product_config() -> ProductConfig;
        /// The same with its validator, if it is another than `etag` came with.
        fn product_config_if_changed(etag: Option<&ETag>) -> Option<Answer<ProductConfig>>;
        /// A job as it stands now.
        fn job(id: JobId) -> JobView;
        /// Waits until a job has ended, up to `patience`.
        fn wait_for_job(id: JobId, patience: Duration) -> JobView;
        /// Cancels a job that has not ended.
        fn cancel_job(id: JobId) -> JobView;
        /// A page of events.
        fn events(query: &EventQuery) -> Page<EventView>;
        /// Sends a webhook as a provider does.
        fn send_webhook(provider: &Name, route_key: Option<&Name>, headers: HeaderMap, body: Bytes) -> WebhookAnswer;
        /// The server's public keys as a JWK set.
        fn keys() -> Value;
        /// The JSON Schema of bundles. Needs no token.
        fn bundle_schema() -> Value;
        /// Makes a workspace, with config version 1 active.
        fn create_workspace(request: &WorkspaceRequest) -> WorkspaceView;
        /// Whether the install's own audit trail is whole.
        fn verify_audit() -> AuditVerification;
        /// Which key of the install seals how much.
        fn install_keys() -> InstallKeysView;
        /// Begins to rotate the install's key.
        fn rotate_install_key(request: &RotateKekRequest) -> KeyRotationView;
        /// Whether the server is alive.
        fn health() -> ();
        /// Whether the server takes work.
        fn ready() -> bool;
    }
}
