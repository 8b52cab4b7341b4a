//! The concurrency limit: a bulkhead. So many calls are in flight, so many more may wait for a place, first come first
//! served, and the rest are refused at once. A place belongs to a call until it ends or is dropped.
//!
//! How many places there are is fixed, or found from how long calls take ([`Bulkhead::adaptive`]).
//!
//! ```
//! use orchestrator_core::policy::concurrency::{Bulkhead, ConcurrencyLayer};
//! use orchestrator_core::policy::ConcurrencyLimited;
//! use tower::{BoxError, Layer, Service, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let bulkhead = Bulkhead::fixed(1, 0);
//! let echo = service_fn(|request: http::Request<()>| async move { Ok::<_, BoxError>(request) });
//! let mut service = ConcurrencyLayer::new(bulkhead).layer(echo);
//! let first = service.call(http::Request::new(()));
//! let error = service.call(http::Request::new(())).await.unwrap_err();
//! assert!(error.is::<ConcurrencyLimited>());
//! drop(first);
//! assert!(service.call(http::Request::new(())).await.is_ok());
//! # }
//! ```
//!
//! # Readiness, cloning and cancellation
//!
//! It is ready when the service inside is: the wait for a place is part of the call, so that a deadline outside bounds it and
//! a clone never holds a place that it does not use. Clones share the bulkhead. Dropping a future gives back its place, or its turn in
//! the queue, in which case nobody behind it notices but by moving up.

mod future;
mod gradient;
mod layer;
mod service;
mod state;

#[cfg(test)]
mod tests;

pub use future::ResponseFuture;
pub use layer::ConcurrencyLayer;
pub use service::Concurrency;
pub use state::Bulkhead;
