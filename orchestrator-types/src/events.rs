//! The event stream.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::ids::EventId;
use crate::names::WorkspaceId;
use crate::time::Timestamp;
use crate::trace::TraceId;

macro_rules! event_types {
    ($($variant:ident = $text:literal),+ $(,)?) => {
        /// What happened.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[non_exhaustive]
        pub enum EventType {
            $(#[doc = concat!("`", $text, "`")] #[serde(rename = $text)] $variant,)+
        }

        impl EventType {
            /// Every type of event.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// As it is spelled on the wire.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }
    };
}

event_types! {
    ExecutionSucceeded = "execution.succeeded",
    ExecutionFailed = "execution.failed",
    JobQueued = "job.queued",
    JobStarted = "job.started",
    JobRetrying = "job.retrying",
    JobSucceeded = "job.succeeded",
    JobDead = "job.dead",
    JobCancelled = "job.cancelled",
    JobReplayed = "job.replayed",
    JobPurged = "job.purged",
    WebhookReceived = "webhook.received",
    WebhookDuplicate = "webhook.duplicate",
    WebhookRejected = "webhook.rejected",
    CallbackDelivered = "callback.delivered",
    CallbackFailed = "callback.failed",
    BreakerOpened = "breaker.opened",
    BreakerHalfOpened = "breaker.half_opened",
    BreakerClosed = "breaker.closed",
    ConfigActivated = "config.activated",
    ConfigRolledBack = "config.rolled_back",
    SecretRotated = "secret.rotated",
    SecretRetired = "secret.retired",
    SecretUnhealthy = "secret.unhealthy",
    SecretHealthy = "secret.healthy",
    WorkspaceCreated = "workspace.created",
    WorkspaceSuspended = "workspace.suspended",
    WorkspaceResumed = "workspace.resumed",
    WorkspaceDeleted = "workspace.deleted",
}

// By hand: the derive sees the macro's variants, but not how they are spelled.
#[cfg(feature = "openapi")]
impl utoipa::PartialSchema for EventType {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::Type::String)
            .enum_values(Some(Self::ALL.iter().map(|kind| kind.as_str())))
            .description(Some("What happened."))
            .into()
    }
}

#[cfg(feature = "openapi")]
impl utoipa::ToSchema for EventType {}

impl fmt::Display for EventType {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

impl FromStr for EventType {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.iter().copied().find(|known| known.as_str() == text).ok_or_else(|| "no such event type".to_owned())
    }
}

/// One event. Events of a workspace have one total order; the id is the cursor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EventView {
    /// The event, and the cursor after it.
    pub id: EventId,
    /// What happened.
    #[serde(rename = "type")]
    pub kind: EventType,
    /// Where.
    pub workspace: WorkspaceId,
    /// To what: the id of a job, execution or inbox entry, or a name.
    pub subject: String,
    /// When it was committed.
    pub time: Timestamp,
    /// The trace.
    pub trace_id: TraceId,
    /// What else is to say.
    pub data: Value,
}
