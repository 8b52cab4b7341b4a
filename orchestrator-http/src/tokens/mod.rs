//! Tokens: who a caller is. One function decides, [`TokenAuthority::verify`], and it gives no reason for a no.
//!
//! The algorithm of a key is pinned when the key is loaded; nothing in a token chooses the key set, the algorithm or an
//! address to fetch a key from. A token is read strictly first (no name twice, no wrong type), verified second, and
//! believed last.

mod assertion;
mod authority;
mod claims;
mod issuers;
mod jwks;
mod reading;
mod signing;
mod strict;

pub use assertion::{Assertion, AssertionVerifier};
pub use authority::{NewToken, TokenAuthority, TokenAuthorityBuilder, TokenError};
pub use claims::{Audience, Claims, Scopes, Unauthenticated};
pub use issuers::{IssuerConfig, IssuerError, IssuerKeys, JwksFetchError, JwksFetcher};
pub use jwks::Jwks;
pub use signing::{KeyError, OlderKey, SigningKey, SigningKeys};

#[cfg(test)]
mod tests;
