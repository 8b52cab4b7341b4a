//! What the breaker decides on: the calls of the last so many seconds, or the last so many calls. Both are rings of a fixed
//! size: no allocation, however many calls.

use std::time::Duration;

use tokio::time::Instant;

/// How many buckets a window of time is cut into. A call leaves it a bucket at a time.
pub(crate) const BUCKETS: usize = 10;

/// Calls, and how many of them went how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// All of them.
    pub calls: u32,
    /// Those that failed.
    pub failures: u32,
    /// Those that took too long, whether or not they failed.
    pub slow: u32,
}

impl Counts {
    #[inline]
    fn add(&mut self, call: Outcome) {
        self.calls = self.calls.saturating_add(1);
        self.failures = self.failures.saturating_add(u32::from(call.failed));
        self.slow = self.slow.saturating_add(u32::from(call.slow));
    }

    fn remove(&mut self, left: Self) {
        self.calls = self.calls.saturating_sub(left.calls);
        self.failures = self.failures.saturating_sub(left.failures);
        self.slow = self.slow.saturating_sub(left.slow);
    }
}

/// How a call went.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) failed: bool,
    pub(crate) slow: bool,
}

/// Counts of a sliding window.
#[derive(Debug)]
pub(crate) enum Window {
    Time(TimeWindow),
    Calls(CallWindow),
}

impl Window {
    pub(crate) fn of_time(length: Duration, now: Instant) -> Self {
        Self::Time(TimeWindow::new(length, now))
    }

    pub(crate) fn of_calls(calls: u32) -> Self {
        Self::Calls(CallWindow::new(calls))
    }

    /// Counts a call; tells what is in the window then.
    #[inline]
    pub(crate) fn record(&mut self, call: Outcome, now: Instant) -> Counts {
        match self {
            Self::Time(window) => {
                window.record(call, now);
                window.counts
            }
            Self::Calls(window) => {
                window.record(call);
                window.counts
            }
        }
    }

    /// What is in the window.
    pub(crate) fn counts(&mut self, now: Instant) -> Counts {
        match self {
            Self::Time(window) => {
                window.advance(now);
                window.counts
            }
            Self::Calls(window) => window.counts,
        }
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        match self {
            Self::Time(window) => window.clear(),
            Self::Calls(window) => window.clear(),
        }
    }
}

/// The calls of the last so many seconds.
#[derive(Debug)]
pub(crate) struct TimeWindow {
    buckets: [Counts; BUCKETS],
    width: u64,
    origin: Instant,
    current: u64,
    /// When the current bucket ends: before it nothing has to be reckoned.
    ends: Instant,
    counts: Counts,
}

impl TimeWindow {
    fn new(length: Duration, now: Instant) -> Self {
        let width = (length.as_nanos() / BUCKETS as u128).max(1);
        // A width of more than five centuries never ends.
        let width = u64::try_from(width).unwrap_or(u64::MAX >> 1);
        let ends = now + Duration::from_nanos(width);
        Self { buckets: Default::default(), width, origin: now, current: 0, ends, counts: Counts::default() }
    }

    #[inline]
    fn record(&mut self, call: Outcome, now: Instant) {
        self.advance(now);
        self.counts.add(call);
        self.bucket(self.current).add(call);
    }

    fn clear(&mut self) {
        self.buckets = Default::default();
        self.counts = Counts::default();
    }

    // Threads may hand in moments that are slightly out of order: an earlier one counts into the current bucket.
    #[inline]
    fn advance(&mut self, now: Instant) {
        if now < self.ends {
            return;
        }
        let passed = now.saturating_duration_since(self.origin).as_nanos();
        let index = u64::try_from(passed).unwrap_or(u64::MAX) / self.width;
        if index <= self.current {
            return;
        }
        if index - self.current >= BUCKETS as u64 {
            self.clear();
        } else {
            for step in self.current + 1..=index {
                let left = std::mem::take(self.bucket(step));
                self.counts.remove(left);
            }
        }
        self.current = index;
        let ends = Duration::from_nanos(self.width.saturating_mul(index.saturating_add(1)));
        self.ends = self.origin.checked_add(ends).unwrap_or(now);
    }

