//! A secret value.

use std::fmt;
use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};

/// A secret: printing it prints `[redacted]`; its memory is wiped when the last copy goes.
#[derive(Clone)]
pub struct Secret(Arc<SecretString>);

impl Secret {
    /// Takes the text over.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Arc::new(SecretString::from(text)))
    }

    /// The text. Name the place where it goes: it must not be one that keeps or shows it.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("[redacted]")
    }
}

/// Why a secret cannot be had. Says nothing of its value or of where it lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// Nothing is there.
    #[error("the secret is missing")]
    Missing,
    /// Its source does not answer, or what is there does not open.
    #[error("the secret cannot be read now")]
    Unreachable,
}
