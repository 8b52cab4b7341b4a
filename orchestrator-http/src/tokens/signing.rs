//! The install's own keys: one signs, older ones verify until their last token has expired.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use data_encoding::BASE64URL_NOPAD;
use jsonwebtoken::{DecodingKey, EncodingKey};
use orchestrator_types::Timestamp;

/// Why a key is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The bytes are no Ed25519 key in PKCS#8.
    #[error("not an Ed25519 key in PKCS#8")]
    Malformed,
    /// The system gave no randomness.
    #[error("no key could be generated")]
    Generate,
    /// Two keys are the same.
    #[error("the same key is given twice")]
    Twice,
}

/// A private key that signs tokens (Ed25519). Printing it prints its id.
pub struct SigningKey {
    kid: String,
    public: [u8; 32],
    encoding: EncodingKey,
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "SigningKey({})", self.kid)
    }
}

impl SigningKey {
    /// A new key.
    ///
    /// # Errors
    /// The system gave no randomness.
    pub fn generate() -> Result<Self, KeyError> {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(|_| KeyError::Generate)?;
        Self::from_pkcs8(document.as_ref())
    }

    /// The key that [`pkcs8`](Self::pkcs8) once gave out.
    ///
    /// # Errors
    /// The bytes are something else.
    pub fn from_pkcs8(bytes: &[u8]) -> Result<Self, KeyError> {
        let pair = Ed25519KeyPair::from_pkcs8(bytes).map_err(|_| KeyError::Malformed)?;
        let public: [u8; 32] = pair.public_key().as_ref().try_into().map_err(|_| KeyError::Malformed)?;
        Ok(Self { kid: thumbprint(&public), public, encoding: EncodingKey::from_ed_der(bytes) })
    }

    /// The private key, to be sealed and stored.
    #[must_use]
    pub fn pkcs8(&self) -> &[u8] {
        self.encoding.as_bytes()
    }

    /// Its id: the first 96 bits of its thumbprint (RFC 7638).
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.kid
    }

    pub(super) fn encoding(&self) -> &EncodingKey {
        &self.encoding
    }

    pub(super) fn decoding(&self) -> DecodingKey {
        DecodingKey::from_ed_der(&self.public)
    }

    /// Its public part, as a key set shows it.
    pub(super) fn public_x(&self) -> String {
        BASE64URL_NOPAD.encode(&self.public)
    }
}

fn thumbprint(public: &[u8]) -> String {
    let canonical = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, BASE64URL_NOPAD.encode(public));
    BASE64URL_NOPAD.encode(&digest(&SHA256, canonical.as_bytes()).as_ref()[..12])
}

/// A key that signs no more, and verifies until its last token has expired.
#[derive(Debug)]
pub struct OlderKey {
    /// The key.
    pub key: SigningKey,
    /// When its last token has expired: an hour after it signed last.
    pub until: Timestamp,
}

/// All of the install's own keys.
#[derive(Debug)]
pub struct SigningKeys {
    /// The one that signs.
    pub current: SigningKey,
    /// Those that only verify.
    pub older: Vec<OlderKey>,
}

impl SigningKeys {
    /// One key, and none older.
    #[must_use]
    pub fn of(current: SigningKey) -> Self {
        Self { current, older: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_key_survives_being_stored_and_keeps_its_id() {
        let key = SigningKey::generate().unwrap();
        let again = SigningKey::from_pkcs8(key.pkcs8()).unwrap();
        assert_eq!((again.kid(), again.public), (key.kid(), key.public));
        assert_eq!(key.kid().len(), 16);
        assert!(!format!("{key:?}").contains(&key.public_x()));
        assert_ne!(SigningKey::generate().unwrap().kid(), key.kid());
    }

    #[test]
    fn bytes_that_are_no_key_are_refused() {
        for bytes in [&b""[..], b"0", &[0x30; 83]] {
            assert_eq!(SigningKey::from_pkcs8(bytes).err(), Some(KeyError::Malformed));
        }
    }
}
