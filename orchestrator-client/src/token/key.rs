//! The private key of a service identity. It cannot be printed.

use std::fmt;

use chrono::Utc;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde::Serialize;
use uuid::Uuid;

use super::source::TokenError;

/// An assertion is made for one request: it need not live long, and the server takes none that lives past 5 minutes.
const LIFE: i64 = 60;

/// A private key that a service identity proves itself with (`private_key_jwt`): its public half is the identity's `public_key`.
#[derive(Clone)]
pub struct ClientKey {
    key: EncodingKey,
    algorithm: Algorithm,
    id: Option<String>,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: &'a str,
    jti: String,
    iat: i64,
    exp: i64,
}

impl ClientKey {
    /// A P-256 key in PEM (PKCS#8): signs by ES256.
    ///
    /// # Errors
    /// [`TokenError::Key`] if it is none.
    pub fn es256(pem: &[u8]) -> Result<Self, TokenError> {
        EncodingKey::from_ec_pem(pem).map(|key| Self::of(key, Algorithm::ES256)).map_err(|_| TokenError::Key)
    }

    /// An Ed25519 key in PEM (PKCS#8): signs by EdDSA.
    ///
    /// # Errors
    /// [`TokenError::Key`] if it is none.
    pub fn ed25519(pem: &[u8]) -> Result<Self, TokenError> {
        EncodingKey::from_ed_pem(pem).map(|key| Self::of(key, Algorithm::EdDSA)).map_err(|_| TokenError::Key)
    }

    /// An RSA key in PEM (PKCS#1 or PKCS#8): signs by RS256.
    ///
    /// # Errors
    /// [`TokenError::Key`] if it is none.
    pub fn rs256(pem: &[u8]) -> Result<Self, TokenError> {
        EncodingKey::from_rsa_pem(pem).map(|key| Self::of(key, Algorithm::RS256)).map_err(|_| TokenError::Key)
    }

    /// With the `kid` of its public half, where that has one.
    #[must_use]
    pub fn with_key_id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// A fresh assertion that `client_id` made for `audience`.
    #[allow(clippy::disallowed_methods, reason = "a date in a token is one of the wall clock")]
    pub(super) fn assertion(&self, client_id: &str, audience: &str) -> Result<String, TokenError> {
        let now = Utc::now().timestamp();
        let claims = Claims {
            iss: client_id,
            sub: client_id,
            aud: audience,
            jti: Uuid::new_v4().to_string(),
            iat: now,
            exp: now + LIFE,
        };
        let header = Header { kid: self.id.clone(), ..Header::new(self.algorithm) };
        encode(&header, &claims, &self.key).map_err(|_| TokenError::Key)
    }

    const fn of(key: EncodingKey, algorithm: Algorithm) -> Self {
        Self { key, algorithm, id: None }
    }
}

impl fmt::Debug for ClientKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("ClientKey").field("algorithm", &self.algorithm).field("id", &self.id).finish_non_exhaustive()
    }
}
