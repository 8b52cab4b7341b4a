//! The attempt's timeout: one attempt ends within it. It stands next to the service, so that the breaker counts an
//! attempt that hangs and the retry may make another one.
//!
//! ```
//! use std::time::Duration;
//! use orchestrator_core::policy::attempt_timeout::AttemptTimeoutLayer;
//! use orchestrator_core::policy::AttemptTimedOut;
//! use tower::{BoxError, Layer, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let never = service_fn(|_: &'static str| std::future::pending::<Result<(), BoxError>>());
//! let service = AttemptTimeoutLayer::new(Duration::from_millis(5)).layer(never);
//! let error = service.oneshot("hello").await.unwrap_err();
//! assert!(error.is::<AttemptTimedOut>());
//! # }
//! ```
//!
//! # Readiness, cloning and cancellation
//!
//! It is ready when the service inside is; around [`OnCall`](super::OnCall) that wait is a part of the attempt. The time
//! counts from when the attempt first has to be waited for. Clones share nothing. Dropping the future drops the attempt.

mod future;
mod layer;
mod service;

#[cfg(test)]
mod tests;

pub use future::ResponseFuture;
pub use layer::AttemptTimeoutLayer;
pub use service::AttemptTimeout;
