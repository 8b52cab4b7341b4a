//! The ways out behind the egress guard: the connector kinds `http`, `stripe`, `smtp` and `s3`, the callback transport, and
//! the way to a vault.
//!
//! **The one rule:** nothing in here opens a connection but [`egress::EgressClient`].

pub mod callback;
pub mod egress;
pub mod http;
mod payloads;
pub mod s3;
pub mod smtp;
pub mod stripe;
pub mod vault;

pub use callback::HttpCallbacks;
pub use egress::{EgressClient, EgressPolicy};
pub use http::HttpKind;
pub use s3::S3Kind;
pub use smtp::SmtpKind;
pub use stripe::StripeKind;
pub use vault::{Vault, VaultAuth, VaultOptions};
