//! What a policy must not say ([`validate`]), and what it may say but probably should not ([`warnings`]). Pointers are
//! relative to the policy.

use orchestrator_types::{FieldError, Jitter, Policy};

const MINUTE_MS: u64 = 60_000;
const DAY_MS: u64 = 24 * 60 * MINUTE_MS;
/// The longest total deadline of a call.
const MAX_TOTAL_MS: u64 = 60 * MINUTE_MS;
/// The longest wait between attempts of a job.
const MAX_JOB_WAIT_MS: u64 = 30 * DAY_MS;
const MAX_ATTEMPTS: u64 = 100;
const MAX_MULTIPLIER: f64 = 100.0;
const MAX_WINDOW_S: u64 = 3_600;
const MAX_WINDOW_CALLS: u64 = 2_000;
const MAX_OPEN_S: u64 = 86_400;
const MAX_CALLS: u64 = 1_000_000;
const MAX_PROBES: u64 = 1_000;
const MAX_PER_SECOND: f64 = 1_000_000.0;
/// Once a day.
const MIN_PER_SECOND: f64 = 1.0 / 86_400.0;
const MAX_IN_FLIGHT: u64 = 100_000;
const MAX_TOLERANCE: f64 = 10.0;
/// Bytes: it is handed out from memory, for every call that fails.
const MAX_FALLBACK: usize = 16 * 1024;

/// Everything in `policy` that cannot work, all at once. Empty means that it can be activated.
pub fn validate(policy: &Policy) -> Vec<FieldError> {
    let mut found = Found(Vec::new());
    timeout(policy, &mut found);
    retry(policy, &mut found);
    breaker(policy, &mut found);
    limits(policy, &mut found);
    hedge(policy, &mut found);
    fallback(policy, &mut found);
    job_retry(policy, &mut found);
    found.0
}

struct Found(Vec<FieldError>);

impl Found {
    fn say(&mut self, pointer: &str, detail: impl Into<String>) {
        self.0.push(FieldError::new(pointer, detail));
    }

    fn whole(&mut self, pointer: &str, value: u64, least: u64, most: u64) {
        if !(least..=most).contains(&value) {
            self.say(pointer, format!("must be between {least} and {most}, and is {value}"));
        }
    }

    // A NaN is in no range.
    fn number(&mut self, pointer: &str, value: f64, least: f64, most: f64) {
        if !(least..=most).contains(&value) {
            self.say(pointer, format!("must be between {least} and {most}, and is {value}"));
        }
    }

    fn waits(&mut self, part: &str, initial_ms: u64, max_ms: u64, multiplier: f64, longest_ms: u64) {
        self.whole(&format!("/{part}/max_ms"), max_ms, 0, longest_ms);
        if initial_ms > max_ms {
            self.say(
                &format!("/{part}/initial_ms"),
                format!("must not be longer than max_ms ({max_ms}), and is {initial_ms}"),
            );
        }
        self.number(&format!("/{part}/multiplier"), multiplier, 1.0, MAX_MULTIPLIER);
    }
}

fn timeout(policy: &Policy, found: &mut Found) {
    let timeout = &policy.timeout;
    found.whole("/timeout/total_ms", timeout.total_ms, 1, MAX_TOTAL_MS);
    found.whole("/timeout/attempt_ms", timeout.attempt_ms, 1, MAX_TOTAL_MS);
    if timeout.attempt_ms > timeout.total_ms {
        let total = timeout.total_ms;
        found.say(
            "/timeout/attempt_ms",
            format!("must not be longer than total_ms ({total}), and is {}", timeout.attempt_ms),
        );
    }
}

fn retry(policy: &Policy, found: &mut Found) {
    let Some(retry) = &policy.retry else { return };
    found.whole("/retry/max_attempts", u64::from(retry.max_attempts), 1, MAX_ATTEMPTS);
    found.waits("retry", retry.initial_ms, retry.max_ms, retry.multiplier, MAX_TOTAL_MS);
    found.number("/retry/budget_ratio", retry.budget_ratio, 0.0, 1.0);
}

