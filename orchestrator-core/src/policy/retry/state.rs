//! Whether there is a next attempt: pure, so that every rule of it can be tested by itself.

use std::sync::Arc;
use std::time::Duration;

use super::Budget;
use crate::policy::backoff::Schedule;
use crate::policy::classify::{Class, Sent};
use crate::policy::observe::{GaveUpReason, WaitReason};

/// What a retry works by, shared by all clones.
#[derive(Debug)]
pub(crate) struct Plan<B> {
    /// Attempts in all, the first included. One where the policy has no retries.
    pub(crate) max_attempts: u32,
    pub(crate) schedule: B,
    pub(crate) non_idempotent: bool,
    /// The longest that the whole call may take, if there is a deadline around it.
    pub(crate) total: Option<Duration>,
    pub(crate) budget: Arc<Budget>,
}

/// What is known about an attempt that has ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attempt {
    /// 1 for the first.
    pub(crate) number: u32,
    pub(crate) class: Class,
    pub(crate) idempotent: bool,
    pub(crate) allowed: bool,
    /// The wait before it.
    pub(crate) previous: Duration,
    /// What is left of the total deadline.
    pub(crate) left: Option<Duration>,
}

/// What follows an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// Its result is the call's.
    Return,
    /// The same, though it is a failure.
    GiveUp(GaveUpReason),
    /// Another attempt. A retry was taken out of the budget for it.
    Again { delay: Duration, reason: WaitReason },
}

impl<B: Schedule> Plan<B> {
    /// What follows `attempt`. The budget is asked last, so that nothing is spent on a retry that other rules forbid.
    pub(crate) fn next(&self, attempt: Attempt, random: &mut fastrand::Rng) -> Next {
        let (retry_after, sent) = match attempt.class {
            Class::Success | Class::Ignored => return Next::Return,
            Class::Final => return Next::GiveUp(GaveUpReason::Final),
            Class::Retryable { retry_after, sent } => (retry_after, sent),
        };
        if !attempt.allowed || self.max_attempts <= 1 {
            return Next::GiveUp(GaveUpReason::Disallowed);
        }
        if attempt.number >= self.max_attempts {
            return Next::GiveUp(GaveUpReason::Attempts);
        }
        if sent == Sent::Maybe && !attempt.idempotent && !self.non_idempotent {
            return Next::GiveUp(GaveUpReason::NotIdempotent);
        }
        let (delay, reason) = match retry_after {
            Some(asked) => (self.schedule.honour(asked), WaitReason::RetryAfter),
            None => (self.schedule.delay(attempt.number, attempt.previous, random), WaitReason::Backoff),
        };
        if delay == Duration::MAX {
            return Next::GiveUp(GaveUpReason::Attempts);
        }
        if attempt.left.is_some_and(|left| delay >= left) {
            return Next::GiveUp(GaveUpReason::Deadline);
        }
        if !self.budget.withdraw() {
            return Next::GiveUp(GaveUpReason::Budget);
        }
        Next::Again { delay, reason }
    }
}

#[cfg(test)]
mod tests {
    use orchestrator_types::Jitter;

    use super::super::FLOOR_BURST;
    use super::*;
    use crate::policy::backoff::Exponential;

    const MAYBE: Class = Class::Retryable { retry_after: None, sent: Sent::Maybe };

    fn plan() -> Plan<Exponential> {
        Plan {
            max_attempts: 3,
            schedule: Exponential {
                initial: Duration::from_millis(100),
                max: Duration::from_secs(5),
                multiplier: 2.0,
                jitter: Jitter::None,
            },
            non_idempotent: false,
            total: None,
            budget: Arc::new(Budget::new(0.0)),
        }
    }

    fn failed() -> Attempt {
        Attempt { number: 1, class: MAYBE, idempotent: true, allowed: true, previous: Duration::ZERO, left: None }
    }

    fn next(plan: &Plan<Exponential>, attempt: Attempt) -> Next {
        plan.next(attempt, &mut fastrand::Rng::with_seed(1))
    }

    #[test]
    fn a_failure_is_tried_again_after_the_schedules_wait() {
        let again = Next::Again { delay: Duration::from_millis(200), reason: WaitReason::Backoff };
        assert_eq!(next(&plan(), Attempt { number: 2, ..failed() }), again);
    }

    #[test]
    fn a_success_or_an_answer_that_will_not_change_is_not_tried_again() {
        assert_eq!(next(&plan(), Attempt { class: Class::Success, ..failed() }), Next::Return);
        assert_eq!(next(&plan(), Attempt { class: Class::Ignored, ..failed() }), Next::Return);
        assert_eq!(next(&plan(), Attempt { class: Class::Final, ..failed() }), Next::GiveUp(GaveUpReason::Final));
    }

    #[test]
    fn the_last_attempt_is_the_last() {
        assert_eq!(next(&plan(), Attempt { number: 3, ..failed() }), Next::GiveUp(GaveUpReason::Attempts));
    }

    #[test]
    fn inv_19_what_is_not_idempotent_is_sent_again_only_if_nothing_was_sent_or_the_policy_says_so() {
        let attempt = Attempt { idempotent: false, ..failed() };
        assert_eq!(next(&plan(), attempt), Next::GiveUp(GaveUpReason::NotIdempotent));
        let unsent = Attempt { class: Class::Retryable { retry_after: None, sent: Sent::No }, ..attempt };
        assert!(matches!(next(&plan(), unsent), Next::Again { .. }));
        let bold = Plan { non_idempotent: true, ..plan() };
        assert!(matches!(next(&bold, attempt), Next::Again { .. }));
    }

    #[test]
    fn inv_19_a_retry_after_is_honoured_and_clamped() {
        let asked = |seconds| Attempt {
            class: Class::Retryable { retry_after: Some(Duration::from_secs(seconds)), sent: Sent::No },
            ..failed()
        };
        let again = |seconds| Next::Again { delay: Duration::from_secs(seconds), reason: WaitReason::RetryAfter };
        assert_eq!(next(&plan(), asked(2)), again(2));
        assert_eq!(next(&plan(), asked(60)), again(5));
    }

    #[test]
    fn inside_a_job_nothing_is_tried_again() {
        assert_eq!(next(&plan(), Attempt { allowed: false, ..failed() }), Next::GiveUp(GaveUpReason::Disallowed));
    }

    #[test]
    fn a_wait_that_outlasts_the_deadline_is_not_begun_and_costs_no_budget() {
        let plan = plan();
        let late = Attempt { left: Some(Duration::from_millis(100)), ..failed() };
        assert_eq!(next(&plan, late), Next::GiveUp(GaveUpReason::Deadline));
        assert_eq!((0..100).filter(|_| plan.budget.withdraw()).count(), FLOOR_BURST as usize);
    }

    #[test]
    fn without_budget_a_failure_is_final() {
        let plan = plan();
        while plan.budget.withdraw() {}
        assert_eq!(next(&plan, failed()), Next::GiveUp(GaveUpReason::Budget));
    }
}
