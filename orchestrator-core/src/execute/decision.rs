//! What a policy decided, in words for people: one place for all of them, so that a record reads as if one hand wrote it.

use std::time::Duration;

use orchestrator_types::Decision;

use crate::policy::breaker::{BreakerStatus, Counts};
use crate::policy::{AttemptEnd, Class, GaveUpReason, PolicyEvent};

/// An event as a decision of the record; `None` if it is none (an attempt is a record of its own).
pub(super) fn decision(event: &PolicyEvent, at: Duration) -> Option<Decision> {
    let (policy, decision, wait, detail) = match event {
        PolicyEvent::RateLimitAdmitted { remaining } => {
            ("rate_limit", "admitted", None, format!("{remaining} more could follow at once"))
        }
        PolicyEvent::RateLimitWaited { wait } => {
            ("rate_limit", "waited", Some(*wait), format!("for {} ms", millis(*wait)))
        }
        PolicyEvent::RateLimitRejected { retry_after } => {
            ("rate_limit", "rejected", None, format!("a call may be admitted in {} ms", millis(*retry_after)))
        }
        PolicyEvent::ConcurrencyAdmitted { in_flight, max } => {
            ("concurrency", "admitted", None, format!("{in_flight} of {max} in flight"))
        }
        PolicyEvent::ConcurrencyWaited { wait, max } => {
            let detail = format!("for {} ms, at most {max} in flight", millis(*wait));
            ("concurrency", "waited", Some(*wait), detail)
        }
        PolicyEvent::ConcurrencyRejected { max, waiting } => {
            ("concurrency", "rejected", None, format!("{max} in flight and {waiting} waiting"))
        }
        PolicyEvent::RetryScheduled { number, delay, reason } => {
            let detail = format!("attempt {number} in {} ms ({})", millis(*delay), reason.as_str());
            ("retry", "retried", None, detail)
        }
        PolicyEvent::GaveUp { reason, attempts } => {
            ("retry", "gave_up", None, format!("after {attempts}: {}", why(*reason)))
        }
        PolicyEvent::BreakerAdmitted { status, counts } => {
            ("breaker", "admitted", None, format!("{}: {}", status.as_str(), went(*counts)))
        }
        PolicyEvent::BreakerRejected { status, counts, retry_after, held } => {
            let detail = if *held {
                "held open by its config, until that changes".to_owned()
            } else {
                let until = format!("lets a probe through in {} ms", millis(*retry_after));
                format!("{}, {}: {until}", status.as_str(), went(*counts))
            };
            ("breaker", "rejected", None, detail)
        }
        PolicyEvent::BreakerTransition { from, to, counts } => {
            let decision = match to {
                BreakerStatus::Open => "opened",
                BreakerStatus::HalfOpen => "half_opened",
                BreakerStatus::Closed => "closed",
            };
            ("breaker", decision, None, format!("was {}: {}", from.as_str(), went(*counts)))
        }
        PolicyEvent::HedgeStarted { delay } => {
            ("hedge", "hedged", None, format!("no answer after {} ms: a second attempt beside it", millis(*delay)))
        }
        PolicyEvent::HedgeSkipped { delay } => {
            ("hedge", "skipped", None, format!("no answer after {} ms, and the retry budget is spent", millis(*delay)))
        }
        PolicyEvent::HedgeEnded { end, used, .. } => {
            let detail = match (used, end) {
                (true, _) => "the second attempt's result counts",
                (false, AttemptEnd::Cancelled) => "the first attempt was answered: the second is given up",
                (false, AttemptEnd::Result(Class::Success)) => "answered too late",
                (false, AttemptEnd::Result(_)) => "the second attempt failed",
            };
            ("hedge", "ended", None, detail.to_owned())
        }
        PolicyEvent::DeadlineExceeded { total } => {
            ("deadline", "exceeded", None, format!("{} ms in all", millis(*total)))
        }
        PolicyEvent::AttemptTimedOut { timeout } => {
            ("timeout", "exceeded", None, format!("{} ms for an attempt", millis(*timeout)))
        }
        PolicyEvent::FellBack => {
            ("fallback", "used", None, "the call failed: the policy's own output is answered".to_owned())
        }
        PolicyEvent::AttemptStarted { .. } | PolicyEvent::AttemptEnded { .. } => return None,
    };
    Some(Decision {
        policy: policy.to_owned(),
        decision: decision.to_owned(),
        at_ms: millis(at),
        wait_ms: wait.map(millis),
        detail: Some(detail),
    })
}

fn why(reason: GaveUpReason) -> &'static str {
    match reason {
        GaveUpReason::Attempts => "all attempts were used",
        GaveUpReason::Budget => "the retry budget is spent",
        GaveUpReason::NotIdempotent => "it is not idempotent, and the upstream may have seen it",
        GaveUpReason::Final => "the answer is final",
        GaveUpReason::Deadline => "the next attempt would begin after the deadline",
        GaveUpReason::Disallowed => "no retry here",
    }
}

fn went(Counts { calls, failures, slow }: Counts) -> String {
    match slow {
        0 => format!("{failures} of {calls} calls failed"),
        slow => format!("{failures} of {calls} calls failed, {slow} were slow"),
    }
}

/// Whole milliseconds.
pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