fn breaker(policy: &Policy, found: &mut Found) {
    let Some(breaker) = &policy.breaker else { return };
    found.whole("/breaker/window_s", breaker.window_s, 1, MAX_WINDOW_S);
    found.whole("/breaker/min_calls", u64::from(breaker.min_calls), 1, MAX_CALLS);
    if let Some(calls) = breaker.window_calls {
        found.whole("/breaker/window_calls", u64::from(calls), 1, MAX_WINDOW_CALLS);
        if breaker.min_calls > calls {
            found.say(
                "/breaker/min_calls",
                format!("more than the window of {calls} calls ever holds: the breaker would never open"),
            );
        }
    }
    if let Some(slow) = &breaker.slow {
        found.whole("/breaker/slow/over_ms", slow.over_ms, 1, MAX_TOTAL_MS);
        found.number("/breaker/slow/ratio", slow.ratio, f64::MIN_POSITIVE, 1.0);
        if slow.over_ms >= policy.timeout.attempt_ms {
            let attempt = policy.timeout.attempt_ms;
            found.say(
                "/breaker/slow/over_ms",
                format!("must be shorter than attempt_ms ({attempt}), after which a call has failed anyway"),
            );
        }
    }
    found.number("/breaker/failure_ratio", breaker.failure_ratio, f64::MIN_POSITIVE, 1.0);
    found.whole("/breaker/open_s", breaker.open_s, 1, MAX_OPEN_S);
    found.whole("/breaker/half_open_calls", u64::from(breaker.half_open_calls), 1, MAX_PROBES);
}

fn limits(policy: &Policy, found: &mut Found) {
    if let Some(limit) = &policy.rate_limit {
        found.number("/rate_limit/per_second", limit.per_second, MIN_PER_SECOND, MAX_PER_SECOND);
        found.whole("/rate_limit/burst", u64::from(limit.burst), 1, MAX_CALLS);
    }
    if let Some(concurrency) = &policy.concurrency {
        found.whole("/concurrency/max", u64::from(concurrency.max), 1, MAX_IN_FLIGHT);
        found.whole("/concurrency/queue", u64::from(concurrency.queue), 0, MAX_IN_FLIGHT);
        if let Some(adaptive) = &concurrency.adaptive {
            found.whole("/concurrency/adaptive/min", u64::from(adaptive.min), 1, u64::from(concurrency.max).max(1));
            found.number("/concurrency/adaptive/tolerance", adaptive.tolerance, 1.0, MAX_TOLERANCE);
        }
    }
}

fn hedge(policy: &Policy, found: &mut Found) {
    let Some(hedge) = &policy.hedge else { return };
    found.number("/hedge/quantile", hedge.quantile, 0.5, 0.9999);
    found.whole("/hedge/min_ms", hedge.min_ms, 0, MAX_TOTAL_MS);
    if hedge.min_ms >= policy.timeout.attempt_ms {
        let attempt = policy.timeout.attempt_ms;
        found
            .say("/hedge/min_ms", format!("must be shorter than attempt_ms ({attempt}), or no attempt is ever hedged"));
    }
}

fn fallback(policy: &Policy, found: &mut Found) {
    let Some(fallback) = &policy.fallback else { return };
    if fallback.on.is_empty() {
        found.say("/fallback/on", "names no failure: the fallback would never be used");
    }
    if serde_json::to_vec(&fallback.output).map_or(usize::MAX, |text| text.len()) > MAX_FALLBACK {
        found.say("/fallback/output", format!("at most {MAX_FALLBACK} bytes"));
    }
}

fn job_retry(policy: &Policy, found: &mut Found) {
    let jobs = &policy.job_retry;
    found.whole("/job_retry/max_attempts", u64::from(jobs.max_attempts), 1, MAX_ATTEMPTS);
    found.waits("job_retry", jobs.initial_ms, jobs.max_ms, jobs.multiplier, MAX_JOB_WAIT_MS);
    found.whole("/job_retry/permanent_after", u64::from(jobs.permanent_after), 1, MAX_ATTEMPTS);
}

