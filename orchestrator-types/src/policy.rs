//! The policy document: how calls are bounded, retried and protected. What the numbers do is told where they are obeyed.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A policy: how calls through a connector are bounded, retried and protected. A part that is absent is not applied,
/// save the timeouts, which always are.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Policy {
    /// Deadlines of an attempt and of the whole call.
    #[serde(default)]
    pub timeout: TimeoutPolicy,
    /// Retries of a synchronous call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<RetryPolicy>,
    /// The circuit breaker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub breaker: Option<BreakerPolicy>,
    /// The rate limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<RateLimitPolicy>,
    /// The concurrency limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<ConcurrencyPolicy>,
    /// A second attempt beside one that takes long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hedge: Option<HedgePolicy>,
    /// What a synchronous call answers when it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<FallbackPolicy>,
    /// Retries of jobs and callbacks, over hours.
    #[serde(default)]
    pub job_retry: JobRetryPolicy,
}

/// Deadlines, in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TimeoutPolicy {
    /// The longest that one attempt may take.
    pub attempt_ms: u64,
    /// The longest that the whole call may take, waits included.
    pub total_ms: u64,
}

impl Default for TimeoutPolicy {
    fn default() -> Self {
        Self { attempt_ms: 5_000, total_ms: 15_000 }
    }
}

/// How a wait between attempts is spread, so that callers do not come back together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[non_exhaustive]
pub enum Jitter {
    /// Anywhere between nothing and the computed wait.
    #[default]
    Full,
    /// Half of the computed wait, and up to as much again.
    Equal,
    /// From the initial wait up to three times the last one.
    Decorrelated,
    /// Just the computed wait.
    None,
}

/// Retries of a synchronous call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RetryPolicy {
    /// Attempts in all, the first included.
    pub max_attempts: u32,
    /// The first wait.
    pub initial_ms: u64,
    /// No wait is longer, a `Retry-After` included.
    pub max_ms: u64,
    /// By how much the wait grows.
    pub multiplier: f64,
    /// How the wait is spread.
    pub jitter: Jitter,
    /// Retries as a share of calls: beyond it a failure is final.
    pub budget_ratio: f64,
    /// Whether calls that are not idempotent may be sent again although the upstream may have seen them.
    pub non_idempotent: bool,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            max_attempts: 3,
            initial_ms: 100,
            max_ms: 5_000,
            multiplier: 2.0,
            jitter: Jitter::Full,
            budget_ratio: 0.2,
            non_idempotent: false,
        }
    }
}

/// The circuit breaker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BreakerPolicy {
    /// Calls of the last so many seconds count, unless `window_calls` is given.
    pub window_s: u64,
    /// The last so many calls count, however long ago they were.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window_calls: Option<u32>,
    /// Fewer calls than this never open it.
    pub min_calls: u32,
    /// The share of failures that opens it.
    pub failure_ratio: f64,
    /// Opens it for an upstream that answers, and too slowly.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slow: Option<SlowCallPolicy>,
    /// How long it stays open.
    pub open_s: u64,
    /// How many calls are let through to probe.
    pub half_open_calls: u32,
}

impl Default for BreakerPolicy {
    fn default() -> Self {
        Self {
            window_s: 30,
            window_calls: None,
            min_calls: 20,
            failure_ratio: 0.5,
            slow: None,
            open_s: 15,
            half_open_calls: 3,
        }
    }
}

/// Which calls are slow, and how many of them open the breaker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SlowCallPolicy {
    /// A call that takes longer is slow.
    pub over_ms: u64,
    /// The share of slow calls that opens it.
    #[serde(default = "most")]
    pub ratio: f64,
}

fn most() -> f64 {
    0.8
}

/// What an operator makes a breaker do, whatever its window says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum BreakerHold {
    /// Nothing is sent: calls are refused, jobs wait.
    Open,
    /// Everything is sent.
    Closed,
}

/// What to do at a limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum OnLimit {
    /// Refuse at once.
    #[default]
    Reject,
    /// Wait, up to the deadline.
    Wait,
}

