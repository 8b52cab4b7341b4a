//! The token endpoint's own rules (RFC 6749): how a client says who it is, and how often it may be wrong.

mod client;
mod failures;

pub use client::{ClientProof, client_proof, invalid_client, read_form};
pub use failures::Failures;
