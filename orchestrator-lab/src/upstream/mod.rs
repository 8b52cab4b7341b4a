//! The simulated upstream: how long it takes and whether it answers, by the phase that it is in.
//!
//! Its one rule: work that was taken on is done, whether or not somebody still waits for it. That is what makes an
//! overload last.

mod latency;
mod queue;
mod service;

pub(crate) use service::{Answering, Upstream};
