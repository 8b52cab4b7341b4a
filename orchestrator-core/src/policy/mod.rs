//! How calls to an upstream are bounded, retried and protected: six `tower` layers, each usable alone over any
//! `tower::Service`, and [`stack`], which puts them together in the one order that works.
//!
//! Its one rule: a pure core decides and the service obeys. No lock is held across an await, no future is boxed, nothing
//! is allocated while all goes well, and whatever is dropped gives back what it held.

mod classify;
#[cfg(test)]
mod fixture;
mod observe;
mod places;
mod rejection;
mod request;
mod stack;
mod state;
#[cfg(test)]
mod tests;
mod validate;

pub mod attempt_timeout;
pub mod backoff;
pub mod breaker;
pub mod concurrency;
pub mod deadline;
pub mod rate_limit;
pub mod retry;

pub use classify::{Class, Classify, ClassifyErrors, ClassifyFn, Sent, classify_fn};
pub use observe::{AttemptEnd, GaveUpReason, NoObserver, Observe, PolicyEvent, Scope, WaitReason};
pub use rate_limit::RateLimitSnapshot;
pub use rejection::{AttemptTimedOut, BreakerOpen, ConcurrencyLimited, DeadlineExceeded, RateLimited};
pub use request::PolicyRequest;
pub use stack::{PolicyStack, stack};
pub use state::PolicyState;
pub use validate::{validate, warnings};
