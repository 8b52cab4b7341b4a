//! HMAC over the raw bytes, compared in constant time: one computation a secret, however many signatures came.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;

use super::{FixtureError, SignatureError};
use crate::callback::signing::SigningError;
use crate::secrets::Secret;

/// The HMAC of the parts, one behind the other.
pub(super) fn sign(algorithm: hmac::Algorithm, secret: &Secret, parts: &[&[u8]]) -> Result<hmac::Tag, FixtureError> {
    if secret.expose().trim().is_empty() {
        return Err(SigningError::Secret.into());
    }
    Ok(tag(algorithm, secret, parts))
}

/// Whether any of the signatures is that of the parts under any of the secrets. Blank secrets verify nothing.
pub(super) fn verify(
    algorithm: hmac::Algorithm,
    secrets: &[Secret],
    parts: &[&[u8]],
    signatures: &[Vec<u8>],
) -> Result<(), SignatureError> {
    let usable = secrets.iter().filter(|secret| !secret.expose().trim().is_empty());
    any_matches(usable.map(|secret| tag(algorithm, secret, parts)), signatures)
}

/// Whether any of the signatures is one of the tags. All are compared with all.
pub(super) fn any_matches(tags: impl Iterator<Item = hmac::Tag>, signatures: &[Vec<u8>]) -> Result<(), SignatureError> {
    let mut outcome = Err(SignatureError::NoSecret);
    for tag in tags {
        for signature in signatures {
            if verify_slices_are_equal(tag.as_ref(), signature).is_ok() {
                outcome = Ok(());
            }
        }
        outcome = outcome.or(Err(SignatureError::Mismatch));
    }
    outcome
}

fn tag(algorithm: hmac::Algorithm, secret: &Secret, parts: &[&[u8]]) -> hmac::Tag {
    let mut context = hmac::Context::with_key(&hmac::Key::new(algorithm, secret.expose().as_bytes()));
    for part in parts {
        context.update(part);
    }
    context.sign()
}
