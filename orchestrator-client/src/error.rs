//! Why a call has no result.

use std::fmt;
use std::ops::Deref;
use std::time::Duration;

use http::StatusCode;
use orchestrator_types::{JobView, Problem};

use crate::code::ErrorCode;
use crate::token::TokenError;
use crate::transport::BoxError;

/// Why a call has no result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The server refused or failed, and said why.
    #[error("{}: {} (HTTP {})", .0.code, .0.detail, .0.status)]
    Problem(Box<ProblemAnswer>),
    /// An error answer that is no problem document: something between the client and the server answered.
    #[error("HTTP {status} without a problem document")]
    Status {
        /// The status.
        status: StatusCode,
        /// The beginning of the body, as text.
        excerpt: String,
        /// How long it asked to be left alone.
        retry_after: Option<Duration>,
    },
    /// No answer, or only a part of one. Whether the server acted on the call is not known, unless the connection failed.
    #[error("no answer from the server")]
    Transport(#[source] TransportError),
    /// The answer is larger than the client was built to take.
    #[error("the answer is larger than {limit} bytes")]
    TooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
    /// The answer is not what was expected. The source is left out where the answer holds a secret.
    #[error("the answer is not a well-formed {what}")]
    Decode {
        /// The type that was expected.
        what: &'static str,
        /// Where it does not fit.
        #[source]
        source: Option<serde_json::Error>,
    },
    /// The request cannot be written as JSON.
    #[error("the request cannot be written as JSON")]
    Encode(#[source] serde_json::Error),
    /// There is no token to call with.
    #[error("no token to call with")]
    Token(#[from] TokenError),
    /// The client's settings or an argument cannot work; nothing was sent.
    #[error("{0}")]
    Invalid(&'static str),
    /// The job had not ended when the time to wait for it was over; it goes on.
    #[error("job {} is still {}", .0.id, .0.status.as_str())]
    NotFinished(Box<JobView>),
}

impl Error {
    /// The server's code, if it gave one.
    #[must_use]
    pub fn code(&self) -> Option<ErrorCode> {
        self.problem().map(|problem| ErrorCode::from(problem.code.as_str()))
    }

    /// The HTTP status of an error answer.
    #[must_use]
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Problem(answer) => StatusCode::from_u16(answer.status).ok(),
            Self::Status { status, .. } => Some(*status),
            Self::Token(TokenError::Endpoint(source)) => source.status(),
            _ => None,
        }
    }

    /// The problem document, if the server gave one.
    #[must_use]
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Problem(answer) => Some(&answer.problem),
            Self::Token(TokenError::Endpoint(source)) => source.problem(),
            _ => None,
        }
    }

    /// How long the server asked to be left alone, if it did.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Problem(answer) => answer.retry_after,
            Self::Status { retry_after, .. } => *retry_after,
            Self::Token(TokenError::Endpoint(source)) => source.retry_after(),
            _ => None,
        }
    }

    /// Whether the same call, under the same idempotency key, may go well later, and is worth another try: by its code where
    /// there is one. The client has made its own tries already.
    ///
    /// Without a key, look at [`may_have_happened`](Self::may_have_happened) before you ask again.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self.code() {
            Some(ErrorCode::Other(_)) | None => self.is_transient(),
            Some(code) => code.is_retryable(),
        }
    }

    /// Whether what was asked may have been done, though there is no good answer.
    #[must_use]
    pub fn may_have_happened(&self) -> bool {
        match self {
            Self::Transport(problem) => !problem.is_connect(),
            Self::TooLarge { .. } | Self::Decode { .. } => true,
            Self::Encode(_) | Self::Token(_) | Self::Invalid(_) | Self::NotFinished(_) => false,
            Self::Status { status, .. } => status.is_server_error(),
            Self::Problem(problem) => ErrorCode::from(problem.code.as_str()).may_have_happened(),
        }
    }

    /// Whether the same may go well later: no answer, 408, 429, or the server's side failed.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Transport(_) => true,
            Self::Token(TokenError::Endpoint(source)) => source.is_transient(),
            _ => self.status().is_some_and(|status| {
                status.is_server_error()
                    || status == StatusCode::TOO_MANY_REQUESTS
                    || status == StatusCode::REQUEST_TIMEOUT
            }),
        }
    }
}

/// A problem document, and what its headers told. It reads like the document itself.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ProblemAnswer {
    /// The document. Its `status` is that of the answer.
    pub problem: Problem,
    /// `Retry-After`.
    pub retry_after: Option<Duration>,
}

impl Deref for ProblemAnswer {
    type Target = Problem;

    fn deref(&self) -> &Problem {
        &self.problem
    }
}

/// How the connection failed.
#[derive(Debug)]
pub struct TransportError(Failure);

#[derive(Debug)]
enum Failure {
    Service(BoxError),
    Silent(Duration),
}

impl TransportError {
    #[cfg(feature = "blocking")]
    pub(crate) fn of(source: impl Into<BoxError>) -> Self {
        Self(Failure::Service(source.into()))
    }

    pub(crate) fn silent(after: Duration) -> Self {
        Self(Failure::Silent(after))
    }

    /// Whether the time was over.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        matches!(&self.0, Failure::Silent(_)) || self.http().is_some_and(reqwest::Error::is_timeout)
    }

    /// Whether no connection came about, so that nothing was sent.
    #[must_use]
    pub fn is_connect(&self) -> bool {
        self.http().is_some_and(reqwest::Error::is_connect)
    }

    /// The error of a layer of the caller's own, or of the connection.
    #[must_use]
    pub fn get_ref(&self) -> Option<&(dyn std::error::Error + Send + Sync + 'static)> {
        match &self.0 {
            Failure::Service(source) => Some(source.as_ref()),
            Failure::Silent(_) => None,
        }
    }

    /// What the connection says, under whatever layers have put over it.
    fn http(&self) -> Option<&reqwest::Error> {
        let mut error = self.get_ref().map(|error| error as &(dyn std::error::Error + 'static));
        while let Some(source) = error {
            if let Some(http) = source.downcast_ref() {
                return Some(http);
            }
            error = source.source();
        }
        None
    }
}

impl fmt::Display for TransportError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Failure::Service(source) => fmt::Display::fmt(source, out),
            Failure::Silent(after) => write!(out, "nothing was heard for {} ms", after.as_millis()),
        }
    }
}

impl std::error::Error for TransportError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.0 {
            Failure::Service(source) => source.source(),
            Failure::Silent(_) => None,
        }
    }
}

impl From<BoxError> for Error {
    fn from(source: BoxError) -> Self {
        Self::Transport(TransportError(Failure::Service(source)))
    }
}
