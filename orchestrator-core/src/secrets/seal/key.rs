//! The install's key: 32 bytes that live in a file outside the database.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::{hmac, rand};
use data_encoding::{BASE64, BASE64_NOPAD, HEXLOWER, HEXLOWER_PERMISSIVE};
use secrecy::{ExposeSecret, SecretBox};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::SealError;
use crate::secrets::Secret;

/// Bytes in each key.
pub(super) const KEY_BYTES: usize = 32;
/// Bytes in each key's name.
pub(super) const ID_BYTES: usize = 8;

/// The name of a key: a short hash of it. It tells nothing of the key, so it may be stored and shown.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct KeyId([u8; ID_BYTES]);

impl KeyId {
    pub(super) fn of(key: &[u8; KEY_BYTES]) -> Self {
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), b"orchestrator/key-id/1");
        let mut id = [0; ID_BYTES];
        for (slot, byte) in id.iter_mut().zip(tag.as_ref()) {
            *slot = *byte;
        }
        Self(id)
    }

    pub(super) const fn from_bytes(bytes: [u8; ID_BYTES]) -> Self {
        Self(bytes)
    }

    pub(super) const fn as_bytes(&self) -> &[u8; ID_BYTES] {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

impl FromStr for KeyId {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let bytes = HEXLOWER.decode(text.as_bytes()).map_err(|_| KeyError::Id)?;
        bytes.try_into().map(Self).map_err(|_| KeyError::Id)
    }
}

impl TryFrom<String> for KeyId {
    type Error = KeyError;

    fn try_from(text: String) -> Result<Self, KeyError> {
        text.parse()
    }
}

impl From<KeyId> for String {
    fn from(id: KeyId) -> Self {
        id.to_string()
    }
}

/// Why a text is no key. Shows nothing of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Neither base64 nor hex of 32 bytes.
    #[error("an install key is 32 bytes, written in base64 or in hex")]
    Malformed,
    /// All its bytes are alike.
    #[error("this install key is no random one: let one be generated")]
    Weak,
    /// Not the name of a key.
    #[error("a key's name is 16 characters of hex")]
    Id,
}

/// The key that wraps data keys. Cannot be printed; its memory is wiped.
pub struct InstallKey {
    bytes: SecretBox<[u8; KEY_BYTES]>,
    id: KeyId,
}

impl InstallKey {
    /// A new random key.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn generate() -> Result<Self, SealError> {
        random_key().map(|bytes| Self { id: KeyId::of(bytes.expose_secret()), bytes })
    }

    /// Reads the text of a key file: base64 or hex of 32 bytes, blanks around it ignored.
    ///
    /// # Errors
    /// The text is no such key, or one that was evidently not drawn at random.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let text = text.trim().as_bytes();
        let decoded = match text.len() {
            64 => HEXLOWER_PERMISSIVE.decode(text),
            44 => BASE64.decode(text),
            _ => BASE64_NOPAD.decode(text),
        };
        let decoded = Zeroizing::new(decoded.map_err(|_| KeyError::Malformed)?);
        if decoded.len() != KEY_BYTES {
            return Err(KeyError::Malformed);
        }
        if decoded.iter().all(|byte| Some(byte) == decoded.first()) {
            return Err(KeyError::Weak);
        }
        let bytes = boxed(&decoded);
        Ok(Self { id: KeyId::of(bytes.expose_secret()), bytes })
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// The key as the text of a key file: for the one who writes that file, and nobody else.
    #[must_use]
    pub fn to_file_text(&self) -> Secret {
        Secret::new(BASE64.encode(self.bytes.expose_secret()))
    }

    pub(super) fn expose(&self) -> &[u8; KEY_BYTES] {
        self.bytes.expose_secret()
    }

    pub(super) fn copied(&self) -> Self {
        Self { bytes: boxed(self.expose()), id: self.id }
    }
}

impl fmt::Debug for InstallKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "InstallKey({} [redacted])", self.id)
    }
}

/// Copies the first 32 bytes into a box that wipes itself.
pub(super) fn boxed(bytes: &[u8]) -> SecretBox<[u8; KEY_BYTES]> {
    SecretBox::init_with_mut(|key: &mut [u8; KEY_BYTES]| {
        for (slot, byte) in key.iter_mut().zip(bytes) {
            *slot = *byte;
        }
    })
}

pub(super) fn random_key() -> Result<SecretBox<[u8; KEY_BYTES]>, SealError> {
    let mut drawn = Ok(());
    let key = SecretBox::init_with_mut(|key: &mut [u8; KEY_BYTES]| drawn = rand::fill(key));
    drawn.map(|()| key).map_err(|_| SealError::Cipher)
}
