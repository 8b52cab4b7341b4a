//! How long something that failed is left alone.

use std::time::Duration;

use tokio::time::Instant;

const FIRST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(10);

/// Grows with each failure in a row, is drawn anew each time, and is over with a success.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
    until: Option<Instant>,
}

impl Backoff {
    pub(super) fn is_on(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| now < until)
    }

    /// When it is over; `now` if it is.
    pub(super) fn over(&self, now: Instant) -> Instant {
        self.until.map_or(now, |until| until.max(now))
    }

    /// Notes a failure; `chance` is of 0 to 1. One that began before the last was noted tells nothing new.
    pub(super) fn failed(&mut self, now: Instant, chance: f64) {
        if self.is_on(now) {
            return;
        }
        let longest = FIRST.saturating_mul(1 << self.failures.min(10)).min(LONGEST);
        self.failures += 1;
        self.until = Some(now + longest.mul_f64(0.5 + chance / 2.0));
    }

    /// Notes a success; answers whether there were failures before.
    pub(super) fn succeeded(&mut self) -> bool {
        let before = self.failures > 0;
        *self = Self::default();
        before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn inv_34_it_grows_to_ten_seconds_and_ends_with_a_success() {
        let (mut backoff, mut now) = (Backoff::default(), Instant::now());
        let mut waits = Vec::new();
        for _ in 0..50 {
            backoff.failed(now, 1.0);
            backoff.failed(now, 1.0);
            waits.push(backoff.over(now) - now);
            now = backoff.over(now);
            assert!(!backoff.is_on(now));
        }
        assert_eq!(waits[..3].iter().map(Duration::as_millis).collect::<Vec<_>>(), [250, 500, 1_000]);
        assert_eq!(waits[49], LONGEST);
        assert!(backoff.succeeded() && !backoff.succeeded());
        backoff.failed(now, 0.0);
        assert_eq!(backoff.over(now) - now, FIRST / 2, "drawn between half and whole");
    }
}
