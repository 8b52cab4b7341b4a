//! Envelope encryption: the install's key wraps a data key a workspace, and the data key seals what the workspace keeps.
//!
//! One rule: what a ciphertext belongs to is associated data. Moved to another row, workspace, environment or use, it
//! does not open. Keys are named in what they sealed, so that no key is ever tried on a guess.

mod aad;
mod data;
mod frames;
mod key;
mod ring;

#[cfg(test)]
mod tests;

pub use data::{DataKey, SealContext, Sealed};
pub use frames::{FRAME, FRAME_OVERHEAD, PayloadCipher, PayloadSeal, frames, sealed_size};
pub use key::{InstallKey, KeyError, KeyId};
pub use ring::{InstallSealed, KeyRing, WrappedKey};

/// Why something does not seal or open. Says nothing of what it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The key that sealed it is not at hand.
    #[error("the key that sealed this is not at hand")]
    UnknownKey,
    /// It was altered, or belongs elsewhere.
    #[error("this does not open here")]
    Refused,
    /// It is longer or shorter than anything sealed here, or of a later format.
    #[error("this is nothing that was sealed here")]
    Malformed,
    /// The system's random numbers or the cipher failed.
    #[error("the cipher failed")]
    Cipher,
}

impl SealError {
    /// The cause in one word: a metric's label.
    #[must_use]
    pub fn cause(self) -> &'static str {
        match self {
            Self::UnknownKey => "unknown_key",
            Self::Refused => "refused",
            Self::Malformed => "malformed",
            Self::Cipher => "cipher",
        }
    }
}
