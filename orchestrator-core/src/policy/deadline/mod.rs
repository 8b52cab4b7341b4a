//! The total deadline: a call ends by it, whatever the layers and the service inside do, waits included. When it passes
//! the call inside is dropped at once, so what it held is free from that moment.
//!
//! Covered is the response's future; for bodies that are streamed there is [`body_timeout`](super::body_timeout).
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
//! It is ready when the service inside is; around [`OnCall`](super::OnCall) that wait is a part of the call, and the deadline
//! bounds it too. Clones share nothing. Dropping the future drops the call inside.

mod future;
mod layer;
mod service;

#[cfg(test)]
mod tests;

pub use future::ResponseFuture;
pub use layer::DeadlineLayer;
pub use service::Deadline;