    #[allow(clippy::cast_possible_truncation, reason = "below BUCKETS")]
    fn bucket(&mut self, index: u64) -> &mut Counts {
        &mut self.buckets[(index % BUCKETS as u64) as usize]
    }
}

/// The last so many calls, two bits each.
#[derive(Debug)]
pub(crate) struct CallWindow {
    bits: Box<[u64]>,
    length: u32,
    next: u32,
    counts: Counts,
}

/// Calls in a word.
const A_WORD: u32 = u64::BITS / 2;

impl CallWindow {
    fn new(calls: u32) -> Self {
        let length = calls.max(1);
        let words = length.div_ceil(A_WORD) as usize;
        Self { bits: vec![0; words].into(), length, next: 0, counts: Counts::default() }
    }

    fn record(&mut self, call: Outcome) {
        let (word, shift) = ((self.next / A_WORD) as usize, self.next % A_WORD * 2);
        let known = &mut self.bits[word];
        if self.counts.calls == self.length {
            let left = (*known >> shift) as u32;
            self.counts.remove(Counts { calls: 1, failures: left & 1, slow: left >> 1 & 1 });
        }
        *known &= !(0b11 << shift);
        *known |= (u64::from(call.failed) | u64::from(call.slow) << 1) << shift;
        self.counts.add(call);
        self.next = (self.next + 1) % self.length;
    }

    fn clear(&mut self) {
        self.bits.fill(0);
        (self.next, self.counts) = (0, Counts::default());
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_last_so_many_calls_are_counted_and_no_others(
            length in 1_u32..150,
            calls in proptest::collection::vec((any::<bool>(), any::<bool>()), 0..400),
        ) {
            let now = Instant::now();
            let mut window = Window::of_calls(length);
            let mut model = VecDeque::new();
            for (failed, slow) in calls {
                window.record(Outcome { failed, slow }, now);
                model.push_back((failed, slow));
                if model.len() > length as usize {
                    model.pop_front();
                }
                let count = |of: fn(&(bool, bool)) -> bool| {
                    u32::try_from(model.iter().filter(|call| of(call)).count()).unwrap_or(0)
                };
                let expected = Counts { calls: count(|_| true), failures: count(|call| call.0), slow: count(|call| call.1) };
                prop_assert_eq!(window.counts(now), expected);
            }
            window.clear();
            prop_assert_eq!(window.counts(now), Counts::default());
        }

        // A bucket leaves at once, so a window is as long as it says, or shorter by less than a bucket.
        #[test]
        fn the_calls_of_the_last_so_many_seconds_are_counted(
            seconds in 1_u64..100,
            steps in proptest::collection::vec((0_u64..20_000, any::<bool>(), any::<bool>()), 1..200),
        ) {
            let start = Instant::now();
            let length = Duration::from_secs(seconds);
            let mut window = Window::of_time(length, start);
            let (mut now, mut log) = (start, Vec::new());
            for (wait, failed, slow) in steps {
                now += Duration::from_millis(wait);
                window.record(Outcome { failed, slow }, now);
                log.push((now, failed, slow));
                let within = |age: Duration, of: fn(bool, bool) -> bool| {
                    log.iter().filter(|(at, failed, slow)| now - *at < age && of(*failed, *slow)).count() as u32
                };
                let bucket = length / BUCKETS as u32;
                let counts = window.counts(now);
                for (count, of) in [
                    (counts.calls, (|_, _| true) as fn(bool, bool) -> bool),
                    (counts.failures, |failed, _| failed),
                    (counts.slow, |_, slow| slow),
                ] {
                    prop_assert!((within(length - bucket, of)..=within(length, of)).contains(&count));
                }
            }
        }
    }
}
