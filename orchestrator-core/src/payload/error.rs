//! Why a payload is not read or written.

use super::port::{Broken, ObjectError};
use crate::connector::{CallError, CallErrorKind, Sent};
use crate::error::Error;
use crate::store::StoreError;

/// Why a payload is not read or written. The message is for the caller: it names neither a backend nor a place.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PayloadError {
    /// This workspace has no such payload.
    #[error("there is no such payload")]
    NotFound,
    /// Its bytes are gone, or are not those that were stored.
    #[error("the payload is lost: its bytes are gone or damaged")]
    Lost,
    /// It is larger than may be stored or read.
    #[error("the payload has more than {max} bytes")]
    TooLarge {
        /// What is the most.
        max: u64,
    },
    /// What was to be stored broke off.
    #[error("the payload broke off")]
    Source(#[source] Broken),
    /// The store, its key or the backend does not answer.
    #[error("payloads cannot be had now: try again")]
    Unavailable(#[source] Broken),
}

impl PayloadError {
    pub(crate) fn none() -> Self {
        Self::unavailable("this install stores no payloads")
    }

    pub(super) fn unavailable(source: impl Into<Broken>) -> Self {
        Self::Unavailable(source.into())
    }
}

impl From<ObjectError> for PayloadError {
    fn from(error: ObjectError) -> Self {
        match error {
            ObjectError::NotFound => Self::Lost,
            // The writer's own errors come back out of the backend that read from it.
            ObjectError::Source(source) => match source.downcast::<Self>() {
                Ok(own) => *own,
                Err(source) => Self::Source(source),
            },
            other => Self::unavailable(other),
        }
    }
}

impl From<StoreError> for PayloadError {
    fn from(error: StoreError) -> Self {
        Self::unavailable(error)
    }
}

impl From<PayloadError> for Error {
    fn from(error: PayloadError) -> Self {
        match error {
            PayloadError::NotFound => Self::not_found("payload"),
            PayloadError::Lost => Self::PayloadLost,
            PayloadError::TooLarge { max } => Self::TooLarge { max },
            PayloadError::Source(_) => Self::invalid("", "the body broke off"),
            PayloadError::Unavailable(source) => Self::Unavailable(StoreError::Unavailable(source)),
        }
    }
}

/// A connector that reads or writes a payload may answer this as its own outcome. Nothing had been sent.
impl From<PayloadError> for CallError {
    fn from(error: PayloadError) -> Self {
        let kind = match &error {
            PayloadError::NotFound | PayloadError::Lost => CallErrorKind::PayloadLost,
            PayloadError::TooLarge { .. } => CallErrorKind::Rejected,
            PayloadError::Source(_) | PayloadError::Unavailable(_) => CallErrorKind::Failed,
        };
        CallError::new(kind, Sent::No, error.to_string())
    }
}
