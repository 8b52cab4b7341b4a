//! The stable codes of problem documents, as a type to match on.

use std::fmt;

use http::StatusCode;

macro_rules! codes {
    ($($variant:ident = $text:literal, $status:literal: $doc:literal;)+) => {
        /// What went wrong, as the server names it. New codes may appear; they come as [`ErrorCode::Other`].
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum ErrorCode {
            $(#[doc = concat!("`", $text, "`: ", $doc)] $variant,)+
            /// A code that this version of the client has no name for.
            Other(String),
        }

        impl ErrorCode {
            /// Every code that this version has a name for.
            pub const KNOWN: &'static [Self] = &[$(Self::$variant,)+];

            /// As it is spelled on the wire.
            #[must_use]
            pub fn as_str(&self) -> &str {
                match self { $(Self::$variant => $text,)+ Self::Other(text) => text }
            }

            /// The HTTP status that comes with it, where this version has a name for it.
            #[must_use]
            pub fn status(&self) -> Option<StatusCode> {
                match self { $(Self::$variant => StatusCode::from_u16($status).ok(),)+ Self::Other(_) => None }
            }
        }

        impl From<&str> for ErrorCode {
            fn from(text: &str) -> Self {
                match text { $($text => Self::$variant,)+ other => Self::Other(other.to_owned()) }
            }
        }
    };
}

codes! {
    Unauthenticated = "unauthenticated", 401: "no token, or one that is not accepted.";
    Forbidden = "forbidden", 403: "the scope or role does not allow it.";
    ImpersonationRequired = "impersonation_required", 403: "operators come through the console here.";
    InvalidClient = "invalid_client", 401: "the token endpoint does not believe the identity's secret or assertion.";
    InvalidScope = "invalid_scope", 400: "the identity does not have every scope that it asks for.";
    UnsupportedGrantType = "unsupported_grant_type", 400: "the token endpoint does not know this grant.";
    WorkspaceSuspended = "workspace_suspended", 403: "the workspace is not served at present.";
    WorkspaceNotFound = "workspace_not_found", 404: "there is no such workspace, or none for this caller.";
    ConnectorNotFound = "connector_not_found", 404: "the workspace has no such connector.";
    OperationNotFound = "operation_not_found", 404: "the connector's kind has no such operation.";
    CallbackNotFound = "callback_not_found", 404: "the workspace has no such callback.";
    NotFound = "not_found", 404: "there is no such thing, or none for this caller.";
    InvalidRequest = "invalid_request", 400: "the request is not sound; `errors` points into it.";
    InvalidInput = "invalid_input", 400: "the input does not fit the operation; `errors` points into it.";
    InvalidConfig = "invalid_config", 422: "the config cannot work; `errors` points into it.";
    PayloadLost = "payload_lost", 410: "the bytes of a payload are gone or damaged; repeating it changes nothing.";
    RangeNotSatisfiable = "range_not_satisfiable", 416: "the payload does not have these bytes.";
    BodyTooLarge = "body_too_large", 413: "the body is larger than this route takes.";
    UnsupportedMediaType = "unsupported_media_type", 415: "the body is of a sort that this route does not take.";
    MethodNotAllowed = "method_not_allowed", 405: "the path has no such method.";
    RequestTimeout = "request_timeout", 408: "the request did not arrive in time.";
    RateLimited = "rate_limited", 429: "over the rate limit of the workspace or connector.";
    ConcurrencyLimited = "concurrency_limited", 429: "too many calls in flight, and the queue is full.";
    BreakerOpen = "breaker_open", 503: "the upstream fails; nothing was sent.";
    Timeout = "timeout", 504: "no answer within the attempt's or the total deadline.";
    UpstreamRejected = "upstream_rejected", 502: "the upstream's final answer, which must not be retried.";
    UpstreamFailed = "upstream_failed", 502: "the upstream still failed after the retries.";
    UpstreamUnreachable = "upstream_unreachable", 502: "no connection to the upstream.";
    DestinationForbidden = "destination_forbidden", 403: "the address is not allowed by the install.";
    SecretUnavailable = "secret_unavailable", 502: "a secret that the call needs cannot be had.";
    IdempotencyInProgress = "idempotency_in_progress", 409: "the first call of this key still runs.";
    IdempotencyMismatch = "idempotency_mismatch", 422: "the key was used with another body.";
    OutcomeUnknown = "outcome_unknown", 409: "a node died half way through; `last_step` tells how far it got.";
    OutcomeRefused = "outcome_refused", 502: "the call was made, and its outcome cannot be stored.";
    JobFinished = "job_finished", 409: "the job has ended.";
    AlreadyExists = "already_exists", 409: "the name is taken.";
    PreconditionFailed = "precondition_failed", 412: "it was changed meanwhile: `If-Match` is of another version.";
    NothingToRollBack = "nothing_to_roll_back", 409: "no version was active before.";
    LastAdmin = "last_admin", 409: "the workspace would be left without an admin.";
    NoInstallKey = "no_install_key", 409: "the install has no key of its own to rotate.";
    KeyUnavailable = "key_unavailable", 409: "the install's key file cannot be read or written; its log says why.";
    RotationRunning = "rotation_running", 409: "the install's key is being rotated already.";
    WrongEnvironment = "wrong_environment", 422: "the workspace's name ends in another environment than the install's.";
    RouteTaken = "route_taken", 409: "another workspace holds this webhook route.";
    RouteNotFound = "route_not_found", 404: "no workspace has a route for this webhook.";
    SignatureInvalid = "signature_invalid", 401: "the webhook's signature is wrong or too old.";
    Unavailable = "unavailable", 503: "the service cannot do it now.";
    Internal = "internal", 500: "the service's own fault; the trace names it in its logs.";
}

impl ErrorCode {
    /// Whether the same request, under the same idempotency key, may go well later. Everything else has to be changed first, or
    /// is final.
    ///
    /// Without a key, look at [`may_have_happened`](Self::may_have_happened) before you ask again.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        matches!(
            self,
            Self::RateLimited
                | Self::ConcurrencyLimited
                | Self::BreakerOpen
                | Self::Timeout
                | Self::UpstreamFailed
                | Self::UpstreamUnreachable
                | Self::SecretUnavailable
                | Self::IdempotencyInProgress
                | Self::RequestTimeout
                | Self::Unavailable
                | Self::Internal
        )
    }

    /// Whether what was asked may have been done, wholly or in part, though it is told as a failure.
    #[must_use]
    pub const fn may_have_happened(&self) -> bool {
        matches!(
            self,
            Self::Timeout
                | Self::UpstreamFailed
                | Self::OutcomeUnknown
                | Self::OutcomeRefused
                | Self::IdempotencyInProgress
                | Self::Unavailable
                | Self::Internal
                | Self::Other(_)
        )
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_keeps_its_spelling_known_or_not() {
        for code in ErrorCode::KNOWN {
            assert_eq!(&ErrorCode::from(code.as_str()), code);
            assert!(code.status().is_some_and(|status| status.is_client_error() || status.is_server_error()), "{code}");
        }
        assert_eq!(ErrorCode::from("of_tomorrow"), ErrorCode::Other("of_tomorrow".to_owned()));
        assert_eq!(ErrorCode::from("of_tomorrow").to_string(), "of_tomorrow");
    }

    #[test]
    fn what_asks_to_come_again_is_retryable() {
        for code in ErrorCode::KNOWN {
            let asks = code.status().is_some_and(|status| matches!(status.as_u16(), 408 | 429 | 500 | 503 | 504));
            assert!(!asks || code.is_retryable(), "{code}");
        }
        for code in [ErrorCode::UpstreamRejected, ErrorCode::OutcomeUnknown, ErrorCode::InvalidInput] {
            assert!(!code.is_retryable(), "{code}");
        }
    }
}
