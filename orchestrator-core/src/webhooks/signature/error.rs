//! Why a webhook is refused.

use super::BodyError;
use crate::callback::signing::SigningError;

/// Why a signature is refused. It always reads the same, so that a sender learns nothing from it; the cause is for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the signature is missing, stale or does not verify")]
pub enum SignatureError {
    /// A header that the scheme needs is not there.
    Missing,
    /// A header, or a part of it that must stand once, stands twice.
    Repeated,
    /// A header is longer than any real one.
    TooLong,
    /// A header is not of the scheme's form.
    Malformed,
    /// There are more than sixteen signatures.
    TooMany,
    /// It was signed more than 300 seconds ago.
    Stale,
    /// It was signed more than 300 seconds ahead of our time.
    Early,
    /// The route has no usable secret.
    NoSecret,
    /// The route's settings are not the provider's.
    Settings,
    /// No signature is that of these bytes under any secret.
    Mismatch,
}

impl SignatureError {
    /// The cause in one word: a metric's label.
    #[must_use]
    pub fn cause(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Repeated => "repeated",
            Self::TooLong => "too_long",
            Self::Malformed => "malformed",
            Self::TooMany => "too_many",
            Self::Stale => "stale",
            Self::Early => "early",
            Self::NoSecret => "no_secret",
            Self::Settings => "settings",
            Self::Mismatch => "mismatch",
        }
    }
}

/// Why a webhook does not say what it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// Its body cannot be read.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// It has no id, so that a repetition could not be told from it.
    #[error("the event has no id where its provider puts it")]
    NoId,
    /// An id, type or account is no text of 1 to 255 characters without control characters.
    #[error("the event's id, type or account is not a text of 1 to 255 characters")]
    Malformed,
    /// It carries several events in one body.
    #[error("the request carries several events: they are taken one a request")]
    Several,
    /// The route's settings are not the provider's.
    #[error("the route's settings do not fit its provider")]
    Settings,
}

/// Why a fixture cannot be signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FixtureError {
    /// The secret or the id is of another form than the scheme's.
    #[error(transparent)]
    Signing(#[from] SigningError),
    /// The settings are not the provider's.
    #[error("the settings do not fit the provider")]
    Settings,
    /// The body is none of the provider's, and its signature would stand in it.
    #[error("the body is not of the provider's form")]
    Body,
}
