//! The simulated upstream and its clients, under a policy that does next to nothing.

use serde_json::json;

use crate::{minute, tried};

#[test]
fn an_upstream_that_is_well_takes_what_it_was_told_to_take() {
    let report = tried(minute(json!({"latency": {"p50_ms": 25, "p99_ms": 25}})), json!({}));
    assert_eq!((report.requests, report.calls, report.attempts, report.succeeded), (599, 599, 599, 599));
    assert_eq!((report.latency_ms.p50, report.latency_ms.max), (Some(25), Some(25)));
    assert_eq!((report.peak.attempts_per_second, report.most_waiting, report.abandoned), (10, 0, 0));
}

#[test]
fn each_way_to_fail_is_told_apart() {
    let fails = |kind: &str| {
        let failing = json!({"ratio": 1.0, "as": {"kind": kind}});
        tried(minute(json!({"failing": failing})), json!({"timeout": {"attempt_ms": 100, "total_ms": 150}}))
    };
    for (kind, told) in [
        ("error", "upstream_500"),
        ("refused", "connection_refused"),
        ("unavailable", "upstream_503"),
        ("hang", "attempt_timeout"),
        ("rejected", "upstream_400"),
    ] {
        let report = fails(kind);
        assert!(report.failed.contains_key(told) && report.rejected.is_empty(), "{kind}: {:?}", report.failed);
        assert_eq!(report.succeeded, 0);
    }
    assert_eq!(fails("hang").abandoned, 599);
}

#[test]
fn what_must_not_be_sent_twice_is_not_and_what_was_not_sent_is_sent_again() {
    let policy = json!({"retry": {"max_attempts": 2, "budget_ratio": 1.0}});
    let with = |kind: &str, idempotent: f64| {
        let mut scenario = minute(json!({"failing": {"ratio": 1.0, "as": {"kind": kind}}}));
        scenario["clients"] = json!({"idempotent": idempotent});
        tried(scenario, policy.clone())
    };
    assert_eq!(with("error", 0.0).attempts, 599);
    assert_eq!(with("error", 0.0).gave_up["not_idempotent"], 599);
    assert_eq!(with("error", 1.0).attempts, 2 * 599);
    assert_eq!(with("refused", 0.0).attempts, 2 * 599);
    let half = with("error", 0.5).attempts;
    assert!((599 * 14 / 10..599 * 16 / 10).contains(&half), "{half}");
}

#[test]
fn a_retry_after_is_waited_for() {
    let failing = json!({"ratio": 1.0, "as": {"kind": "unavailable", "retry_after_ms": 2_000}});
    let policy = json!({"retry": {"max_attempts": 2, "budget_ratio": 1.0}});
    let report = tried(minute(json!({"failing": failing})), policy);
    assert_eq!(report.latency_ms.p50, Some(2_002));
}

#[test]
fn too_few_workers_make_it_slow_and_a_full_backlog_makes_it_refuse() {
    let upstream = json!({"latency": {"p50_ms": 200, "p99_ms": 200}, "workers": 1, "backlog": 10});
    let report = tried(minute(upstream), json!({}));
    assert_eq!(report.most_waiting, 10);
    // Twice what it can do is asked of it.
    assert!((280..320).contains(&report.succeeded), "{}", report.succeeded);
    assert_eq!(report.failed.keys().copied().collect::<Vec<_>>(), ["upstream_overloaded"]);
    assert_eq!(report.latency_of_successes_ms.p99, Some(2_200));
}

#[test]
fn work_is_done_though_nobody_waits_for_it_any_more() {
    let upstream = json!({"latency": {"p50_ms": 200, "p99_ms": 200}, "workers": 1, "backlog": 1000});
    let report = tried(minute(upstream), json!({"timeout": {"attempt_ms": 1_000, "total_ms": 1_000}}));
    // Once the queue takes longer than anybody waits, everything is in vain.
    assert!(report.succeeded < 20 && report.abandoned > 570, "{:?}", report.failed);
}

#[test]
fn clients_that_call_again_are_counted_as_what_they_are() {
    let mut scenario = minute(json!({"failing": {"ratio": 1.0, "as": {"kind": "refused"}}}));
    scenario["clients"] = json!({"retry": {"attempts": 4, "wait_ms": 10}});
    let report = tried(scenario.clone(), json!({}));
    assert_eq!((report.requests, report.calls, report.attempts), (599, 4 * 599, 4 * 599));
    // A limit keeps all but its rate away; who heeds what it says comes back when it may.
    let limited = json!({"rate_limit": {"per_second": 1, "burst": 1}});
    let report = tried(scenario.clone(), limited.clone());
    assert!(report.attempts <= 62 && report.rejected["rate_limited"] > 2_300, "{:?}", report.failed);
    scenario["clients"]["retry"]["heed_retry_after"] = json!(true);
    let heeded = tried(scenario, limited);
    assert_eq!(heeded.latency_ms.max, Some(1));
}

#[test]
fn what_clients_send_as_timeout_shortens_the_deadline() {
    let mut scenario = minute(json!({"failing": {"ratio": 1.0, "as": {"kind": "hang"}}}));
    scenario["clients"] = json!({"timeout_ms": 700});
    let report = tried(scenario, json!({}));
    assert_eq!((report.failed["deadline"], report.latency_ms.max), (599, Some(700)));
}

#[test]
fn a_stretch_without_requests_has_no_figures_and_no_faults() {
    let mut scenario = minute(json!({}));
    scenario["phases"][0]["per_second"] = json!(0);
    let report = tried(scenario, json!({}));
    assert_eq!((report.requests, report.attempts, report.latency_ms.p50), (0, 0, None));
}
