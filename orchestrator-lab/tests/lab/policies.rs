//! What the lab says of the policies: the default ones do no harm, and the naive one does.

use orchestrator_core::policy::retry::{FLOOR_BURST, FLOOR_PER_SECOND};
use orchestrator_lab::{Contender, PolicyReport, Scenario, run};

use crate::played;

/// The attempts that a policy may make at the most, in the phase with this number that lasts so many seconds.
fn most_attempts(report: &PolicyReport, phase: usize, seconds: u64, ratio: f64) -> f64 {
    let floor = u64::from(FLOOR_BURST) + u64::from(FLOOR_PER_SECOND) * seconds;
    // What calls earned before is spent now: a hundred retries are saved up at the most.
    (1.0 + ratio) * report.phases[phase].calls as f64 + floor as f64 + 100.0
}

#[test]
fn inv_19_with_everything_failing_the_default_policies_do_not_storm() {
    let report = played("upstream-down", &["dev", "prod", "naive"]);
    let [dev, prod, naive] = report.policies.as_slice() else { panic!("{report:?}") };
    for policy in [dev, prod] {
        let down = &policy.phases[1];
        assert_eq!((down.name.as_str(), down.succeeded), ("down", 0));
        assert!(down.attempts as f64 <= most_attempts(policy, 1, 60, 0.2), "{down:?}");
        // Far less in truth: the breaker keeps what will fail away from the upstream.
        assert!(down.amplification < 0.5, "{down:?}");
        assert!(policy.amplification < 1.0 + 0.2, "{}", policy.amplification);
    }
    assert!(naive.phases[1].amplification > 2.0, "{:?}", naive.phases[1]);
}

#[test]
fn inv_19_the_budget_alone_bounds_the_retries_too() {
    let mut prod = Contender::built_in("prod").unwrap();
    prod.policy.breaker = None;
    let report = run(&Scenario::built_in("upstream-down").unwrap(), &[prod], 1).unwrap();
    let down = &report.policies[0].phases[1];
    assert!(down.attempts > down.calls, "{down:?}");
    assert!(down.attempts as f64 <= most_attempts(&report.policies[0], 1, 60, 0.2), "{down:?}");
}

#[test]
fn inv_19_the_defaults_recover_by_themselves_where_retries_without_a_budget_do_not() {
    let report = played("recovering", &["dev", "prod", "naive"]);
    let [dev, prod, naive] = report.policies.as_slice() else { panic!("{report:?}") };
    let of = |policy: &PolicyReport| policy.recovered_after_s.unwrap_or(u64::MAX);
    assert!(of(dev) <= 15 && of(prod) <= 15, "{:?} {:?}", dev.recovered_after_s, prod.recovered_after_s);
    assert!(of(naive) > 2 * of(prod).max(10), "{:?}", naive.recovered_after_s);

    // The same load as before is not survived once retries keep it up.
    let report = played("load-doubling", &["dev", "prod", "naive"]);
    assert!(report.policies[..2].iter().all(|policy| of(policy) <= 15));
    assert_eq!(report.policies[2].recovered_after_s, None);
    assert!(report.policies[2].recovery_measured);
    assert!(report.policies[2].phases[2].success_ratio < 0.1);
}

#[test]
fn a_steady_upstream_is_left_alone_by_every_policy() {
    let report = played("steady", &["dev", "prod", "naive"]);
    for policy in &report.policies {
        assert_eq!((policy.success_ratio, policy.amplification, policy.retries), (1.0, 1.0, 0));
        assert!(policy.rejected.is_empty() && policy.failed.is_empty() && policy.breaker.is_empty());
        assert!(!policy.recovery_measured);
        // Nothing of a policy is felt while all is well: the same arrivals and the same luck take as long.
        assert_eq!(policy.latency_ms, report.policies[0].latency_ms);
    }
}

#[test]
fn each_built_in_scenario_is_what_it_says() {
    for name in Scenario::built_in_names() {
        let report = played(name, &["prod"]);
        let policy = &report.policies[0];
        assert_eq!(report.scenario.name, name);
        assert!(report.scenario.about.ends_with(['.', '?']), "{}", report.scenario.about);
        assert_eq!(report.scenario.phases.iter().any(|phase| phase.trouble), name != "steady");
        assert!(policy.phases[0].success_ratio > 0.99, "{name} is well at first: {:?}", policy.phases[0]);
        if name != "steady" {
            assert!(policy.succeeded < policy.requests, "{name} hurts nobody");
        }
    }
}

#[test]
fn what_the_breaker_does_is_told_with_its_times() {
    let report = played("upstream-down", &["prod"]);
    let changes = &report.policies[0].breaker;
    assert_eq!((changes[0].from, changes[0].to), ("closed", "open"));
    assert!(changes[0].at_s > 60.0 && changes[0].at_s < 80.0, "{changes:?}");
    assert!(changes.windows(2).all(|pair| pair[0].to == pair[1].from && pair[0].at_s <= pair[1].at_s));
    let last = changes.last().unwrap();
    assert!(last.to == "closed" && last.at_s > 120.0, "{changes:?}");
    assert_eq!(report.policies[0].breaker_changes, changes.len() as u64);
}
