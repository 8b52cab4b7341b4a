//! The port that tokens come through.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use http::HeaderValue;
use secrecy::{ExposeSecret, SecretString};

use crate::error::Error;

/// A bearer token. It cannot be printed.
#[derive(Clone)]
pub struct Token(SecretString);

impl Token {
    /// The token `text`.
    ///
    /// # Errors
    /// [`TokenError::Malformed`] if it is empty or has anything but visible ASCII characters, which no header can carry.
    pub fn new(text: impl Into<String>) -> Result<Self, TokenError> {
        let text = SecretString::from(text.into());
        let sound =
            !text.expose_secret().is_empty() && text.expose_secret().bytes().all(|byte| byte.is_ascii_graphic());
        if sound { Ok(Self(text)) } else { Err(TokenError::Malformed) }
    }

    pub(crate) fn authorization(&self) -> Result<HeaderValue, TokenError> {
        let text = format!("Bearer {}", self.0.expose_secret());
        let mut value = HeaderValue::try_from(text).map_err(|_| TokenError::Malformed)?;
        value.set_sensitive(true);
        Ok(value)
    }

    pub(super) fn is(&self, other: &Self) -> bool {
        // Both are ours: nobody learns anything from how long this takes.
        self.0.expose_secret() == other.0.expose_secret()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Token([redacted])")
    }
}

/// Why there is no token.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// The client was built without a source of tokens.
    #[error("the client was built without a token")]
    NoSource,
    /// A text that cannot be a bearer token.
    #[error("not a bearer token: it has visible ASCII characters only, and at least one")]
    Malformed,
    /// A text that is no private key of the sort that was named, or one that cannot sign.
    #[error("not a usable private key in PEM")]
    Key,
    /// The token endpoint gave none.
    #[error("the token endpoint gave no token")]
    Endpoint(#[source] Arc<Error>),
    /// A source of the caller's own gave none.
    #[error("the token source gave no token")]
    Source(#[source] Arc<dyn std::error::Error + Send + Sync>),
}

/// Gives the token of each call. Asked before every try, so an implementation caches.
#[async_trait]
pub trait TokenSource: Send + Sync + 'static {
    /// A token that is valid now. Dropping the future must leave the source usable.
    ///
    /// # Errors
    /// A [`TokenError`] if there is none; the call is not made then.
    async fn token(&self) -> Result<Token, TokenError>;

    /// The server did not accept `token` (401): do not hand it out again if there can be another.
    fn rejected(&self, token: &Token) {
        let _ = token;
    }
}

#[async_trait]
impl<S: TokenSource + ?Sized> TokenSource for Arc<S> {
    async fn token(&self) -> Result<Token, TokenError> {
        (**self).token().await
    }

    fn rejected(&self, token: &Token) {
        (**self).rejected(token);
    }
}

/// One token, for as long as it lasts.
#[derive(Debug, Clone)]
pub struct StaticToken(Token);

impl StaticToken {
    /// Always this token.
    #[must_use]
    pub const fn new(token: Token) -> Self {
        Self(token)
    }
}

#[async_trait]
impl TokenSource for StaticToken {
    async fn token(&self) -> Result<Token, TokenError> {
        Ok(self.0.clone())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_token_cannot_be_printed() {
        let token = Token::new("c4n4ry").unwrap();
        let printed = format!("{token:?} {:?} {:?}", token.authorization().unwrap(), StaticToken::new(token.clone()));
        assert!(!printed.contains("c4n4ry"), "{printed}");
    }

    #[test]
    fn what_no_header_can_carry_is_no_token() {
        for text in ["", "a b", "a\r\nx: y", "é"] {
            assert!(Token::new(text).is_err(), "{text:?}");
        }
    }
}
