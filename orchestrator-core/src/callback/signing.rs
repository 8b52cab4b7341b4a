//! Signs callbacks by [Standard Webhooks](https://www.standardwebhooks.com): id, time and body, with every active secret.
//!
//! One rule: the same id, time and body are signed with all secrets, so that a product that has the new secret and one that
//! still has the old both verify.

use std::fmt;

use aws_lc_rs::hmac;
use data_encoding::{BASE64, BASE64_NOPAD};
use http::{HeaderMap, HeaderName, HeaderValue};
use orchestrator_types::Timestamp;
use zeroize::Zeroizing;

use crate::secrets::Secret;

/// The header of the id: the same on every redelivery.
pub const WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");
/// The header of the time of this try, in seconds since the epoch.
pub const WEBHOOK_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
/// The header of the signatures.
pub const WEBHOOK_SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// No more signatures stand in one header, as none would be verified.
pub(crate) const SIGNATURES_MAX: usize = 16;
const ID_MAX: usize = 255;
const PREFIX: &str = "whsec_";

/// Why nothing was signed. Shows nothing of a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SigningError {
    /// There is no secret to sign with.
    #[error("there is no secret to sign with")]
    NoSecret,
    /// There are more than sixteen.
    #[error("there are more than sixteen secrets to sign with")]
    TooManySecrets,
    /// A secret is of another form.
    #[error("a signing secret is `whsec_` and the base64 of 24 to 64 bytes")]
    Secret,
    /// The id cannot be signed.
    #[error("the id has 1 to 255 visible ASCII characters and no full stop")]
    Id,
    /// A value does not fit into a header.
    #[error("a value does not fit into a header")]
    Header,
}

/// A key of Standard Webhooks. Cannot be printed.
pub struct SigningKey(hmac::Key);

impl SigningKey {
    /// Reads a secret: the base64 of 24 to 64 bytes, with or without `whsec_` before it, as the libraries of Standard
    /// Webhooks read it.
    ///
    /// # Errors
    /// It is of another form.
    pub fn parse(secret: &Secret) -> Result<Self, SigningError> {
        let text = secret.expose();
        let encoded = text.strip_prefix(PREFIX).unwrap_or(text);
        let encoding = if encoded.len() % 4 == 0 { BASE64 } else { BASE64_NOPAD };
        let key = Zeroizing::new(encoding.decode(encoded.as_bytes()).map_err(|_| SigningError::Secret)?);
        if !(24..=64).contains(&key.len()) {
            return Err(SigningError::Secret);
        }
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, &key)))
    }

    /// The tag of id, time and body.
    pub(crate) fn tag(&self, id: &str, timestamp: &str, body: &[u8]) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.0);
        for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
            context.update(part);
        }
        context.sign()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("[redacted]")
    }
}

/// Whether an id can be signed. A full stop would let it run into the time.
pub(crate) fn signable_id(id: &str) -> bool {
    (1..=ID_MAX).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'.')
}

