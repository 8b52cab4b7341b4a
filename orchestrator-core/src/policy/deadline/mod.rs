//! The total deadline: a call ends by it, whatever the layers and the service inside do, waits included. When it passes
//! the call inside is dropped at once, so what it held is free from that moment.
//!
//! Covered is the response's future; who streams a body has to bound that by himself.
//!
//! ```
//! use std::time::Duration;
//! use orchestrator_core::policy::deadline::DeadlineLayer;
//! use orchestrator_core::policy::DeadlineExceeded;
//! use tower::{BoxError, Layer, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let never = service_fn(|_: http::Request<()>| std::future::pending::<Result<(), BoxError>>());
//! let service = DeadlineLayer::new(Duration::from_millis(5)).layer(never);
//! let error = service.oneshot(http::Request::new(())).await.unwrap_err();
//! assert!(error.is::<DeadlineExceeded>());
//! # }
//! ```
//!
//! # Readiness, cloning and cancellation
//!
//! It is always ready: waiting until the service inside is ready is part of the call, made on a clone of that service,
//! so that the deadline bounds it too. Clones share nothing. Dropping the future drops the call inside.

mod future;
mod layer;
mod service;

#[cfg(test)]
mod tests;

pub use future::ResponseFuture;
pub use layer::DeadlineLayer;
pub use service::Deadline;
