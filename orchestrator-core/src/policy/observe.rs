//! How the policies tell what they decide: every layer opens a scope for the request and reports to it.
//!
//! Its one rule: an observer never changes what a policy decides.

use std::time::Duration;

use super::breaker::{BreakerStatus, Counts};
use super::classify::Class;

/// Opens a [`Scope`] for each request.
pub trait Observe<Req>: Clone {
    /// Where the events of one request go.
    type Scope: Scope;

    /// The scope of `request`. Each layer asks for one; the scopes of one request should lead to the same place.
    fn scope(&self, request: &Req) -> Self::Scope;
}

/// Where the events of one request go.
pub trait Scope: Clone {
    /// Whether anybody listens. Where nobody does, what only the events tell is not measured.
    const LISTENS: bool = true;

    /// Takes one event. Called while the request is polled or dropped: it must neither block nor panic.
    fn event(&self, event: PolicyEvent);
}

/// Observes nothing and costs nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NoObserver;

impl<Req> Observe<Req> for NoObserver {
    type Scope = NoObserver;

    #[inline]
    fn scope(&self, _request: &Req) -> Self::Scope {
        NoObserver
    }
}

impl Scope for NoObserver {
    const LISTENS: bool = false;

    #[inline]
    fn event(&self, _event: PolicyEvent) {}
}

/// Why an attempt was not made at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WaitReason {
    /// The schedule's own wait.
    Backoff,
    /// The upstream asked for it, and it was cut to the policy's longest wait.
    RetryAfter,
}

impl WaitReason {
    /// As the execution record spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Backoff => "backoff",
            Self::RetryAfter => "retry_after",
        }
    }
}

/// Why no further attempt was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GaveUpReason {
    /// All attempts were used.
    Attempts,
    /// The retry budget was spent.
    Budget,
    /// It is not idempotent, and the upstream may have seen it.
    NotIdempotent,
    /// The answer will not change.
    Final,
    /// The next attempt would begin after the total deadline.
    Deadline,
    /// The policy or the request allows no retry.
    Disallowed,
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AttemptEnd {
    /// With a result of this class. If it was the attempt's timeout or the open breaker that made the result, their own
    /// event came just before.
    Result(Class),
    /// It was dropped: the caller went away, or the total deadline passed (whose event then came just before).
    Cancelled,
}

/// What a policy decided or did.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum PolicyEvent {
    /// The rate limit let the call through at once.
    RateLimitAdmitted {
        /// Calls that could follow at once.
        remaining: u32,
    },
    /// The rate limit let the call through after a wait.
    RateLimitWaited {
        /// How long it waited.
        wait: Duration,
    },
    /// The rate limit refused the call.
    RateLimitRejected {
        /// After how long a call may be admitted.
        retry_after: Duration,
    },
    /// The concurrency limit had a place.
    ConcurrencyAdmitted {
        /// Calls in flight, this one included.
        in_flight: u32,
        /// The most that there may be.
        max: u32,
    },
    /// The concurrency limit had a place after a wait.
    ConcurrencyWaited {
        /// How long it waited.
        wait: Duration,
        /// The most calls that may be in flight.
        max: u32,
    },
    /// Every place was taken, and the queue was full or not to be used.
    ConcurrencyRejected {
        /// The most calls that may be in flight.
        max: u32,
        /// How many waited.
        waiting: u32,
    },
    /// An attempt begins.
    AttemptStarted {
        /// 1 for the first.
        number: u32,
        /// How long was waited since the attempt before it ended.
        wait: Duration,
        /// Why, for all but the first.
        reason: Option<WaitReason>,
    },
    /// An attempt ended.
    AttemptEnded {
        /// 1 for the first.
        number: u32,
        /// How.
        end: AttemptEnd,
        /// How long it took.
        duration: Duration,
    },
    /// A further attempt follows.
    RetryScheduled {
        /// Its number.
        number: u32,
        /// How long it waits.
        delay: Duration,
        /// Why that long.
        reason: WaitReason,
    },
    /// No further attempt follows a failure.
    GaveUp {
        /// Why.
        reason: GaveUpReason,
        /// How many attempts were made.
        attempts: u32,
    },
    /// The breaker let the attempt through.
    BreakerAdmitted {
        /// Its state.
        status: BreakerStatus,
        /// What was in its window.
        counts: Counts,
    },
    /// The breaker is open: nothing was sent.
    BreakerRejected {
        /// Its state: half-open while every probe is under way.
        status: BreakerStatus,
        /// What was in its window.
        counts: Counts,
        /// Until it may let a call through.
        retry_after: Duration,
        /// Whether an operator holds it open.
        held: bool,
    },
    /// The breaker changed its state because of this call.
    BreakerTransition {
        /// From.
        from: BreakerStatus,
        /// To.
        to: BreakerStatus,
        /// What it decided on.
        counts: Counts,
    },
    /// An attempt takes longer than most do: a second one begins beside it.
    HedgeStarted {
        /// After how long.
        delay: Duration,
    },
    /// An attempt takes longer than most do, and there is no budget for a second one.
    HedgeSkipped {
        /// After how long.
        delay: Duration,
    },
    /// The second attempt ended, or was given up because the first one was answered.
    HedgeEnded {
        /// How.
        end: AttemptEnd,
        /// How long it took.
        duration: Duration,
        /// Whether its result is the attempt's.
        used: bool,
    },
    /// The call failed, and the fallback answered for it.
    FellBack,
    /// The total deadline passed.
    DeadlineExceeded {
        /// How long the call was given.
        total: Duration,
    },
    /// The attempt's timeout passed.
    AttemptTimedOut {
        /// How long the attempt was given.
        timeout: Duration,
    },
}
