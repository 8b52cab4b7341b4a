//! A timeout that covers the body of an answer as well. The [deadline](super::deadline) and the
//! [attempt's timeout](super::attempt_timeout) end when the head of the answer is there; whoever then streams its body could
//! wait for ever on an upstream that drips. Under this layer the body has to end within the same time, counted from the call.
//!
//! The retry and the breaker have decided by then: a body that breaks off is the caller's to handle. Where they are to see it,
//! the service inside reads the body to its end before it answers, as the engine's connectors do, and needs no such layer.
//!
//! ```
//! use std::time::Duration;
//! use bytes::Bytes;
//! use http_body_util::{BodyExt, StreamBody};
//! use orchestrator_core::policy::body_timeout::{BodyTimeoutLayer, BodyTimedOut};
//! use orchestrator_core::policy::deadline::DeadlineLayer;
//! use tower::{BoxError, ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() {
//! // The head comes at once, the body never.
//! let dripping = service_fn(|_: http::Request<()>| async {
//!     let body = StreamBody::new(futures_util::stream::pending::<Result<http_body::Frame<Bytes>, BoxError>>());
//!     Ok::<_, BoxError>(http::Response::new(body))
//! });
//! let total = Duration::from_secs(2);
//! let service = ServiceBuilder::new()
//!     .layer(BodyTimeoutLayer::new(total))
//!     .layer(DeadlineLayer::new(total))
//!     .service(dripping);
//! let answer = service.oneshot(http::Request::new(())).await.unwrap();
//! let error = answer.into_body().collect().await.map(|_| ()).unwrap_err();
//! assert!(error.is::<BodyTimedOut>());
//! # }
//! ```
//!
//! # Readiness, cloning and cancellation
//!
//! It is ready when the service inside is. Clones share nothing. Dropping the body drops the timer.

mod body;
mod future;
mod layer;
mod service;

#[cfg(test)]
mod tests;

pub use body::{BodyTimedOut, TimeoutBody};
pub use future::ResponseFuture;
pub use layer::BodyTimeoutLayer;
pub use service::BodyTimeout;
