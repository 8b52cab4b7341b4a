//! The wall clock, behind a trait so that tests can bend it. Elapsed time is measured by `tokio::time`, never by this.

use std::sync::Arc;

use orchestrator_types::Timestamp;

/// Tells the time of day.
pub trait Clock: Send + Sync + 'static {
    /// Now, in whole milliseconds.
    fn now(&self) -> Timestamp;
}

/// The system's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl SystemClock {
    /// The system's clock, to be shared.
    #[must_use]
    pub fn shared() -> Arc<dyn Clock> {
        Arc::new(Self)
    }
}

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods, reason = "this is the clock")]
    fn now(&self) -> Timestamp {
        chrono::Utc::now().into()
    }
}
