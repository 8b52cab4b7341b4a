//! The rate limit: a token bucket (GCRA, by `governor`) that never admits more than its burst and its rate, over any
//! stretch of time. A call over it is refused at once, or waits its turn if the layer and the request allow it.
//!
//! Who waits, waits in order, and only as long as its turn can come before its deadline: a wait that would be in vain is
//! refused at the start. That also bounds how many wait.
//!
//! A limit may be one process's own, or [leased](lease) from one that many nodes share.
//!
//! ```
//! use orchestrator_core::policy::rate_limit::{Limiter, RateLimitLayer};
//! use orchestrator_core::policy::RateLimited;
//! use tower::{BoxError, Layer, Service, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let limiter = Limiter::per_second(0.1, 1);
//! let echo = service_fn(|request: http::Request<()>| async move { Ok::<_, BoxError>(request) });
//! let mut service = RateLimitLayer::new(limiter).layer(echo);
//! assert!(service.call(http::Request::new(())).await.is_ok());
//! let error = service.call(http::Request::new(())).await.unwrap_err();
//! assert!(error.downcast_ref::<RateLimited>().unwrap().retry_after.as_secs() >= 9);
//! # }
//! ```
//!
//! # Readiness, cloning and cancellation
//!
//! It is ready when the service inside is: the wait for a token is part of the call, so that a deadline outside bounds it.
//! Clones share the limiter. Dropping a future that waits gives up its turn and spends nothing; a token once spent is not given back.

mod future;
mod gcra;
mod layer;
pub mod lease;
mod service;
mod state;

#[cfg(test)]
mod tests;

pub use future::ResponseFuture;
pub use gcra::TokioClock;
pub use layer::RateLimitLayer;
pub use service::RateLimit;
pub use state::{Limiter, RateLimitSnapshot};
