//! The product's side of callbacks: is this really from the server, and what does it say?
//!
//! Its one rule: nothing is read out of a body before its signature holds over the raw bytes ([Standard Webhooks]).
//!
//! A product that has more than one way in dedupes on [`Callback::delivery`]: it is the same on every redelivery.
//!
//! [Standard Webhooks]: https://www.standardwebhooks.com

mod error;
#[cfg(feature = "axum")]
mod extract;
mod secret;
mod verifier;
mod verify;

pub use error::CallbackError;
#[cfg(feature = "axum")]
pub use extract::{CallbackRejection, VerifiedCallback};
pub use secret::CallbackSecret;
pub use verifier::{Callback, CallbackVerifier, DeliveryId};
pub use verify::{TOLERANCE, verify};
