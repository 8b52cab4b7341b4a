//! The lab as its users call it: scenarios are played, and reports are looked at.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod documents;
mod policies;
mod repeatability;
mod scale;
mod upstreams;

use orchestrator_lab::{Contender, PolicyReport, Report, Scenario, run};
use serde_json::{Value, json};

/// A built-in scenario under built-in policies.
fn played(scenario: &str, policies: &[&str]) -> Report {
    let contenders: Vec<_> = policies.iter().map(|name| Contender::built_in(name).unwrap()).collect();
    run(&Scenario::built_in(scenario).unwrap(), &contenders, 1).unwrap()
}

/// A scenario of one's own, and a policy of one's own.
fn tried(scenario: Value, policy: Value) -> PolicyReport {
    let scenario = Scenario::from_document(scenario, "scenario").unwrap();
    let contender = Contender::from_document(&policy, None, "policy").unwrap();
    run(&scenario, &[contender], 7).unwrap().policies.remove(0)
}

/// A minute of ten requests a second at even distances, under this upstream.
fn minute(upstream: Value) -> Value {
    let phase = json!({"name": "all", "seconds": 60, "per_second": 10, "arrivals": "uniform", "upstream": upstream});
    json!({"name": "minute", "about": "", "phases": [phase]})
}
