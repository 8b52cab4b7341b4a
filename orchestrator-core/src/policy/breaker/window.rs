//! The calls of the last so many seconds, in a ring of buckets of fixed size: no allocation, however many calls.

use std::time::Duration;

use tokio::time::Instant;

/// How many buckets the window is cut into. A call leaves the window a bucket at a time.
pub(crate) const BUCKETS: usize = 20;

#[derive(Debug, Clone, Copy, Default)]
struct Bucket {
    calls: u32,
    failures: u32,
}

/// Counts of a sliding window.
#[derive(Debug)]
pub(crate) struct Window {
    buckets: [Bucket; BUCKETS],
    width: u128,
    origin: Instant,
    current: u128,
    calls: u32,
    failures: u32,
}

impl Window {
    pub(crate) fn new(length: Duration, now: Instant) -> Self {
        let width = (length.as_nanos() / BUCKETS as u128).max(1);
        Self { buckets: [Bucket::default(); BUCKETS], width, origin: now, current: 0, calls: 0, failures: 0 }
    }

    /// Counts a call.
    pub(crate) fn record(&mut self, failed: bool, now: Instant) {
        self.advance(now);
        let failures = u32::from(failed);
        self.calls = self.calls.saturating_add(1);
        self.failures = self.failures.saturating_add(failures);
        let bucket = self.bucket(self.current);
        bucket.calls = bucket.calls.saturating_add(1);
        bucket.failures = bucket.failures.saturating_add(failures);
    }

    /// Calls and failures in the window.
    pub(crate) fn counts(&mut self, now: Instant) -> (u32, u32) {
        self.advance(now);
        (self.calls, self.failures)
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.buckets = [Bucket::default(); BUCKETS];
        self.calls = 0;
        self.failures = 0;
    }

    // Threads may hand in moments that are slightly out of order: an earlier one counts into the current bucket.
    fn advance(&mut self, now: Instant) {
        let index = now.saturating_duration_since(self.origin).as_nanos() / self.width;
        if index <= self.current {
            return;
        }
        if index - self.current >= BUCKETS as u128 {
            self.clear();
        } else {
            for step in self.current + 1..=index {
                let left = std::mem::take(self.bucket(step));
                self.calls = self.calls.saturating_sub(left.calls);
                self.failures = self.failures.saturating_sub(left.failures);
            }
        }
        self.current = index;
    }

    #[allow(clippy::cast_possible_truncation, reason = "below BUCKETS")]
    fn bucket(&mut self, index: u128) -> &mut Bucket {
        &mut self.buckets[(index % BUCKETS as u128) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_leave_the_window_when_it_has_passed() {
        let start = Instant::now();
        let mut window = Window::new(Duration::from_secs(20), start);
        window.record(true, start);
        window.record(false, start + Duration::from_secs(10));
        assert_eq!(window.counts(start + Duration::from_secs(19)), (2, 1));
        assert_eq!(window.counts(start + Duration::from_secs(20)), (1, 0));
        assert_eq!(window.counts(start + Duration::from_secs(30)), (0, 0));
    }

    #[test]
    fn a_long_silence_empties_it_at_once() {
        let start = Instant::now();
        let mut window = Window::new(Duration::from_secs(1), start);
        (0..50).for_each(|_| window.record(true, start));
        assert_eq!(window.counts(start + Duration::from_secs(1_000_000)), (0, 0));
    }

    #[test]
    fn a_moment_before_the_last_one_counts_now() {
        let start = Instant::now();
        let mut window = Window::new(Duration::from_secs(20), start);
        window.record(false, start + Duration::from_secs(5));
        window.record(true, start);
        assert_eq!(window.counts(start + Duration::from_secs(5)), (2, 1));
    }
}
