//! The retry budget: retries are a share of calls, so that an upstream that fails altogether is not hit by a multiple
//! of its load. After Finagle's: every call earns a part of a retry, every retry spends a whole one.

use std::fmt;
use std::time::Duration;

use tokio::time::Instant;

use crate::policy::sync::atomic::{AtomicU64, Ordering};
use crate::policy::sync::{Mutex, PoisonError};

/// One retry, in the unit that is counted.
const TOKEN: u64 = 1_000_000;
/// The most retries that calls can earn in advance, so that a long quiet time does not save up for a storm.
const RESERVE: u64 = 100 * TOKEN;
/// Beside what calls earn, so many retries a second are always allowed: a lane with few calls would have none otherwise.
pub const FLOOR_PER_SECOND: u32 = 1;
/// The most that the floor saves up.
pub const FLOOR_BURST: u32 = 10;

/// A budget of retries, shared by all calls of a lane and by its jobs.
///
/// Over any time, retries are at most `ratio` × calls + [`FLOOR_PER_SECOND`] × seconds + [`FLOOR_BURST`].
pub struct Budget {
    ratio: u64,
    earned: AtomicU64,
    floor: Mutex<Floor>,
}

/// A token bucket, without a lock or a clock.
#[derive(Debug)]
struct Floor {
    tokens: u64,
    at: Instant,
}

impl Floor {
    fn withdraw(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.at);
        let gained = u64::try_from(passed.as_micros()).unwrap_or(u64::MAX).saturating_mul(u64::from(FLOOR_PER_SECOND));
        // A token is a million: a second of micros gains one for each of FLOOR_PER_SECOND.
        self.tokens = self.tokens.saturating_add(gained).min(u64::from(FLOOR_BURST) * TOKEN);
        // What is left of the last micro is kept for the next time.
        self.at += Duration::from_micros(u64::try_from(passed.as_micros()).unwrap_or(u64::MAX));
        match self.tokens.checked_sub(TOKEN) {
            Some(left) => {
                self.tokens = left;
                true
            }
            None => false,
        }
    }
}

impl Budget {
    /// A budget of `ratio` retries a call. What is no number between 0 and 1 is brought into that range.
    pub fn new(ratio: f64) -> Self {
        Self::new_at(ratio, Instant::now())
    }

    fn new_at(ratio: f64, now: Instant) -> Self {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and a million")]
        let ratio = if ratio.is_nan() { 0 } else { (ratio.clamp(0.0, 1.0) * TOKEN as f64) as u64 };
        let floor = Mutex::new(Floor { tokens: u64::from(FLOOR_BURST) * TOKEN, at: now });
        Self { ratio, earned: AtomicU64::new(0), floor }
    }

    /// A call was made that is no retry itself: it earns its share.
    #[inline]
    pub fn deposit(&self) {
        self.earn(self.ratio);
    }

    /// Takes a retry out of the budget. False means that there must be none.
    pub fn withdraw(&self) -> bool {
        // The clock is read only when what was earned is spent.
        self.spend() || self.floor.lock().unwrap_or_else(PoisonError::into_inner).withdraw(Instant::now())
    }

    /// Gives back a retry that was taken out and then not made.
    pub fn refund(&self) {
        self.earn(TOKEN);
    }

    #[cfg(test)]
    fn withdraw_at(&self, now: Instant) -> bool {
        self.spend() || self.floor.lock().unwrap_or_else(PoisonError::into_inner).withdraw(now)
    }

    fn spend(&self) -> bool {
        self.earned.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |earned| earned.checked_sub(TOKEN)).is_ok()
    }

    #[inline]
    fn earn(&self, amount: u64) {
        let earned = self.earned.load(Ordering::Relaxed);
        // A full reserve is the usual case: nothing is written then, so that cores do not fight over the line.
        if amount == 0 || earned >= RESERVE {
            return;
        }
        let _ = self.earned.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |earned| {
            Some(earned.saturating_add(amount).min(RESERVE))
        });
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let earned = self.earned.load(Ordering::Relaxed) / TOKEN;
        f.debug_struct("Budget").field("earned", &earned).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_fresh_budget_allows_the_floor_and_no_more() {
        let now = Instant::now();
        let budget = Budget::new_at(0.2, now);
        assert_eq!((0..100).filter(|_| budget.withdraw_at(now)).count(), FLOOR_BURST as usize);
    }

    #[test]
    fn five_calls_at_a_fifth_earn_one_retry() {
        let now = Instant::now();
        let budget = Budget::new_at(0.2, now);
        while budget.withdraw_at(now) {}
        (0..4).for_each(|_| budget.deposit());
        assert!(!budget.withdraw_at(now));
        budget.deposit();
        assert!(budget.withdraw_at(now));
        assert!(!budget.withdraw_at(now));
    }

    #[test]
    fn what_was_not_made_can_be_made_later() {
        let now = Instant::now();
        let budget = Budget::new_at(0.0, now);
        while budget.withdraw_at(now) {}
        budget.refund();
        assert!(budget.withdraw_at(now));
    }

    #[test]
    fn a_long_quiet_time_does_not_save_up_for_a_storm() {
        let now = Instant::now();
        let budget = Budget::new_at(1.0, now);
        (0..100_000).for_each(|_| budget.deposit());
        let (reserve, floor) = (RESERVE / TOKEN, u64::from(FLOOR_BURST));
        let retries = (0..1_000).filter(|_| budget.withdraw_at(now)).count();
        assert_eq!(u64::try_from(retries).unwrap_or(0), reserve + floor);
    }

    #[test]
    fn a_ratio_that_is_no_number_earns_nothing() {
        let now = Instant::now();
        let budget = Budget::new_at(f64::NAN, now);
        while budget.withdraw_at(now) {}
        (0..1_000).for_each(|_| budget.deposit());
        assert!(!budget.withdraw_at(now));
    }

    proptest! {
        // However calls, waits and retries follow each other, in every stretch of time the retries stay under the
        // share of its calls plus the floor plus what could be saved before it.
        #[test]
        fn inv_19_retries_stay_under_their_share_of_calls(
            ratio in 0.0_f64..=1.0,
            steps in proptest::collection::vec((0_u32..30, 0_u32..30, 0_u64..3_000), 1..60),
        ) {
            let start = Instant::now();
            let budget = Budget::new_at(ratio, start);
            let (mut now, mut calls, mut retries) = (start, 0_u32, 0_u32);
            for (some_calls, wanted, wait) in steps {
                (0..some_calls).for_each(|_| budget.deposit());
                calls += some_calls;
                retries += u32::try_from((0..wanted).filter(|_| budget.withdraw_at(now)).count()).unwrap_or(0);
                let floor = f64::from(FLOOR_BURST) + f64::from(FLOOR_PER_SECOND) * (now - start).as_secs_f64();
                prop_assert!(f64::from(retries) <= ratio * f64::from(calls) + floor + 1e-6);
                now += Duration::from_millis(wait);
            }
        }
    }
}
