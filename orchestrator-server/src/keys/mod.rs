//! The install's keys: the key file that everything sealed hangs on, and the key that signs tokens.
//!
//! One rule: a key is made only for an install that is new. A key file that is gone is never replaced, because what it
//! sealed would be lost without anybody noticing.

mod file;
mod mint;
mod signing;

pub use file::{KeyFileError, read_ring};
pub(crate) use file::{KeyFiles, open_ring};
pub(crate) use mint::mint;
pub use signing::read_signing_keys;
pub(crate) use signing::signing_keys;
