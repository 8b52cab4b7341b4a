//! Payloads, sealed in frames: a stream is sealed as it passes, and a part of it opens without the rest.
//!
//! Each payload has a key of its own, derived from the workspace's data key, a random salt, and what the payload belongs
//! to. Under it the frames are numbered, and the last one is marked: a frame that is left out, moved, cut off or taken
//! from elsewhere does not open.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::{hkdf, rand};
use bytes::{Bytes, BytesMut};
use orchestrator_types::{Environment, PayloadId, WorkspaceId};

use super::SealError;
use super::aad::{Domain, encode};
use super::data::DataKey;
use super::key::{ID_BYTES, KeyId};

/// Bytes of the payload in each frame but the last.
pub const FRAME: usize = 64 * 1024;
/// A sealed frame is so much longer.
pub const FRAME_OVERHEAD: usize = 16;

const FORMAT: u8 = 1;
const SALT: usize = 16;
const SEAL: usize = 1 + ID_BYTES + SALT;

/// How a payload was sealed: by which data key, and with what salt. Belongs into the payload's row; tells nothing secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PayloadSeal {
    key: KeyId,
    salt: [u8; SALT],
}

impl PayloadSeal {
    /// A new one, for one payload that this key is to seal.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn draw(key: &DataKey) -> Result<Self, SealError> {
        let mut salt = [0; SALT];
        rand::fill(&mut salt).map_err(|_| SealError::Cipher)?;
        Ok(Self { key: key.id(), salt })
    }

    /// The data key that sealed it.
    #[must_use]
    pub fn key_id(&self) -> KeyId {
        self.key
    }

    /// The bytes to store.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        [&[FORMAT][..], self.key.as_bytes(), &self.salt].concat()
    }

    /// Takes stored bytes over.
    ///
    /// # Errors
    /// They are of a format that this build does not know.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SealError> {
        if bytes.len() != SEAL || bytes.first() != Some(&FORMAT) {
            return Err(SealError::Malformed);
        }
        let (mut key, mut salt) = ([0; ID_BYTES], [0; SALT]);
        key.iter_mut().zip(bytes.iter().skip(1)).for_each(|(slot, byte)| *slot = *byte);
        salt.iter_mut().zip(bytes.iter().skip(1 + ID_BYTES)).for_each(|(slot, byte)| *slot = *byte);
        Ok(Self { key: KeyId::from_bytes(key), salt })
    }
}

/// How many frames a payload has. Also an empty one has a frame: it is marked as the last.
#[must_use]
pub fn frames(size: u64) -> u64 {
    size.div_ceil(FRAME as u64).max(1)
}

/// How long a payload is when it is sealed.
#[must_use]
pub fn sealed_size(size: u64) -> u64 {
    size.saturating_add(frames(size).saturating_mul(FRAME_OVERHEAD as u64))
}

/// The key of one payload. Its memory is the cipher's own.
pub struct PayloadCipher {
    key: LessSafeKey,
    aad: Vec<u8>,
}

impl PayloadCipher {
    /// The key of the payload that was, or is to be, sealed so.
    ///
    /// # Errors
    /// Another data key sealed it, or the cipher failed.
    pub fn new(
        data: &DataKey,
        seal: &PayloadSeal,
        environment: &Environment,
        workspace: &WorkspaceId,
        payload: PayloadId,
    ) -> Result<Self, SealError> {
        if seal.key != data.id() {
            return Err(SealError::UnknownKey);
        }
        let id = payload.bits().to_be_bytes();
        let fields: [&[u8]; 4] =
            [&seal.to_bytes(), environment.as_str().as_bytes(), workspace.as_str().as_bytes(), &id];
        let aad = encode(Domain::Payload, &fields);
        let derived = hkdf::Salt::new(hkdf::HKDF_SHA256, &seal.salt).extract(data.expose());
        let info = [aad.as_slice()];
        let okm = derived.expand(&info, &AES_256_GCM).map_err(|_| SealError::Cipher)?;
        Ok(Self { key: LessSafeKey::new(UnboundKey::from(okm)), aad })
    }

    /// Seals the frame of this number. No two frames of a payload may have the same.
    ///
    /// # Errors
    /// The cipher failed.
    pub fn seal(&self, number: u64, last: bool, mut frame: BytesMut) -> Result<Bytes, SealError> {
        let tag = self
            .key
            .seal_in_place_separate_tag(nonce(number, last), Aad::from(&self.aad), &mut frame)
            .map_err(|_| SealError::Cipher)?;
        frame.extend_from_slice(tag.as_ref());
        Ok(frame.freeze())
    }

