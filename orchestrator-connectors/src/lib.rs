//! Outbound HTTP behind the egress guard: the `http` connector kind, the callback transport, and the way to a vault.
//!
//! **The one rule:** nothing in here opens a connection but [`egress::EgressClient`].

pub mod callback;
pub mod egress;
pub mod http;
pub mod vault;

pub use callback::HttpCallbacks;
pub use egress::{EgressClient, EgressPolicy};
pub use http::HttpKind;
pub use vault::{Vault, VaultAuth, VaultOptions};
