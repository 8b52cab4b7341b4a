//! The data key: one a workspace, and what it seals.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use data_encoding::BASE64;
use orchestrator_types::{Environment, Name, WorkspaceId};
use secrecy::{ExposeSecret, SecretBox};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

use super::SealError;
use super::aad::{Domain, encode};
use super::key::{ID_BYTES, KEY_BYTES, KeyId, boxed, random_key};
use crate::secrets::Secret;

const FORMAT: u8 = 1;
const HEADER: usize = 1 + ID_BYTES;
const TAG: usize = 16;
/// A sealed value is so much longer than what it seals.
const OVERHEAD: usize = HEADER + NONCE_LEN + TAG;

/// What a sealed secret belongs to. All of it must be the same when it is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SealContext<'a> {
    /// The install's environment.
    pub environment: &'a Environment,
    /// The workspace.
    pub workspace: &'a WorkspaceId,
    /// The secret's name.
    pub name: &'a Name,
    /// The secret's version.
    pub version: u64,
}

impl SealContext<'_> {
    fn aad(&self, header: &[u8]) -> Vec<u8> {
        let version = self.version.to_be_bytes();
        let fields: [&[u8]; 5] = [
            header,
            self.environment.as_str().as_bytes(),
            self.workspace.as_str().as_bytes(),
            self.name.as_str().as_bytes(),
            &version,
        ];
        encode(Domain::Secret, &fields)
    }
}

/// A sealed value: its format, the name of its key, a nonce, the ciphertext and its tag. In JSON it is base64.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Sealed(Vec<u8>);

impl Sealed {
    /// Takes stored bytes over.
    ///
    /// # Errors
    /// They are too short, or of a format that this build does not know.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, SealError> {
        if bytes.len() < OVERHEAD || bytes.first() != Some(&FORMAT) {
            return Err(SealError::Malformed);
        }
        Ok(Self(bytes))
    }

    /// The bytes to store.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The bytes to store.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// The name of the data key that sealed it.
    #[must_use]
    pub fn key_id(&self) -> KeyId {
        let mut id = [0; ID_BYTES];
        for (slot, byte) in id.iter_mut().zip(self.0.iter().skip(1)) {
            *slot = *byte;
        }
        KeyId::from_bytes(id)
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Sealed({} bytes by {})", self.0.len(), self.key_id())
    }
}

impl TryFrom<String> for Sealed {
    type Error = SealError;

    fn try_from(text: String) -> Result<Self, SealError> {
        BASE64.decode(text.as_bytes()).map_err(|_| SealError::Malformed).and_then(Self::from_bytes)
    }
}

impl From<Sealed> for String {
    fn from(sealed: Sealed) -> Self {
        BASE64.encode(&sealed.0)
    }
}

/// A workspace's key. Cannot be printed; its memory is wiped.
///
/// Nonces are drawn at random: draw a new data key before 2³² seals.
pub struct DataKey {
    bytes: SecretBox<[u8; KEY_BYTES]>,
    id: KeyId,
}

impl DataKey {
    /// A new random key.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn generate() -> Result<Self, SealError> {
        random_key().map(Self::from_box)
    }

    pub(super) fn from_plain(plain: &[u8]) -> Result<Self, SealError> {
        if plain.len() == KEY_BYTES { Ok(Self::from_box(boxed(plain))) } else { Err(SealError::Malformed) }
    }

    fn from_box(bytes: SecretBox<[u8; KEY_BYTES]>) -> Self {
        Self { id: KeyId::of(bytes.expose_secret()), bytes }
    }

    pub(super) fn expose(&self) -> &[u8; KEY_BYTES] {
        self.bytes.expose_secret()
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// Seals a secret's value for exactly this context.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn seal(&self, context: &SealContext<'_>, plaintext: &[u8]) -> Result<Sealed, SealError> {
        self.close(|header| context.aad(header), plaintext)
    }

    /// Opens what was sealed for exactly this context. The result is wiped when dropped.
    ///
    /// # Errors
    /// It was sealed by another key, altered, or sealed for another context.
    pub fn open(&self, context: &SealContext<'_>, sealed: &Sealed) -> Result<Zeroizing<Vec<u8>>, SealError> {
        self.disclose(|header| context.aad(header), sealed)
    }

    /// Opens a secret that is text.
    ///
    /// # Errors
    /// As [`DataKey::open`]; and it is no text.
    pub fn open_secret(&self, context: &SealContext<'_>, sealed: &Sealed) -> Result<Secret, SealError> {
        let plain = self.open(context, sealed)?;
        // Copied, so that the buffer is wiped whole.
        std::str::from_utf8(&plain).map(|text| Secret::new(text.to_owned())).map_err(|_| SealError::Malformed)
    }

    fn cipher(&self) -> Result<RandomizedNonceKey, SealError> {
        RandomizedNonceKey::new(&AES_256_GCM, self.expose()).map_err(|_| SealError::Cipher)
    }

    fn close(&self, aad: impl FnOnce(&[u8]) -> Vec<u8>, plaintext: &[u8]) -> Result<Sealed, SealError> {
        // Room for all of it at once: a buffer that grew would leave the plaintext behind in freed memory.
        let mut out = Vec::with_capacity(plaintext.len() + OVERHEAD);
        out.push(FORMAT);
        out.extend_from_slice(self.id.as_bytes());
        let aad = aad(&out);
        out.extend_from_slice(&[0; NONCE_LEN]);
        out.extend_from_slice(plaintext);
        let (head, body) = out.split_at_mut(HEADER + NONCE_LEN);
        let done = self
            .cipher()
            .and_then(|cipher| cipher.seal_in_place_separate_tag(Aad::from(aad), body).map_err(|_| SealError::Cipher));
        match done {
            Ok((nonce, tag)) => {
                head[HEADER..].copy_from_slice(nonce.as_ref());
                out.extend_from_slice(tag.as_ref());
                Ok(Sealed(out))
            }
            Err(failed) => {
                out.zeroize();
                Err(failed)
            }
        }
    }

    fn disclose(&self, aad: impl FnOnce(&[u8]) -> Vec<u8>, sealed: &Sealed) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let (header, rest) = sealed.0.split_at_checked(HEADER).ok_or(SealError::Malformed)?;
        let (nonce, body) = rest.split_at_checked(NONCE_LEN).ok_or(SealError::Malformed)?;
        if sealed.key_id() != self.id {
            return Err(SealError::UnknownKey);
        }
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| SealError::Malformed)?;
        let mut plain = Zeroizing::new(body.to_vec());
        let length = self
            .cipher()?
            .open_in_place(nonce, Aad::from(aad(header)), &mut plain)
            .map_err(|_| SealError::Refused)?
            .len();
        plain.truncate(length);
        Ok(plain)
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "DataKey({} [redacted])", self.id)
    }
}
