//! The first config of a workspace: its environment's default policy.

use orchestrator_types::{
    BreakerPolicy, ConcurrencyPolicy, JobRetryPolicy, Name, Policy, RateLimitPolicy, RetryPolicy, TimeoutPolicy,
    WorkspaceConfig,
};

/// The template of that name. `dev` fails fast and retries briefly, so that faults show while one works; every other
/// name that is an environment gets the production defaults.
pub fn template(name: &str) -> Option<WorkspaceConfig> {
    let policy = match name {
        "dev" => Policy {
            timeout: TimeoutPolicy { attempt_ms: 5_000, total_ms: 15_000 },
            retry: Some(RetryPolicy::default()),
            breaker: Some(BreakerPolicy { min_calls: 10, open_s: 5, ..BreakerPolicy::default() }),
            rate_limit: Some(RateLimitPolicy { per_second: 20.0, burst: 40, ..RateLimitPolicy::default() }),
            concurrency: Some(ConcurrencyPolicy { max: 16, queue: 32, adaptive: None }),
            job_retry: JobRetryPolicy { max_attempts: 5, max_ms: 60_000, ..JobRetryPolicy::default() },
            ..Policy::default()
        },
        "prod" | "staging" | "test" => Policy {
            timeout: TimeoutPolicy { attempt_ms: 10_000, total_ms: 30_000 },
            retry: Some(RetryPolicy { initial_ms: 200, ..RetryPolicy::default() }),
            breaker: Some(BreakerPolicy { open_s: 5, ..BreakerPolicy::default() }),
            rate_limit: Some(RateLimitPolicy::default()),
            concurrency: Some(ConcurrencyPolicy::default()),
            job_retry: JobRetryPolicy { max_attempts: 12, ..JobRetryPolicy::default() },
            ..Policy::default()
        },
        _ => return None,
    };
    let mut config = WorkspaceConfig::default();
    let name: Name = "default".parse().ok()?;
    config.policies.insert(name, policy);
    Some(config)
}