/// The rate limit: a token bucket.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RateLimitPolicy {
    /// Calls a second, sustained.
    pub per_second: f64,
    /// Calls at once.
    pub burst: u32,
    /// What happens to a call over it.
    pub on_limit: OnLimit,
}

impl Default for RateLimitPolicy {
    fn default() -> Self {
        Self { per_second: 50.0, burst: 100, on_limit: OnLimit::Reject }
    }
}

/// The concurrency limit: a bulkhead with a bounded queue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ConcurrencyPolicy {
    /// Calls in flight.
    pub max: u32,
    /// Calls that may wait for a place.
    pub queue: u32,
    /// Finds the right number below `max` by itself, from how long calls take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adaptive: Option<AdaptivePolicy>,
}

impl Default for ConcurrencyPolicy {
    fn default() -> Self {
        Self { max: 32, queue: 64, adaptive: None }
    }
}

/// How a concurrency limit adapts: by the gradient between how long calls take now and how long they usually do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AdaptivePolicy {
    /// It never goes below.
    pub min: u32,
    /// How much longer than usual calls may take before the limit shrinks: 1.5 is by half.
    pub tolerance: f64,
}

impl Default for AdaptivePolicy {
    fn default() -> Self {
        Self { min: 4, tolerance: 1.5 }
    }
}

/// Hedging: when an attempt takes longer than most do, a second one is sent beside it, and the first answer counts. Only
/// for what is idempotent, and each one is paid from the retry budget.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HedgePolicy {
    /// The share of attempts that are answered before a second one is sent.
    pub quantile: f64,
    /// Never sooner than this.
    pub min_ms: u64,
}

impl Default for HedgePolicy {
    fn default() -> Self {
        Self { quantile: 0.95, min_ms: 10 }
    }
}

/// What a synchronous call answers when it failed. Jobs and callbacks never fall back: they try again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FallbackPolicy {
    /// The output that is answered.
    pub output: Value,
    /// The failures that it stands for.
    #[serde(default = "failures")]
    pub on: BTreeSet<FallbackOn>,
}

fn failures() -> BTreeSet<FallbackOn> {
    FallbackOn::ALL.into()
}

/// A failure that a fallback may stand for, by its code. A refusal by the upstream (`upstream_rejected`) is never one: the
/// caller has to know of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[non_exhaustive]
pub enum FallbackOn {
    /// The breaker is open.
    BreakerOpen,
    /// A deadline passed.
    Timeout,
    /// Still failing after the retries.
    UpstreamFailed,
    /// The upstream was not reached.
    UpstreamUnreachable,
    /// The rate limit.
    RateLimited,
    /// The concurrency limit.
    ConcurrencyLimited,
}

impl FallbackOn {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::BreakerOpen,
        Self::Timeout,
        Self::UpstreamFailed,
        Self::UpstreamUnreachable,
        Self::RateLimited,
        Self::ConcurrencyLimited,
    ];

    /// As problem documents spell it.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::BreakerOpen => "breaker_open",
            Self::Timeout => "timeout",
            Self::UpstreamFailed => "upstream_failed",
            Self::UpstreamUnreachable => "upstream_unreachable",
            Self::RateLimited => "rate_limited",
            Self::ConcurrencyLimited => "concurrency_limited",
        }
    }
}

/// Retries of jobs and callbacks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JobRetryPolicy {
    /// Attempts in all, the first included.
    pub max_attempts: u32,
    /// The first wait.
    pub initial_ms: u64,
    /// No wait is longer, a `Retry-After` included.
    pub max_ms: u64,
    /// By how much the wait grows.
    pub multiplier: f64,
    /// How the wait is spread.
    pub jitter: Jitter,
    /// After so many refusals (4xx) a callback is given up.
    pub permanent_after: u32,
    /// Whether `retry` also works inside each attempt of a job; off, so that retries do not multiply.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub inner_retry: bool,
}

impl Default for JobRetryPolicy {
    fn default() -> Self {
        Self {
            max_attempts: 8,
            initial_ms: 1_000,
            max_ms: 3_600_000,
            multiplier: 3.0,
            jitter: Jitter::Full,
            permanent_after: 3,
            inner_retry: false,
        }
    }
}
