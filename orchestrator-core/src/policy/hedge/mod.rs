//! Hedging: an attempt that takes longer than most do gets a second one beside it, and the first success of the two counts.
//! It buys a short tail with a few more calls: at a quantile of 0.95, at most one in twenty (Dean and Barroso, "The Tail at
//! Scale", 2013).
//!
//! Only what is idempotent is hedged, and only what may be retried at all; each hedge is paid from the retry budget, so that
//! an upstream that is slow because it is overloaded does not get twice its load. How long most attempts take is learnt from
//! those that were answered; before twenty of them nothing is hedged.
//!
//! If the first attempt fails while the second is under way, the second is waited for; if neither succeeds, the result is the
//! first one's.
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//! use orchestrator_core::policy::ClassifyErrors;
//! use orchestrator_core::policy::hedge::{HedgeLayer, Hedging};
//! use orchestrator_core::policy::retry::Budget;
//! use tower::{BoxError, Layer, Service, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() {
//! // Every thirtieth call takes a second.
//! let calls = Arc::new(std::sync::atomic::AtomicU32::new(0));
//! let seen = Arc::clone(&calls);
//! let upstream = service_fn(move |_: http::Request<()>| {
//!     let call = seen.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
//!     async move {
//!         tokio::time::sleep(Duration::from_millis(if call % 30 == 29 { 1_000 } else { 20 })).await;
//!         Ok::<_, BoxError>(call)
//!     }
//! });
//! let hedging = Hedging::at(0.95, Duration::from_millis(10));
//! let mut service = HedgeLayer::new(hedging, Arc::new(Budget::new(0.2)), ClassifyErrors).layer(upstream);
//! for _ in 0..30 {
//!     let start = tokio::time::Instant::now();
//!     service.call(http::Request::new(())).await.unwrap();
//!     assert!(start.elapsed() < Duration::from_millis(60));
//! }
//! assert_eq!(calls.load(std::sync::atomic::Ordering::Relaxed), 31);
//! # }
//! ```
//!
//! # Readiness, cloning and cancellation
//!
//! It is ready when the service inside is; the second attempt is made on a clone, once that is ready. Clones share what is
//! known. Dropping the future drops both attempts, and when one is answered the other is dropped at once.

mod future;
mod latency;
mod layer;
mod service;
mod state;

#[cfg(test)]
mod tests;

pub use future::ResponseFuture;
pub use layer::HedgeLayer;
pub use service::Hedge;
pub use state::Hedging;
