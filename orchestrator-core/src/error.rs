//! What the engine answers when it does not do what it was asked: one enum, each case with a stable code.

use std::time::Duration;

use orchestrator_types::FieldError;

use crate::execute::CallFailure;
use crate::policy::RateLimitSnapshot;
use crate::secrets::SecretError;
use crate::store::StoreError;

/// Why the engine did not do it. The message is for the caller: it names their own things only.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no such thing in this workspace, or no such workspace.
    #[error("there is no such {what}")]
    NotFound {
        /// What: `job`, `execution`, `workspace`, `connector`, …
        what: &'static str,
    },
    /// The connector has no such operation.
    #[error("the connector has no operation `{operation}`")]
    OperationNotFound {
        /// As asked for.
        operation: String,
    },
    /// The request is not sound.
    #[error("the request is not valid: see `errors`")]
    InvalidRequest(Vec<FieldError>),
    /// The input is not what the operation takes.
    #[error("the input is not what the operation takes: see `errors`")]
    InvalidInput(Vec<FieldError>),
    /// The config, or what would become one, is not sound.
    #[error("the config is not valid: see `errors`")]
    InvalidConfig(Vec<FieldError>),
    /// The workspace's name does not end in this install's environment.
    #[error("this install serves `*-{environment}` workspaces only")]
    WrongEnvironment {
        /// The install's.
        environment: String,
    },
    /// The name is taken.
    #[error("the {what} exists already")]
    Exists {
        /// What.
        what: &'static str,
    },
    /// Another workspace holds a route.
    #[error("the route `{route}` names an account or key that is taken")]
    RouteTaken {
        /// The route's name in the config that wants it.
        route: String,
    },
    /// The thing was changed since it was read.
    #[error("it was changed meanwhile: read it again, and repeat the change on what is there now")]
    Stale,
    /// It is in a state that does not allow this.
    #[error("{detail}")]
    WrongState {
        /// Stable.
        code: &'static str,
        /// A sentence.
        detail: String,
    },
    /// The workspace is suspended.
    #[error("the workspace is suspended")]
    Suspended,
    /// The caller may not do this.
    #[error("{0}")]
    Forbidden(&'static str),
    /// The idempotency key was used with another body.
    #[error("the idempotency key was used with another body: use a new key for a new request")]
    IdempotencyMismatch,
    /// The first request with this key is still running.
    #[error("the first request with this idempotency key is still running")]
    IdempotencyInProgress,
    /// The first request with this key died half way.
    #[error("the first request with this idempotency key died half way: whether it took effect is not known")]
    OutcomeUnknown {
        /// The execution that began.
        execution: String,
        /// The last step known of it.
        last_step: String,
    },
    /// A call was made, or refused by a policy, and did not succeed.
    #[error("{}", .0.error.detail)]
    Call(Box<CallFailure>),
    /// A request of the caller comes too often.
    #[error("too many requests: wait, and try again")]
    TooMany {
        /// For how long.
        retry_after: Duration,
    },
    /// No route takes this webhook.
    #[error("no route takes this webhook")]
    RouteNotFound,
    /// The webhook's signature does not verify.
    #[error("the signature does not verify")]
    SignatureInvalid,
    /// The webhook is signed, and cannot be read.
    #[error("the webhook cannot be read: {0}")]
    WebhookUnreadable(String),
    /// The bytes of a payload are gone or damaged.
    #[error("the payload is lost: its bytes are gone or damaged")]
    PayloadLost,
    /// The body is larger than it may be.
    #[error("at most {max} bytes are taken")]
    TooLarge {
        /// What is the most.
        max: u64,
    },
    /// A secret that is needed cannot be had.
    #[error("a secret that this needs cannot be had")]
    Secret(#[source] SecretError),
    /// The store does not answer.
    #[error("the service cannot do this now: try again")]
    Unavailable(#[source] StoreError),
    /// Our fault.
    #[error("an internal error")]
    Internal(String),
}

impl Error {
    /// There is no such `what`.
    #[must_use]
    pub const fn not_found(what: &'static str) -> Self {
        Self::NotFound { what }
    }

    /// One field of the request is wrong.
    pub fn invalid(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::InvalidRequest(vec![FieldError::new(pointer, detail)])
    }

    /// Stable: what clients switch on.
    #[must_use]
    pub fn code(&self) -> &str {
        match self {
            Self::NotFound { what: "connector" } => "connector_not_found",
            Self::NotFound { what: "callback" } => "callback_not_found",
            Self::NotFound { what: "workspace" } => "workspace_not_found",
            Self::NotFound { .. } => "not_found",
            Self::OperationNotFound { .. } => "operation_not_found",
            Self::InvalidRequest(_) => "invalid_request",
            Self::InvalidInput(_) => "invalid_input",
            Self::InvalidConfig(_) => "invalid_config",
            Self::WrongEnvironment { .. } => "wrong_environment",
            Self::Exists { .. } => "already_exists",
            Self::RouteTaken { .. } => "route_taken",
            Self::Stale => "precondition_failed",
            Self::WrongState { code, .. } => code,
            Self::Suspended => "workspace_suspended",
            Self::Forbidden(_) => "forbidden",
            Self::IdempotencyMismatch => "idempotency_mismatch",
            Self::IdempotencyInProgress => "idempotency_in_progress",
            Self::OutcomeUnknown { .. } => "outcome_unknown",
            Self::Call(failure) => &failure.error.code,
            Self::TooMany { .. } => "rate_limited",
            Self::RouteNotFound => "route_not_found",
            Self::SignatureInvalid => "signature_invalid",
            Self::WebhookUnreadable(_) => "invalid_request",
            Self::PayloadLost => "payload_lost",
            Self::TooLarge { .. } => "body_too_large",
            Self::Secret(_) => "secret_unavailable",
            Self::Unavailable(StoreError::Refused(_)) => "invalid_request",
            Self::Unavailable(_) => "unavailable",
            Self::Internal(_) => "internal",
        }
    }

    /// The HTTP status that goes with the code.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::NotFound { .. } | Self::OperationNotFound { .. } | Self::RouteNotFound => 404,
            Self::InvalidRequest(_) | Self::InvalidInput(_) | Self::WebhookUnreadable(_) => 400,
            Self::InvalidConfig(_) | Self::WrongEnvironment { .. } | Self::IdempotencyMismatch => 422,
            Self::Exists { .. } | Self::RouteTaken { .. } | Self::WrongState { .. } => 409,
            Self::IdempotencyInProgress | Self::OutcomeUnknown { .. } => 409,
            Self::Stale => 412,
            Self::Suspended | Self::Forbidden(_) => 403,
            Self::Call(failure) => failure.status(),
            Self::TooMany { .. } => 429,
            Self::SignatureInvalid => 401,
            Self::PayloadLost => 410,
            Self::TooLarge { .. } => 413,
            Self::Secret(_) => 502,
            Self::Unavailable(StoreError::Refused(_)) => 400,
            Self::Unavailable(_) => 503,
            Self::Internal(_) => 500,
        }
    }

    /// Everything that was wrong, field by field.
    #[must_use]
    pub fn field_errors(&self) -> &[FieldError] {
        match self {
            Self::InvalidRequest(errors) | Self::InvalidInput(errors) | Self::InvalidConfig(errors) => errors,
            _ => &[],
        }
    }

    /// When to come back, for answers that ask for it.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Call(failure) => failure.retry_after(),
            Self::TooMany { retry_after } => Some(*retry_after),
            Self::Unavailable(StoreError::Refused(_)) => None,
            Self::Unavailable(_) => Some(Duration::from_secs(1)),
            _ => None,
        }
    }

    /// How the rate limit that the call met stands.
    #[must_use]
    pub fn rate_limit(&self) -> Option<&RateLimitSnapshot> {
        match self {
            Self::Call(failure) => failure.rate_limit.as_ref(),
            _ => None,
        }
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Corrupt(what) => Self::Internal(what),
            other => Self::Unavailable(other),
        }
    }
}