/// What in `policy` works but is likely to do harm, or to do nothing.
pub fn warnings(policy: &Policy) -> Vec<FieldError> {
    let mut found = Found(Vec::new());
    if let Some(retry) = &policy.retry {
        let all = policy.timeout.attempt_ms.saturating_mul(u64::from(retry.max_attempts));
        if retry.max_attempts > 1 && all > policy.timeout.total_ms {
            found.say(
                "/retry/max_attempts",
                "attempts that time out do not all fit into the total deadline: the last are cut or not made",
            );
        }
        if retry.max_attempts > 1 && retry.max_ms >= policy.timeout.total_ms {
            found
                .say("/retry/max_ms", "the longest wait outlasts the total deadline: a long Retry-After ends the call");
        }
        if retry.max_attempts > 10 {
            found.say(
                "/retry/max_attempts",
                "a caller waits through all of these; long series of attempts belong into a job",
            );
        }
        if retry.non_idempotent {
            found.say("/retry/non_idempotent", "calls that are not idempotent may be carried out twice");
        }
        if retry.non_idempotent && retry.budget_ratio >= 1.0 {
            found.say(
                "/retry/budget_ratio",
                "with non_idempotent and no budget to speak of, an upstream that is failing may carry everything out twice",
            );
        }
        if retry.budget_ratio > 0.5 {
            found.say("/retry/budget_ratio", "an upstream that is failing gets more than half of its load on top");
        }
        if retry.jitter == Jitter::None && retry.max_attempts > 1 {
            found.say("/retry/jitter", "without jitter callers that failed together come back together");
        }
        if retry.initial_ms == 0 && retry.max_attempts > 1 {
            found.say("/retry/initial_ms", "attempts follow each other without a wait");
        }
    }
    if let (Some(breaker), Some(limit)) = (&policy.breaker, &policy.rate_limit) {
        #[allow(clippy::cast_precision_loss, reason = "seconds of a window")]
        let most = f64::from(limit.burst) + limit.per_second * breaker.window_s as f64;
        // Each call may be several attempts, and attempts are what the breaker counts.
        let attempts = most * f64::from(policy.retry.as_ref().map_or(1, |retry| retry.max_attempts));
        if attempts < f64::from(breaker.min_calls) {
            found.say(
                "/breaker/min_calls",
                "the rate limit admits fewer calls in a window than this: the breaker never opens",
            );
        }
    }
    if let Some(hedge) = &policy.hedge {
        if policy.retry.as_ref().is_none_or(|retry| retry.max_attempts <= 1 || retry.budget_ratio == 0.0) {
            found.say("/hedge", "hedges are paid from the retry budget, and without retries only its floor is there");
        }
        if hedge.quantile < 0.9 {
            found.say("/hedge/quantile", "more than one attempt in ten is sent twice, if the budget allows it");
        }
    }
    if policy.breaker.is_none() {
        found.say("/breaker", "without a breaker calls go on waiting for an upstream that is down");
    }
    let jobs = &policy.job_retry;
    if jobs.inner_retry && policy.retry.as_ref().is_some_and(|retry| retry.max_attempts > 1) {
        found.say("/job_retry/inner_retry", "retries inside each attempt of a job multiply with the job's own");
    }
    if jobs.initial_ms == 0 && jobs.max_attempts > 1 {
        found.say("/job_retry/initial_ms", "attempts follow each other without a wait");
    }
    if jobs.jitter == Jitter::None && jobs.max_attempts > 1 {
        found.say("/job_retry/jitter", "without jitter jobs that failed together come back together");
    }
    found.0
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::collections::BTreeSet;

    use orchestrator_types::{
        AdaptivePolicy, BreakerPolicy, ConcurrencyPolicy, FallbackOn, FallbackPolicy, HedgePolicy, RateLimitPolicy,
        RetryPolicy, SlowCallPolicy,
    };
    use serde_json::Value;

    use super::*;

    fn whole() -> Policy {
        Policy {
            retry: Some(RetryPolicy::default()),
            breaker: Some(BreakerPolicy::default()),
            rate_limit: Some(RateLimitPolicy::default()),
            concurrency: Some(ConcurrencyPolicy::default()),
            ..Policy::default()
        }
    }

    #[allow(clippy::unnecessary_wraps, reason = "the parts of a policy may be absent")]
    fn slow(over_ms: u64, ratio: f64) -> Option<SlowCallPolicy> {
        Some(SlowCallPolicy { over_ms, ratio })
    }

    #[allow(clippy::unnecessary_wraps, reason = "the parts of a policy may be absent")]
    fn adaptive(min: u32, tolerance: f64) -> Option<AdaptivePolicy> {
        Some(AdaptivePolicy { min, tolerance })
    }

    #[allow(clippy::unnecessary_wraps, reason = "the parts of a policy may be absent")]
    fn hedging(quantile: f64, min_ms: u64) -> Option<HedgePolicy> {
        Some(HedgePolicy { quantile, min_ms })
    }

    fn fallback_of(output: impl Into<Value>) -> FallbackPolicy {
        FallbackPolicy { output: output.into(), on: FallbackOn::ALL.into() }
    }

    fn pointers(errors: &[FieldError]) -> Vec<&str> {
        errors.iter().map(|error| error.pointer.as_str()).collect()
    }

    #[test]
    fn the_defaults_are_valid_and_harmless() {
        assert_eq!(validate(&whole()), []);
        assert_eq!(validate(&Policy::default()), []);
        assert_eq!(warnings(&whole()), []);
    }

    #[test]
    fn each_thing_that_cannot_work_is_refused_at_its_place() {
        type Change = fn(&mut Policy);
        let cases: [(&str, Change); 46] = [
            ("/timeout/attempt_ms", |p| p.timeout.attempt_ms = 0),
            ("/timeout/attempt_ms", |p| p.timeout.attempt_ms = p.timeout.total_ms + 1),
            ("/timeout/total_ms", |p| p.timeout.total_ms = u64::MAX),
            ("/retry/max_attempts", |p| p.retry.as_mut().unwrap().max_attempts = 0),
            ("/retry/max_attempts", |p| p.retry.as_mut().unwrap().max_attempts = 101),
            ("/retry/initial_ms", |p| p.retry.as_mut().unwrap().initial_ms = 5_001),
            ("/retry/max_ms", |p| p.retry.as_mut().unwrap().max_ms = u64::MAX),
            ("/retry/multiplier", |p| p.retry.as_mut().unwrap().multiplier = 0.5),
            ("/retry/multiplier", |p| p.retry.as_mut().unwrap().multiplier = f64::NAN),
            ("/retry/multiplier", |p| p.retry.as_mut().unwrap().multiplier = f64::INFINITY),
            ("/retry/budget_ratio", |p| p.retry.as_mut().unwrap().budget_ratio = 1.1),
            ("/retry/budget_ratio", |p| p.retry.as_mut().unwrap().budget_ratio = -0.1),
            ("/retry/budget_ratio", |p| p.retry.as_mut().unwrap().budget_ratio = f64::NAN),
            ("/breaker/window_s", |p| p.breaker.as_mut().unwrap().window_s = 0),
            ("/breaker/min_calls", |p| p.breaker.as_mut().unwrap().min_calls = 0),
            ("/breaker/failure_ratio", |p| p.breaker.as_mut().unwrap().failure_ratio = 0.0),
            ("/breaker/failure_ratio", |p| p.breaker.as_mut().unwrap().failure_ratio = 1.01),
            ("/breaker/open_s", |p| p.breaker.as_mut().unwrap().open_s = 0),
            ("/breaker/half_open_calls", |p| p.breaker.as_mut().unwrap().half_open_calls = 0),
            ("/rate_limit/per_second", |p| p.rate_limit.as_mut().unwrap().per_second = 0.0),
            ("/rate_limit/per_second", |p| p.rate_limit.as_mut().unwrap().per_second = -1.0),
            ("/rate_limit/per_second", |p| p.rate_limit.as_mut().unwrap().per_second = f64::NAN),
            ("/rate_limit/per_second", |p| p.rate_limit.as_mut().unwrap().per_second = 1e300),
            ("/rate_limit/burst", |p| p.rate_limit.as_mut().unwrap().burst = 0),
            ("/rate_limit/burst", |p| p.rate_limit.as_mut().unwrap().burst = u32::MAX),
            ("/concurrency/max", |p| p.concurrency.as_mut().unwrap().max = 0),
            ("/concurrency/queue", |p| p.concurrency.as_mut().unwrap().queue = u32::MAX),
            ("/job_retry/max_attempts", |p| p.job_retry.max_attempts = 0),
            ("/job_retry/initial_ms", |p| p.job_retry.initial_ms = u64::MAX),
            ("/job_retry/permanent_after", |p| p.job_retry.permanent_after = 0),
            ("/breaker/window_calls", |p| p.breaker.as_mut().unwrap().window_calls = Some(2_001)),
            ("/breaker/min_calls", |p| p.breaker.as_mut().unwrap().window_calls = Some(19)),
            ("/breaker/slow/over_ms", |p| p.breaker.as_mut().unwrap().slow = slow(0, 0.5)),
            ("/breaker/slow/over_ms", |p| p.breaker.as_mut().unwrap().slow = slow(5_000, 0.5)),
            ("/breaker/slow/ratio", |p| p.breaker.as_mut().unwrap().slow = slow(100, 0.0)),
            ("/breaker/slow/ratio", |p| p.breaker.as_mut().unwrap().slow = slow(100, f64::NAN)),
            ("/concurrency/adaptive/min", |p| p.concurrency.as_mut().unwrap().adaptive = adaptive(0, 1.5)),
            ("/concurrency/adaptive/min", |p| p.concurrency.as_mut().unwrap().adaptive = adaptive(33, 1.5)),
            ("/concurrency/adaptive/tolerance", |p| p.concurrency.as_mut().unwrap().adaptive = adaptive(1, 0.9)),
            ("/concurrency/adaptive/tolerance", |p| p.concurrency.as_mut().unwrap().adaptive = adaptive(1, f64::NAN)),
            ("/hedge/quantile", |p| p.hedge = hedging(0.4, 10)),
            ("/hedge/quantile", |p| p.hedge = hedging(1.0, 10)),
            ("/hedge/quantile", |p| p.hedge = hedging(f64::NAN, 10)),
            ("/hedge/min_ms", |p| p.hedge = hedging(0.95, 5_000)),
            ("/fallback/on", |p| p.fallback = Some(FallbackPolicy { output: Value::Null, on: BTreeSet::new() })),
            ("/fallback/output", |p| p.fallback = Some(fallback_of("x".repeat(MAX_FALLBACK)))),
        ];
        for (pointer, change) in cases {
            let mut policy = whole();
            change(&mut policy);
            assert_eq!(pointers(&validate(&policy)), [pointer]);
        }
    }

    #[test]
    fn everything_wrong_is_told_at_once() {
        let mut policy = whole();
        policy.timeout.attempt_ms = 0;
        policy.retry.as_mut().unwrap().max_attempts = 0;
        policy.concurrency.as_mut().unwrap().max = 0;
        assert_eq!(pointers(&validate(&policy)), ["/timeout/attempt_ms", "/retry/max_attempts", "/concurrency/max"]);
    }

    #[test]
    fn what_may_do_harm_is_warned_of() {
        let mut policy = whole();
        policy.timeout.total_ms = 5_000;
        policy.job_retry.inner_retry = true;
        let retry = policy.retry.as_mut().unwrap();
        (retry.non_idempotent, retry.jitter, retry.initial_ms) = (true, Jitter::None, 0);
        let limit = policy.rate_limit.as_mut().unwrap();
        (limit.per_second, limit.burst) = (0.1, 1);
        let warned = warnings(&policy);
        assert_eq!(
            pointers(&warned),
            [
                "/retry/max_attempts",
                "/retry/max_ms",
                "/retry/non_idempotent",
                "/retry/jitter",
                "/retry/initial_ms",
                "/breaker/min_calls",
                "/job_retry/inner_retry",
            ]
        );
        assert_eq!(validate(&policy), []);
    }

    #[test]
    fn retries_without_a_budget_of_what_is_not_idempotent_are_warned_of() {
        let mut policy = whole();
        let retry = policy.retry.as_mut().unwrap();
        (retry.non_idempotent, retry.budget_ratio) = (true, 1.0);
        let warned = warnings(&policy);
        assert_eq!(pointers(&warned), ["/retry/non_idempotent", "/retry/budget_ratio", "/retry/budget_ratio"]);
        assert!(warned[1].detail.contains("twice"), "{}", warned[1].detail);
    }

    #[test]
    fn a_hedge_that_nothing_pays_for_or_that_is_sent_too_often_is_warned_of() {
        let mut policy = whole();
        policy.hedge = hedging(0.8, 10);
        assert_eq!(pointers(&warnings(&policy)), ["/hedge/quantile"]);
        policy.hedge = hedging(0.95, 10);
        assert_eq!(warnings(&policy), []);
        policy.retry = None;
        assert_eq!(pointers(&warnings(&policy)), ["/hedge"]);
    }
}
