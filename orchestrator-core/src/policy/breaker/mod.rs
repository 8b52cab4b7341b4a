//! The circuit breaker: while an upstream fails, calls are refused at once and nothing is sent.
//!
//! ```text
//!            enough calls in the window, and the share of failures or of slow calls reached
//!   ┌────────┐ ─────────────────────────────────────────────────────► ┌──────┐
//!   │ closed │                                                         │ open │◄─┐
//!   └────────┘ ◄──────────────────────┐                                └──────┘  │
//!                                     │                          open_s passed │  │ one probe failed
//!                   all probes succeeded                                      ▼  │ or was slow
//!                                     │                              ┌───────────┐│
//!                                     └───────────────────────────── │ half-open ├┘
//!                                                                    └───────────┘
//! ```
//!
//! The window is one of time or of calls. An operator may hold it open or closed ([`CircuitBreaker::hold`]).
//!
//! Half-open, exactly `half_open_calls` calls are let through. A probe that is cancelled can be used by another call, so
//! the breaker is never stuck; a result that arrives from an earlier state counts for nothing.
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//! use orchestrator_core::policy::breaker::{BreakerLayer, BreakerStatus, CircuitBreaker};
//! use orchestrator_core::policy::{BreakerOpen, ClassifyErrors};
//! use tower::{BoxError, Layer, Service, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let state = CircuitBreaker::builder().min_calls(2).failure_ratio(0.5).open_for(Duration::from_secs(5)).build();
//! let broken = service_fn(|_: &'static str| async { Err::<(), BoxError>("down".into()) });
//! let mut service = BreakerLayer::new(Arc::clone(&state), ClassifyErrors).layer(broken);
//! for _ in 0..2 {
//!     assert!(service.call("hello").await.is_err());
//! }
//! assert_eq!(state.snapshot().status, BreakerStatus::Open);
//! assert!(service.call("hello").await.unwrap_err().is::<BreakerOpen>());
//! # }
//! ```
//!
//! # Readiness, cloning and cancellation
//!
//! It is ready when the service inside is. Clones share the state. A future that is dropped counts as nothing and gives
//! its probe back.

mod builder;
mod future;
mod layer;
mod service;
mod state;
mod window;

#[cfg(test)]
mod tests;

pub use builder::BreakerBuilder;
pub use future::ResponseFuture;
pub use layer::BreakerLayer;
pub use service::Breaker;
pub use state::{BreakerSnapshot, BreakerStatus, CircuitBreaker, Transition};
pub use window::Counts;
