//! Outbound HTTP behind the egress guard: the connector kinds `http` and `stripe`, and the callback transport.
//!
//! **The one rule:** nothing in here opens a connection but [`egress::EgressClient`].

pub mod callback;
pub mod egress;
pub mod http;
pub mod stripe;

pub use callback::HttpCallbacks;
pub use egress::{EgressClient, EgressPolicy};
pub use http::HttpKind;
pub use stripe::StripeKind;
