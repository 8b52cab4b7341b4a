//! How calls to an upstream are bounded, retried and protected: six `tower` layers, each usable alone over any
//! `tower::Service`, and [`stack`], which puts them together in the one order that works.
//!
//! Its one rule: a pure core decides and the service obeys. No lock is held across an await, no future is boxed, nothing
//! is allocated while all goes well, and whatever is dropped gives back what it held.

mod classify;
#[cfg(test)]
mod fixture;
#[cfg(all(test, interleavings))]
mod interleavings;
mod moment;
mod observe;
mod on_call;
mod places;
mod rejection;
mod request;
mod stack;
mod state;
mod sync;
#[cfg(test)]
mod tests;
mod timer;
mod validate;

pub mod attempt_timeout;
pub mod backoff;
pub mod body_timeout;
pub mod breaker;
pub mod concurrency;
pub mod deadline;
pub mod fallback;
pub mod hedge;
pub mod rate_limit;
pub mod retry;

pub use classify::{Class, Classify, ClassifyAnswers, ClassifyErrors, ClassifyFn, Sent, classify_fn};
pub use observe::{AttemptEnd, GaveUpReason, NoObserver, Observe, PolicyEvent, Scope, WaitReason};
pub use on_call::OnCall;
pub use rate_limit::RateLimitSnapshot;
pub use rejection::{AttemptTimedOut, BreakerOpen, ConcurrencyLimited, DeadlineExceeded, RateLimited};
pub use request::PolicyRequest;
pub use stack::{PolicyStack, stack};
pub use state::PolicyState;
pub use validate::{validate, warnings};