/// The headers `webhook-id`, `webhook-timestamp` and `webhook-signature` of a delivery; the last has one `v1,` a secret, in
/// their order, separated by spaces.
///
/// # Errors
/// There is no secret or one of another form, or the id cannot be signed.
pub fn sign(secrets: &[Secret], id: &str, at: Timestamp, body: &[u8]) -> Result<HeaderMap, SigningError> {
    match secrets.len() {
        0 => return Err(SigningError::NoSecret),
        1..=SIGNATURES_MAX => {}
        _ => return Err(SigningError::TooManySecrets),
    }
    if !signable_id(id) {
        return Err(SigningError::Id);
    }
    let timestamp = at.unix_seconds().to_string();
    let mut signatures = String::with_capacity(secrets.len() * 48);
    for secret in secrets {
        let tag = SigningKey::parse(secret)?.tag(id, &timestamp, body);
        if !signatures.is_empty() {
            signatures.push(' ');
        }
        signatures.push_str("v1,");
        BASE64.encode_append(tag.as_ref(), &mut signatures);
    }
    let mut headers = HeaderMap::with_capacity(3);
    for (name, value) in [(WEBHOOK_ID, id), (WEBHOOK_TIMESTAMP, &timestamp), (WEBHOOK_SIGNATURE, &signatures)] {
        headers.insert(name, HeaderValue::from_str(value).map_err(|_| SigningError::Header)?);
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use standardwebhooks::Webhook;

    use super::*;
    use crate::clock::{Clock, SystemClock};

    const OLD: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
    const NEW: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    fn secrets(texts: &[&str]) -> Vec<Secret> {
        texts.iter().map(|text| Secret::new((*text).to_owned())).collect()
    }

    #[test]
    fn inv_11_the_published_vector_of_the_standard_holds() {
        let at = Timestamp::from_unix_ms(1_649_367_553_999);
        let body = br#"{"email":"test@example.com","username":"test_user"}"#;
        let headers = sign(&secrets(&[OLD]), "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk", at, body).unwrap();
        assert_eq!(headers[WEBHOOK_ID], "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk");
        assert_eq!(headers[WEBHOOK_TIMESTAMP], "1649367553");
        assert_eq!(headers[WEBHOOK_SIGNATURE], "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=");
        assert_eq!(headers.len(), 3);
    }

    #[test]
    fn inv_11_a_product_with_either_secret_verifies_a_delivery() {
        let body = r#"{"type":"job.succeeded","note":"é"}"#.as_bytes();
        let headers = sign(&secrets(&[NEW, OLD]), "job_01h455vb4pex5vsknk084sn02q", SystemClock.now(), body).unwrap();
        for secret in [OLD, NEW] {
            Webhook::new(secret).unwrap().verify(body, &headers).unwrap();
        }
        let stranger = Webhook::new("whsec_AAAAsBQIhrscChlQIMV+b5sSYspob7oD").unwrap();
        assert!(stranger.verify(body, &headers).is_err());
        assert!(Webhook::new(OLD).unwrap().verify(b"{}", &headers).is_err());
        let mut moved = headers.clone();
        moved.insert(WEBHOOK_ID, HeaderValue::from_static("job_other"));
        assert!(Webhook::new(OLD).unwrap().verify(body, &moved).is_err());
    }

    #[test]
    fn a_secret_without_its_prefix_is_base64_all_the_same() {
        let bare = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let headers = sign(&secrets(&[bare]), "msg", SystemClock.now(), b"{}").unwrap();
        Webhook::new(bare).unwrap().verify(b"{}", &headers).unwrap();
    }

    #[test]
    fn inv_23_a_secret_of_another_form_is_refused_and_not_shown() {
        let short = format!("whsec_{}", BASE64.encode(&[1; 23]));
        let long = format!("whsec_{}", BASE64.encode(&[1; 65]));
        for wrong in
            ["", "whsec_", "short", "whsec_!!!!", &short, &long, &"x".repeat(65), &format!("{OLD}\n"), "whsec_é"]
        {
            let refused = sign(&secrets(&[OLD, wrong]), "msg", SystemClock.now(), b"").unwrap_err();
            assert_eq!(refused, SigningError::Secret, "{wrong:?}");
            assert!(wrong.len() < 7 || !format!("{refused} {refused:?}").contains(wrong));
        }
        for right in [&[1; 24][..], &[1; 25], &[1; 64]] {
            for text in [BASE64.encode(right), BASE64_NOPAD.encode(right)] {
                assert!(SigningKey::parse(&Secret::new(format!("whsec_{text}"))).is_ok());
            }
        }
        assert_eq!(format!("{:?}", SigningKey::parse(&Secret::new(OLD.into())).unwrap()), "[redacted]");
    }

    #[test]
    fn what_cannot_be_signed_is_refused() {
        let now = SystemClock.now();
        assert_eq!(sign(&[], "msg", now, b"").unwrap_err(), SigningError::NoSecret);
        assert_eq!(sign(&secrets(&[OLD; 17]), "msg", now, b"").unwrap_err(), SigningError::TooManySecrets);
        assert!(sign(&secrets(&[OLD; 16]), "msg", now, b"").is_ok());
        for id in ["", "a.b", "a b", "a\r\nb", "é", &"a".repeat(256)] {
            assert_eq!(sign(&secrets(&[OLD]), id, now, b"").unwrap_err(), SigningError::Id, "{id:?}");
        }
    }
}
