//! Large runs: what is kept is bounded, and what is counted adds up.

use orchestrator_lab::{Contender, Scenario, run};

#[test]
fn every_call_of_a_large_run_is_accounted_for() {
    let scenario = Scenario::built_in("flapping").unwrap().scaled(10.0).unwrap();
    let contenders = ["prod", "naive"].map(|name| Contender::built_in(name).unwrap());
    let report = run(&scenario, &contenders, 1).unwrap();
    for policy in &report.policies {
        let refused: u64 = policy.rejected.values().chain(policy.failed.values()).sum();
        assert_eq!(policy.succeeded + refused, policy.calls);
        assert_eq!(policy.calls, policy.requests);
        assert!(policy.requests > 29_000);
        let by_phase = |count: fn(&orchestrator_lab::PhaseReport) -> u64| policy.phases.iter().map(count).sum::<u64>();
        assert_eq!(by_phase(|phase| phase.requests), policy.requests);
        assert_eq!(by_phase(|phase| phase.attempts), policy.attempts);
        let seconds: u64 = policy.series.iter().map(|second| second.succeeded).sum();
        assert_eq!(seconds, policy.succeeded);
        // An attempt that the breaker refuses does not reach the upstream.
        assert!(policy.attempts <= policy.calls + policy.retries);
    }
}
