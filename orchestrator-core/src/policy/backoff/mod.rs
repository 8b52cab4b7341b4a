//! How long to wait before trying again. A [`Schedule`] is pure: it is asked with the number of the attempt and the wait
//! before, and draws from the generator that it is handed, so that a seed makes it repeatable.
//!
//! ```
//! use std::time::Duration;
//! use orchestrator_core::policy::backoff::{Exponential, Schedule};
//! use orchestrator_types::Jitter;
//!
//! let schedule = Exponential {
//!     initial: Duration::from_millis(100),
//!     max: Duration::from_secs(1),
//!     multiplier: 2.0,
//!     jitter: Jitter::None,
//! };
//! let mut random = fastrand::Rng::with_seed(7);
//! let waits: Vec<_> = (1..=5).map(|attempt| schedule.delay(attempt, Duration::ZERO, &mut random).as_millis()).collect();
//! assert_eq!(waits, [100, 200, 400, 800, 1000]);
//! ```

use std::time::Duration;

#[cfg(feature = "backoff")]
mod adapter;
mod exponential;

#[cfg(feature = "backoff")]
pub use adapter::{FromBackoff, IntoBackoff};
pub use exponential::Exponential;

/// Says how long to wait before the next attempt.
pub trait Schedule {
    /// The wait after attempt `attempt` (1 for the first) failed, where `previous` was the wait before that attempt
    /// (zero for the first). [`Duration::MAX`] means that there is to be no further attempt.
    fn delay(&self, attempt: u32, previous: Duration, random: &mut fastrand::Rng) -> Duration;

    /// What is waited when the upstream asked for `retry_after`: as long as it asked, within the schedule's own bound.
    fn honour(&self, retry_after: Duration) -> Duration;
}
