//! Outbound HTTP behind the egress guard: the `http` connector kind and the callback transport.
//!
//! **The one rule:** nothing in here opens a connection but [`egress::EgressClient`].

pub mod callback;
pub mod egress;
pub mod http;

pub use callback::HttpCallbacks;
pub use egress::{EgressClient, EgressPolicy};
pub use http::HttpKind;
