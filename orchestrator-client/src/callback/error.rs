//! Why a callback is not believed or not understood.

/// Why a callback is not believed or not understood.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallbackError {
    /// A header that the signature needs is absent, double or not well formed.
    #[error("the header {0} is absent, double or not well formed")]
    Header(&'static str),
    /// There are more signatures than any sender needs.
    #[error("too many signatures")]
    TooManySignatures,
    /// The timestamp is too far from now: stale, replayed, or a clock is wrong.
    #[error("the timestamp is too far from now")]
    Timestamp,
    /// No signature holds with any of the secrets.
    #[error("no signature holds")]
    Signature,
    /// The signature holds, but the body is not what was expected.
    #[error("the body is not the expected callback")]
    Body(#[source] serde_json::Error),
    /// A secret that is not one.
    #[error("not a callback secret: `whsec_` and base64")]
    Secret,
}

impl CallbackError {
    /// Whether the sender could not prove itself, rather than that it said something odd.
    #[must_use]
    pub const fn is_unauthentic(&self) -> bool {
        !matches!(self, Self::Body(_))
    }
}
