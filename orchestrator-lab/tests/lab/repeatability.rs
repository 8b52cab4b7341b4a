//! The same arguments give the same report.

use orchestrator_lab::{Contender, Report, Scenario, plot, run};

fn flapping(seed: u64) -> Report {
    let contenders = ["prod", "naive"].map(|name| Contender::built_in(name).unwrap());
    run(&Scenario::built_in("flapping").unwrap(), &contenders, seed).unwrap()
}

#[test]
fn a_seed_gives_the_same_report_to_the_byte_and_another_one_does_not() {
    let (first, again, other) = (flapping(1), flapping(1), flapping(2));
    let json = |report: &Report| serde_json::to_string(report).unwrap();
    assert_eq!(json(&first), json(&again));
    assert_eq!(first.series(), again.series());
    assert_eq!(plot(&first), plot(&again));
    assert_ne!(json(&first), json(&other));
    assert_ne!(plot(&first), plot(&other));
}

#[test]
fn who_else_is_compared_changes_nothing() {
    let alone = [Contender::built_in("naive").unwrap()];
    let alone = run(&Scenario::built_in("flapping").unwrap(), &alone, 1).unwrap();
    assert_eq!(alone.policies[0], flapping(1).policies[1]);
}

#[test]
fn what_the_thread_draws_elsewhere_changes_nothing() {
    fastrand::seed(99);
    let before = flapping(3);
    let drawn = fastrand::u64(..);
    assert_eq!(before, flapping(3));
    // Nor does a run disturb the generator of whoever calls it.
    fastrand::seed(99);
    assert_eq!(fastrand::u64(..), drawn);
}

#[test]
fn every_policy_meets_the_same_arrivals() {
    let report = flapping(1);
    let requests = |index: usize| report.policies[index].phases.iter().map(|phase| phase.requests).collect::<Vec<_>>();
    assert_eq!(requests(0), requests(1));
}

#[test]
fn the_plot_is_whole_and_names_its_policies() {
    let report = flapping(1);
    let svg = plot(&report);
    assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"), "{}", svg.len());
    for text in ["flapping", "prod", "naive", "trouble", "requests that succeed, %", "time, s"] {
        assert!(svg.contains(text), "{text}");
    }
    assert!(svg.len() < 300_000, "{}", svg.len());
    // The plot of the longest scenario is no longer.
    let phase = serde_json::json!({"name": "all", "seconds": 86_400, "per_second": 0.02});
    let long = serde_json::json!({"name": "long", "about": "A <day> & \"more\".", "phases": [phase]});
    let long = Scenario::from_document(long, "long").unwrap();
    let report = run(&long, &[Contender::built_in("dev").unwrap()], 1).unwrap();
    let svg = plot(&report);
    assert!(svg.len() < 100_000 && svg.contains("A &lt;day&gt; &amp; "), "{}", svg.len());
}
