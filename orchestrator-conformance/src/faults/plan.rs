//! What goes wrong, how often and where: a seed and shares.

use std::collections::BTreeMap;
use std::time::Duration;

/// What goes wrong with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// It is not made, and the caller hears that it failed.
    Before,
    /// It is made, and the caller hears that it failed.
    After,
    /// It is made after so long.
    Late(Duration),
    /// The caller never hears of it.
    Never {
        /// Whether it is made.
        done: bool,
    },
    /// It is dropped after so many polls, or its answer is lost if it had ended by then; the caller hears that it failed.
    Cancelled {
        /// How often it is polled.
        polls: u32,
    },
}

/// Which share of calls meets each fault: 0.02 is one in fifty. Together no more than 1.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Rates {
    /// Of [`Fault::Before`].
    pub before: f64,
    /// Of [`Fault::After`].
    pub after: f64,
    /// Of [`Fault::Late`].
    pub late: f64,
    /// Of [`Fault::Never`], made and not made by halves.
    pub never: f64,
    /// Of [`Fault::Cancelled`].
    pub cancelled: f64,
}

impl Rates {
    /// No faults.
    pub const NONE: Self = Self { before: 0.0, after: 0.0, late: 0.0, never: 0.0, cancelled: 0.0 };

    /// The same share of each fault.
    #[must_use]
    pub const fn each(share: f64) -> Self {
        Self { before: share, after: share, late: share, never: share, cancelled: share }
    }
}

/// A bad day: which calls meet which fault.
#[derive(Debug, Clone)]
pub struct FaultPlan {
    seed: u64,
    rates: Rates,
    methods: BTreeMap<String, Rates>,
    latest: Duration,
    polls: u32,
}

impl FaultPlan {
    /// The day of this seed, with these shares for every method.
    #[must_use]
    pub fn new(seed: u64, rates: Rates) -> Self {
        Self { seed, rates, methods: BTreeMap::new(), latest: Duration::from_millis(50), polls: 4 }
    }

    /// Other shares for one method, as it is named in the port.
    #[must_use]
    pub fn on(mut self, method: &str, rates: Rates) -> Self {
        self.methods.insert(method.to_owned(), rates);
        self
    }

    /// No call is later than so long; 50 ms if not given.
    #[must_use]
    pub fn latest(mut self, latest: Duration) -> Self {
        self.latest = latest;
        self
    }

    /// No call is polled more often before it is dropped; four times if not given.
    #[must_use]
    pub fn polls(mut self, polls: u32) -> Self {
        self.polls = polls;
        self
    }

    /// The seed.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// What happens to the `number`-th call of a method, counted from 0.
    #[must_use]
    pub fn fate(&self, method: &str, number: u64) -> Option<Fault> {
        let rates = self.methods.get(method).copied().unwrap_or(self.rates);
        let mut dice = Dice::of(self.seed, method, number);
        let mut point = dice.share();
        let mut falls = |share: f64| {
            point -= share;
            point < 0.0
        };
        if falls(rates.before) {
            Some(Fault::Before)
        } else if falls(rates.after) {
            Some(Fault::After)
        } else if falls(rates.late) {
            Some(Fault::Late(self.latest.mul_f64(dice.share())))
        } else if falls(rates.never) {
            Some(Fault::Never { done: dice.share() < 0.5 })
        } else if falls(rates.cancelled) {
            Some(Fault::Cancelled { polls: (dice.share() * f64::from(self.polls + 1)) as u32 })
        } else {
            None
        }
    }
}

/// Numbers that follow from what they are made of (splitmix64).
struct Dice(u64);

impl Dice {
    fn of(seed: u64, method: &str, number: u64) -> Self {
        let mut dice = Self(seed);
        for byte in method.bytes() {
            dice.0 ^= u64::from(byte);
            dice.next();
        }
        dice.0 = dice.0.wrapping_add(number.wrapping_mul(0xd134_2543_de82_ef95));
        dice
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From 0 up to, and without, 1.
    fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fates(seed: u64, rates: Rates) -> Vec<Option<Fault>> {
        let plan = FaultPlan::new(seed, rates);
        (0..10_000).map(|number| plan.fate("settle", number)).collect()
    }

    #[test]
    fn the_same_seed_is_the_same_day_and_another_is_another() {
        assert_eq!(fates(7, Rates::each(0.1)), fates(7, Rates::each(0.1)));
        assert_ne!(fates(7, Rates::each(0.1)), fates(8, Rates::each(0.1)));
        let plan = FaultPlan::new(7, Rates::each(0.1));
        let of = |method| (0..100).map(|number| plan.fate(method, number)).collect::<Vec<_>>();
        assert_ne!(of("settle"), of("claim"), "each method has a day of its own");
    }

    #[test]
    fn each_fault_comes_about_as_often_as_its_share_says() {
        let fates = fates(1, Rates { before: 0.05, after: 0.2, late: 0.1, never: 0.02, cancelled: 0.3 });
        let share = |is: fn(&Fault) -> bool| fates.iter().flatten().filter(|fault| is(fault)).count() as f64 / 10_000.0;
        let near = |found: f64, wanted: f64| assert!((found - wanted).abs() < 0.015, "{found} of {wanted}");
        near(share(|fault| *fault == Fault::Before), 0.05);
        near(share(|fault| *fault == Fault::After), 0.2);
        near(share(|fault| matches!(fault, Fault::Late(after) if *after < Duration::from_millis(50))), 0.1);
        near(share(|fault| *fault == Fault::Never { done: true }), 0.01);
        near(share(|fault| *fault == Fault::Never { done: false }), 0.01);
        for polls in 0..=4 {
            near(share_of(&fates, polls), 0.06);
        }
        near(fates.iter().filter(|fate| fate.is_none()).count() as f64 / 10_000.0, 0.33);
    }

    fn share_of(fates: &[Option<Fault>], polls: u32) -> f64 {
        fates.iter().filter(|fate| **fate == Some(Fault::Cancelled { polls })).count() as f64 / 10_000.0
    }

    #[test]
    fn a_method_may_have_shares_of_its_own() {
        let plan = FaultPlan::new(1, Rates::each(0.2)).on("claim", Rates::NONE);
        assert!((0..1_000).all(|number| plan.fate("claim", number).is_none()));
        assert!((0..1_000).all(|number| plan.fate("settle", number).is_some()));
    }
}
