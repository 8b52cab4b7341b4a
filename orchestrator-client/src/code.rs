//! The stable codes of problem documents, as a type to match on.

use std::fmt;

macro_rules! codes {
    ($($variant:ident = $text:literal: $doc:literal),+ $(,)?) => {
        /// What went wrong, as the server names it. New codes may appear; they come as [`ErrorCode::Other`].
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum ErrorCode {
            $(#[doc = concat!("`", $text, "`: ", $doc)] $variant,)+
            /// A code that this version of the client has no name for.
            Other(String),
        }

        impl ErrorCode {
            /// As it is spelled on the wire.
            #[must_use]
            pub fn as_str(&self) -> &str {
                match self { $(Self::$variant => $text,)+ Self::Other(text) => text }
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
    Unauthenticated = "unauthenticated": "no token, or one that is not accepted.",
    Forbidden = "forbidden": "the scope or role does not allow it.",
    ImpersonationRequired = "impersonation_required": "operators come through the console here.",
    WorkspaceSuspended = "workspace_suspended": "the workspace is not served at present.",
    ConnectorNotFound = "connector_not_found": "the workspace has no such connector.",
    OperationNotFound = "operation_not_found": "the connector's kind has no such operation.",
    InvalidInput = "invalid_input": "the input does not fit the operation; `errors` points into it.",
    RateLimited = "rate_limited": "over the rate limit of the workspace or connector.",
    ConcurrencyLimited = "concurrency_limited": "too many calls in flight, and the queue is full.",
    BreakerOpen = "breaker_open": "the upstream fails; nothing was sent.",
    Timeout = "timeout": "no answer within the attempt's or the total deadline.",
    UpstreamRejected = "upstream_rejected": "the upstream's final answer, which must not be retried.",
    UpstreamFailed = "upstream_failed": "the upstream still failed after the retries.",
    UpstreamUnreachable = "upstream_unreachable": "no connection to the upstream.",
    DestinationForbidden = "destination_forbidden": "the address is not allowed by the install.",
    IdempotencyInProgress = "idempotency_in_progress": "the first call of this key still runs.",
    IdempotencyMismatch = "idempotency_mismatch": "the key was used with another body.",
    OutcomeUnknown = "outcome_unknown": "a node died half way through; `last_step` tells how far it got.",
    WrongEnvironment = "wrong_environment": "the workspace's name ends in another environment than the install's.",
    RouteTaken = "route_taken": "another workspace holds this webhook route.",
    RouteNotFound = "route_not_found": "no workspace has a route for this webhook.",
    SignatureInvalid = "signature_invalid": "the webhook's signature is wrong or too old.",
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
        assert_eq!(ErrorCode::from("breaker_open"), ErrorCode::BreakerOpen);
        assert_eq!(ErrorCode::from("breaker_open").as_str(), "breaker_open");
        assert_eq!(ErrorCode::from("of_tomorrow"), ErrorCode::Other("of_tomorrow".to_owned()));
        assert_eq!(ErrorCode::from("of_tomorrow").to_string(), "of_tomorrow");
    }
}
