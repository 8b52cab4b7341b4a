//! Where bearer tokens come from. Tokens and secrets in here cannot be printed.

mod credentials;
mod file;
mod key;
mod keys;
mod source;

pub use credentials::ClientCredentials;
pub(crate) use credentials::Proof;
pub use file::FileToken;
pub use key::ClientKey;
pub use source::{StaticToken, Token, TokenError, TokenSource};
