//! What a port can answer besides yes: not found and conflict are values of each method; what remains is here.

use std::error::Error;

/// A store that did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The store does not answer now; the same call may be made again.
    #[error("the store is not available")]
    Unavailable(#[source] Box<dyn Error + Send + Sync>),
    /// The store refuses this very row (too large, a constraint); strangers in the same batch went through.
    #[error("the store refuses this: {0}")]
    Refused(String),
    /// What is stored cannot be read: written by a newer version, or damaged.
    #[error("what is stored cannot be read: {0}")]
    Corrupt(String),
}

impl StoreError {
    /// A store that does not answer, because of `source`.
    pub fn unavailable(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Unavailable(source.into())
    }
}
