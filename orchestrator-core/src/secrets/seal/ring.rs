//! The key ring: the install's current key, and the older ones that still open.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use data_encoding::BASE64;
use orchestrator_types::{Environment, WorkspaceId};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::{Zeroize, Zeroizing};

use super::aad::{Domain, encode};
use super::{DataKey, InstallKey, KeyId, SealError};

const TAG: usize = 16;

/// A data key as it is stored: which install key wrapped it, and the wrapped bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrappedKey {
    /// The install key that wrapped it.
    pub key_id: KeyId,
    /// Nonce, ciphertext and tag.
    #[serde(with = "base64")]
    pub bytes: Vec<u8>,
}

/// A value of the install itself, as a signing key, sealed by the install's key directly.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstallSealed {
    /// The install key that sealed it.
    pub key_id: KeyId,
    /// Nonce, ciphertext and tag.
    #[serde(with = "base64")]
    pub bytes: Vec<u8>,
}

/// The keys of the install: the current one seals, every one opens.
///
/// To rotate without a gap, every node gets the new key among the older ones first; then it becomes the current one; then
/// what the old one sealed is sealed again ([`KeyRing::rewrap`], [`KeyRing::reseal_install`]); and only when nothing of it
/// is left ([`KeyRing::missing`]) the old one goes.
pub struct KeyRing {
    current: InstallKey,
    older: Vec<InstallKey>,
}

impl KeyRing {
    /// A ring of these keys. An older key that is also the current one counts once.
    #[must_use]
    pub fn new(current: InstallKey, mut older: Vec<InstallKey>) -> Self {
        older.retain(|key| key.id() != current.id());
        Self { current, older }
    }

    /// This ring, and every key of `other` that it lacks among those that only open.
    #[must_use]
    pub fn joined(mut self, other: &Self) -> Self {
        let lacking: Vec<InstallKey> =
            other.keys().filter(|key| self.find(key.id()).is_err()).map(InstallKey::copied).collect();
        self.older.extend(lacking);
        self
    }

    /// The same keys, sealing with this one; `None` if it is not among them.
    #[must_use]
    pub fn sealing_with(&self, id: KeyId) -> Option<Self> {
        let current = self.find(id).ok()?.copied();
        Some(Self::new(current, self.keys().map(InstallKey::copied).collect()))
    }

    /// Whether a key is in it.
    #[must_use]
    pub fn has(&self, id: KeyId) -> bool {
        self.find(id).is_ok()
    }

    /// The name of the key that seals.
    #[must_use]
    pub fn current(&self) -> KeyId {
        self.current.id()
    }

    /// The names of the keys that open, the current one first.
    pub fn key_ids(&self) -> impl Iterator<Item = KeyId> {
        self.keys().map(InstallKey::id)
    }

    /// Which of the keys in use are not in the ring. A start or a removal that leaves any is to be refused.
    pub fn missing(&self, in_use: impl IntoIterator<Item = KeyId>) -> Vec<KeyId> {
        in_use.into_iter().filter(|id| self.find(*id).is_err()).collect()
    }

