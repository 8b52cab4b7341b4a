//! The fallback: what is answered when a call failed after all. It stands outermost, so that every refusal and failure of the
//! layers inside can be answered for.
//!
//! A fallback hides a failure from the caller, so it is for answers that are good enough without the upstream (a default, an
//! empty list), and never for a refusal by the upstream itself. Whoever substitutes decides by the error.
//!
//! ```
//! use orchestrator_core::policy::fallback::FallbackLayer;
//! use tower::{BoxError, Layer, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let down = service_fn(|_: &'static str| async { Err::<u32, BoxError>("down".into()) });
//! let rate = FallbackLayer::new(|_: &&'static str, _: &BoxError| Some(100)).layer(down);
//! assert_eq!(rate.oneshot("EUR").await.unwrap(), 100);
//! # }
//! ```
//!
//! # Readiness, cloning and cancellation
//!
//! It is ready when the service inside is. Clones share nothing but what the substitute shares. Dropping the future drops the
//! call inside.

mod future;
mod layer;
mod service;

#[cfg(test)]
mod tests;

pub use future::ResponseFuture;
pub use layer::FallbackLayer;
pub use service::{Fallback, Substitute};
