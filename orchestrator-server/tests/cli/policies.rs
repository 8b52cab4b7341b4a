//! `orchestrator policy`: it needs no server and no install.

use serde_json::json;

use crate::kit::Install;

const BUNDLE: &str = "format: 1\nworkspace: a-dev\nconfig:\n  policies:\n    calm: {breaker: {window_s: 10}}\n    \
                      wild: {retry: {jitter: none, budget_ratio: 1.0}}\n";

#[test]
fn policies_are_played_side_by_side_and_told_as_tables_json_and_a_plot() {
    let install = Install::new();
    let file = install.write("mine.yaml", BUNDLE);
    let (calm, plot) = (format!("{file}#calm"), install.path("plot.svg").display().to_string());
    let arguments =
        ["policy", "simulate", "--policy", "prod", "--policy", &calm, "--scenario", "upstream-down", "--plot", &plot];

    let text = install.run(&arguments).well();
    assert!(text.starts_with("upstream-down (seed 1): For a minute the upstream refuses"), "{text}");
    for told in ["MINE#CALM", "requests succeeded", "recovered after", "closed → open", "rejected: breaker open"] {
        assert!(text.contains(told), "{told}: {text}");
    }
    assert_eq!(text, install.run(&arguments).well());
    let svg = std::fs::read_to_string(&plot).unwrap();
    assert!(svg.starts_with("<svg ") && svg.contains("mine#calm"), "{}", svg.len());

    let seeded = [&arguments[..], &["--seed", "2", "--series", "--output", "json"]].concat();
    let report = install.run(&seeded).json();
    assert_eq!(report["scenario"]["seed"], 2);
    assert_eq!(report["policies"][1]["name"], "mine#calm");
    assert_eq!(report["policies"][0]["phases"][1]["succeeded"], 0);
    assert_eq!(report["series"][0].as_array().unwrap().len(), 180);
    // The pictures of two seeds differ.
    assert_ne!(svg, std::fs::read_to_string(&plot).unwrap());
}

#[test]
fn a_scenario_is_listed_written_changed_and_played() {
    let install = Install::new();
    let listed = install.run(&["policy", "scenarios"]).well();
    for name in ["steady", "upstream-down", "thirty-percent-failing", "slow", "flapping", "recovering"] {
        assert!(listed.contains(name), "{name}: {listed}");
    }
    let mut own = install.run(&["policy", "scenarios", "steady"]).json();
    own["name"] = json!("mine");
    own["phases"][0]["per_second"] = json!(5);
    let own = install.write("own.json", &own.to_string());
    let play = |scenario: &str, load: &str| {
        let arguments = ["policy", "simulate", "--policy", "dev", "--load", load, "--output", "json", "--scenario"];
        install.run(&[&arguments[..], &[scenario]].concat())
    };
    let (once, twice) = (play(&own, "1").json(), play(&own, "2").json());
    assert_eq!(
        (&once["scenario"]["name"], &once["scenario"]["phases"][0]["per_second"]),
        (&json!("mine"), &json!(5.0))
    );
    assert_eq!(twice["scenario"]["phases"][0]["per_second"], 10.0);

    let line = play("stedy", "1").refused();
    assert!(line.contains("no scenario `stedy`") && line.contains("`steady`"), "{line}");
    let line = play(&own, "1000000").refused();
    assert!(line.contains("/phases/0/per_second: must be between 0 and 1000000"), "{line}");
    let line = play("none.json", "1").refused();
    assert!(line.contains("none.json"), "{line}");
}

#[test]
fn a_check_tells_errors_and_warnings_with_their_places() {
    let install = Install::new();
    let file = install.write("mine.yaml", BUNDLE);
    let text = install.run(&["policy", "check", &file]).well();
    assert!(text.contains("calm") && text.contains("ok"), "{text}");
    assert!(text.contains("warning") && text.contains("/config/policies/wild/retry/jitter"), "{text}");

    let broken =
        install.write("broken.json", r#"{"timeout": {"attempt_ms": 9, "total_ms": 5}, "retry": {"max_attempts": 0}}"#);
    let checked = install.run(&["policy", "check", &broken, "--output", "json"]);
    assert_eq!(checked.status.code(), Some(1), "{checked:?}");
    let told: serde_json::Value = serde_json::from_str(&checked.out).unwrap();
    let pointers: Vec<_> =
        told["policies"][0]["errors"].as_array().unwrap().iter().map(|error| &error["pointer"]).collect();
    assert_eq!(pointers, ["/timeout/attempt_ms", "/retry/max_attempts"]);

    // Two files of one name are told apart; one file given twice is not.
    std::fs::create_dir(install.path("a")).unwrap();
    let same = install.write("a/mine.json", "{}");
    let other = install.write("mine.json", r#"{"retry": {}}"#);
    let twice = |one: &str, two: &str| {
        let arguments =
            ["policy", "simulate", "--scenario", "steady", "--output", "json", "--policy", one, "--policy", two];
        install.run(&arguments)
    };
    assert_eq!(twice(&same, &other).json()["policies"][0]["name"], json!(same));
    assert!(twice(&same, &same).refused().contains("cannot be told apart"));

    let play =
        |policy: &str| install.run(&["policy", "simulate", "--scenario", "steady", "--policy", policy]).refused();
    let line = play(&broken);
    assert!(line.contains("/timeout/attempt_ms: must not be longer than total_ms"), "{line}");
    assert!(play("prd").contains("dev, prod, naive"));
    assert!(play(&file).contains("choose one by #NAME: `calm`, `wild`"));
    assert!(play(&format!("{file}#tame")).contains("no policy `tame`"));
}
