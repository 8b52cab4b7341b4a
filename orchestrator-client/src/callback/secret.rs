//! A signing secret. It cannot be printed.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::hmac;
use data_encoding::BASE64;

use super::error::CallbackError;

/// A Standard Webhooks secret: `whsec_` and base64. It cannot be printed.
#[derive(Clone)]
pub struct CallbackSecret(hmac::Key);

impl CallbackSecret {
    /// This secret's signature over `content`.
    #[cfg(feature = "mock")]
    pub(crate) fn sign(&self, content: &[u8]) -> hmac::Tag {
        hmac::sign(&self.0, content)
    }

    /// Whether `signature` is this secret's over `content`; takes the same time wherever they differ.
    pub(super) fn signed(&self, content: &[u8], signature: &[u8]) -> bool {
        hmac::verify(&self.0, content, signature).is_ok()
    }
}

impl FromStr for CallbackSecret {
    type Err = CallbackError;

    fn from_str(text: &str) -> Result<Self, CallbackError> {
        let encoded = text.strip_prefix("whsec_").unwrap_or(text);
        let key = BASE64.decode(encoded.as_bytes()).ok().filter(|key| !key.is_empty()).ok_or(CallbackError::Secret)?;
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, &key)))
    }
}

impl fmt::Debug for CallbackSecret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("CallbackSecret([redacted])")
    }
}
