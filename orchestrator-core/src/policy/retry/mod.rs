//! Retries: a call that failed in a way that may pass is made again, after a wait, at most so often, within a budget.
//!
//! What may have been sent is sent again only if the request is idempotent, or the policy says `non_idempotent`. A
//! `Retry-After` is honoured up to the longest wait. A wait that would outlast the total deadline is not begun: the
//! caller gets the failure itself then, and at once.
//!
//! ```
//! use std::sync::Arc;
//! use std::sync::atomic::{AtomicU32, Ordering};
//! use std::time::Duration;
//! use orchestrator_core::policy::retry::{Budget, RetryLayer};
//! use orchestrator_core::policy::ClassifyErrors;
//! use orchestrator_core::policy::backoff::Exponential;
//! use tower::{BoxError, Layer, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let calls = AtomicU32::new(0);
//! let flaky = service_fn(|_: http::Request<()>| async {
//!     match calls.fetch_add(1, Ordering::Relaxed) {
//!         0 => Err(BoxError::from("not yet")),
//!         calls => Ok(calls),
//!     }
//! });
//! // Three attempts, at most one retry in five calls, and no wait longer than a second.
//! let waits = Exponential { initial: Duration::from_millis(1), max: Duration::from_secs(1), ..Exponential::default() };
//! let retry = RetryLayer::attempts(3, Arc::new(Budget::new(0.2)), ClassifyErrors).scheduled_by(waits);
//! let service = retry.layer(flaky);
//! assert_eq!(service.oneshot(http::Request::new(())).await.unwrap(), 1);
//! # }
//! ```
//!
//! # Readiness, cloning and cancellation
//!
//! It is ready when the service inside is; each further attempt waits on a clone of its own until that is ready, and is then
//! made with a clone of the request. Clones share the budget. Dropping the future drops the attempt; a retry that was taken out of
//! the budget and not yet made goes back into it.

mod budget;
mod future;
mod layer;
mod service;
mod state;

#[cfg(test)]
mod tests;

pub use budget::{Budget, FLOOR_BURST, FLOOR_PER_SECOND};
pub use future::ResponseFuture;
pub use layer::RetryLayer;
pub use service::Retry;