    /// Opens the frame of this number.
    ///
    /// # Errors
    /// It was altered, has another number, is or is not the last, or belongs to another payload.
    pub fn open(&self, number: u64, last: bool, mut frame: BytesMut) -> Result<Bytes, SealError> {
        let opened = self.key.open_in_place(nonce(number, last), Aad::from(&self.aad), &mut frame);
        let length = opened.map_err(|_| SealError::Refused)?.len();
        frame.truncate(length);
        Ok(frame.freeze())
    }
}

fn nonce(number: u64, last: bool) -> Nonce {
    let mut bytes = [0; NONCE_LEN];
    let number = number.to_be_bytes();
    bytes.iter_mut().skip(3).zip(number).for_each(|(slot, byte)| *slot = byte);
    if let Some(mark) = bytes.last_mut() {
        *mark = u8::from(last);
    }
    Nonce::assume_unique_for_key(bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    struct Place(Environment, WorkspaceId, PayloadId);

    fn place(environment: &str, workspace: &str) -> Place {
        Place(environment.parse().unwrap(), workspace.parse().unwrap(), PayloadId::new())
    }

    fn cipher(key: &DataKey, seal: &PayloadSeal, at: &Place) -> PayloadCipher {
        PayloadCipher::new(key, seal, &at.0, &at.1, at.2).unwrap()
    }

    fn sealed(cipher: &PayloadCipher, frames: &[&[u8]]) -> Vec<BytesMut> {
        let last = frames.len() - 1;
        let seal =
            |(number, frame): (usize, &&[u8])| cipher.seal(number as u64, number == last, BytesMut::from(*frame));
        frames.iter().enumerate().map(|pair| BytesMut::from(seal(pair).unwrap())).collect()
    }

    #[test]
    fn inv_44_a_payload_opens_only_where_it_belongs() {
        let (key, here) = (DataKey::generate().unwrap(), place("dev", "buildos-dev"));
        let seal = PayloadSeal::draw(&key).unwrap();
        let frame = sealed(&cipher(&key, &seal, &here), &[b"body"]).remove(0);
        let opens = |at: &Place, seal: &PayloadSeal| cipher(&key, seal, at).open(0, true, frame.clone());
        assert_eq!(opens(&here, &seal).unwrap(), "body");
        let elsewhere = [
            Place("prod".parse().unwrap(), here.1.clone(), here.2),
            Place(here.0.clone(), "beauty-dev".parse().unwrap(), here.2),
            Place(here.0.clone(), here.1.clone(), PayloadId::new()),
        ];
        for other in &elsewhere {
            assert_eq!(opens(other, &seal).unwrap_err(), SealError::Refused);
        }
        assert_eq!(opens(&here, &PayloadSeal::draw(&key).unwrap()).unwrap_err(), SealError::Refused);
        let stranger = DataKey::generate().unwrap();
        assert!(PayloadCipher::new(&stranger, &seal, &here.0, &here.1, here.2).is_err());
    }

    #[test]
    fn inv_44_frames_that_are_cut_moved_swapped_or_altered_do_not_open() {
        let (key, here) = (DataKey::generate().unwrap(), place("dev", "buildos-dev"));
        let seal = PayloadSeal::draw(&key).unwrap();
        let cipher = cipher(&key, &seal, &here);
        let frames = sealed(&cipher, &[b"one", b"two", b"end"]);
        assert_eq!(cipher.open(1, false, frames[1].clone()).unwrap(), "two");
        assert!(cipher.open(1, true, frames[1].clone()).is_err(), "cut off after the second");
        assert!(cipher.open(2, false, frames[2].clone()).is_err(), "as if more came");
        assert!(cipher.open(0, false, frames[1].clone()).is_err(), "moved");
        for at in 0..frames[0].len() {
            let mut altered = frames[0].clone();
            altered[at] ^= 1;
            assert!(cipher.open(0, false, altered).is_err(), "{at}");
        }
        assert!(cipher.open(0, false, BytesMut::from(&frames[0][..2])).is_err(), "shorter than a tag");
    }

    #[test]
    fn sizes_are_told_without_sealing() {
        let frame = FRAME as u64;
        for (size, count) in [(0, 1), (1, 1), (frame, 1), (frame + 1, 2), (3 * frame, 3)] {
            assert_eq!((frames(size), sealed_size(size)), (count, size + 16 * count));
        }
    }

    #[test]
    fn a_seal_survives_its_bytes() {
        let seal = PayloadSeal::draw(&DataKey::generate().unwrap()).unwrap();
        let bytes = seal.to_bytes();
        assert_eq!(PayloadSeal::from_bytes(&bytes), Ok(seal));
        assert!(PayloadSeal::from_bytes(&bytes[1..]).is_err() && PayloadSeal::from_bytes(&[2; SEAL]).is_err());
    }
}
