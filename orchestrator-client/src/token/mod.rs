//! Where bearer tokens come from. Tokens and secrets in here cannot be printed.

mod credentials;
mod source;

pub use credentials::ClientCredentials;
pub use source::{StaticToken, Token, TokenError, TokenSource};
