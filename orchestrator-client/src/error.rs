//! Why a call has no result.

use std::fmt;
use std::ops::Deref;
use std::time::Duration;

use http::StatusCode;
use orchestrator_types::{JobView, Problem};

use crate::code::ErrorCode;
use crate::token::TokenError;

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
    Http(reqwest::Error),
    Silent(Duration),
}

impl TransportError {
    pub(crate) fn silent(after: Duration) -> Self {
        Self(Failure::Silent(after))
    }

    /// Whether the time was over.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        match &self.0 {
            Failure::Http(source) => source.is_timeout(),
            Failure::Silent(_) => true,
        }
    }

    /// Whether no connection came about, so that nothing was sent.
    #[must_use]
    pub fn is_connect(&self) -> bool {
        matches!(&self.0, Failure::Http(source) if source.is_connect())
    }
}

impl fmt::Display for TransportError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Failure::Http(source) => fmt::Display::fmt(source, out),
            Failure::Silent(after) => write!(out, "nothing was heard for {} s", after.as_secs()),
        }
    }
}

impl std::error::Error for TransportError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.0 {
            Failure::Http(source) => source.source(),
            Failure::Silent(_) => None,
        }
    }
}

impl From<reqwest::Error> for Error {
    fn from(source: reqwest::Error) -> Self {
        Self::Transport(TransportError(Failure::Http(source)))
    }
}