    /// Wraps a workspace's data key with the current key.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn wrap(
        &self,
        key: &DataKey,
        environment: &Environment,
        workspace: &WorkspaceId,
    ) -> Result<WrappedKey, SealError> {
        let (key_id, bytes) = self.close(&key_aad(environment, workspace), key.expose())?;
        Ok(WrappedKey { key_id, bytes })
    }

    /// Opens a workspace's data key.
    ///
    /// # Errors
    /// The key that wrapped it is not in the ring; or it was altered, or is that of another workspace or environment.
    pub fn unwrap(
        &self,
        wrapped: &WrappedKey,
        environment: &Environment,
        workspace: &WorkspaceId,
    ) -> Result<DataKey, SealError> {
        let plain = self.disclose(wrapped.key_id, &key_aad(environment, workspace), &wrapped.bytes)?;
        DataKey::from_plain(&plain)
    }

    /// Wraps a data key again if an older key wrapped it; `None` if the current one did.
    ///
    /// # Errors
    /// As [`KeyRing::unwrap`].
    pub fn rewrap(
        &self,
        wrapped: &WrappedKey,
        environment: &Environment,
        workspace: &WorkspaceId,
    ) -> Result<Option<WrappedKey>, SealError> {
        if wrapped.key_id == self.current() {
            return Ok(None);
        }
        let key = self.unwrap(wrapped, environment, workspace)?;
        self.wrap(&key, environment, workspace).map(Some)
    }

    /// Seals a value of the install, as a signing key, under its name.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn seal_install(
        &self,
        environment: &Environment,
        name: &str,
        plaintext: &[u8],
    ) -> Result<InstallSealed, SealError> {
        let (key_id, bytes) = self.close(&install_aad(environment, name), plaintext)?;
        Ok(InstallSealed { key_id, bytes })
    }

    /// Opens a value of the install. The result is wiped when dropped.
    ///
    /// # Errors
    /// The key that sealed it is not in the ring; or it was altered, or has another name or environment.
    pub fn open_install(
        &self,
        environment: &Environment,
        name: &str,
        sealed: &InstallSealed,
    ) -> Result<Zeroizing<Vec<u8>>, SealError> {
        self.disclose(sealed.key_id, &install_aad(environment, name), &sealed.bytes)
    }

    /// Seals a value of the install again if an older key sealed it; `None` if the current one did.
    ///
    /// # Errors
    /// As [`KeyRing::open_install`].
    pub fn reseal_install(
        &self,
        environment: &Environment,
        name: &str,
        sealed: &InstallSealed,
    ) -> Result<Option<InstallSealed>, SealError> {
        if sealed.key_id == self.current() {
            return Ok(None);
        }
        let plain = self.open_install(environment, name, sealed)?;
        self.seal_install(environment, name, &plain).map(Some)
    }

    fn keys(&self) -> impl Iterator<Item = &InstallKey> {
        std::iter::once(&self.current).chain(&self.older)
    }

    fn find(&self, id: KeyId) -> Result<&InstallKey, SealError> {
        self.keys().find(|key| key.id() == id).ok_or(SealError::UnknownKey)
    }

    fn close(&self, aad: &[u8], plaintext: &[u8]) -> Result<(KeyId, Vec<u8>), SealError> {
        let cipher = cipher(&self.current)?;
        // Room for all of it at once: a buffer that grew would leave the plaintext behind in freed memory.
        let mut out = Vec::with_capacity(NONCE_LEN + plaintext.len() + TAG);
        out.extend_from_slice(&[0; NONCE_LEN]);
        out.extend_from_slice(plaintext);
        let (head, body) = out.split_at_mut(NONCE_LEN);
        match cipher.seal_in_place_separate_tag(Aad::from(aad), body) {
            Ok((nonce, tag)) => {
                head.copy_from_slice(nonce.as_ref());
                out.extend_from_slice(tag.as_ref());
                Ok((self.current.id(), out))
            }
            Err(_) => {
                out.zeroize();
                Err(SealError::Cipher)
            }
        }
    }

    fn disclose(&self, id: KeyId, aad: &[u8], bytes: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let key = self.find(id)?;
        let (nonce, body) = bytes.split_at_checked(NONCE_LEN).ok_or(SealError::Malformed)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| SealError::Malformed)?;
        let mut plain = Zeroizing::new(body.to_vec());
        let opened = cipher(key)?.open_in_place(nonce, Aad::from(aad), &mut plain);
        let length = opened.map_err(|_| SealError::Refused)?.len();
        plain.truncate(length);
        Ok(plain)
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_list().entries(self.key_ids()).finish()
    }
}

fn cipher(key: &InstallKey) -> Result<RandomizedNonceKey, SealError> {
    RandomizedNonceKey::new(&AES_256_GCM_SIV, key.expose()).map_err(|_| SealError::Cipher)
}

fn key_aad(environment: &Environment, workspace: &WorkspaceId) -> Vec<u8> {
    encode(Domain::DataKey, &[environment.as_str().as_bytes(), workspace.as_str().as_bytes()])
}

fn install_aad(environment: &Environment, name: &str) -> Vec<u8> {
    encode(Domain::Install, &[environment.as_str().as_bytes(), name.as_bytes()])
}

/// Bytes in JSON, as base64.
mod base64 {
    use super::{BASE64, Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        BASE64.decode(text.as_bytes()).map_err(|_| serde::de::Error::custom("not base64"))
    }
}
