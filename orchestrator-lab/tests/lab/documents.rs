//! Documents: what is good is read, and what is not is refused with its place.

use orchestrator_lab::{BUILT_IN_POLICIES, Contender, Error, MAX_CONTENDERS, Scenario, run};
use serde_json::{Value, json};

use crate::minute;

fn refused(scenario: Value) -> Vec<(String, String)> {
    match Scenario::from_document(scenario, "s") {
        Err(Error::Invalid { errors, .. }) => errors.into_iter().map(|error| (error.pointer, error.detail)).collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_unknown_scenario_is_told_which_there_are() {
    let error = Scenario::built_in("upstream-dwon").unwrap_err().to_string();
    assert!(error.contains("`upstream-dwon`"), "{error}");
    for name in Scenario::built_in_names() {
        assert!(error.contains(&format!("`{name}`")), "{error}");
    }
}

#[test]
fn every_built_in_document_is_written_as_it_is_read() {
    for name in Scenario::built_in_names() {
        let scenario = Scenario::built_in(name).unwrap();
        assert_eq!(scenario.name, name);
        let document = serde_json::to_value(&scenario).unwrap();
        assert_eq!(Scenario::from_document(document, name).unwrap(), scenario);
    }
}

#[test]
fn each_thing_that_cannot_be_played_is_refused_at_its_place() {
    let cases: [(&str, &str, Value); 17] = [
        ("/name", "/name", json!("Upper")),
        ("/about", "/about", json!("a\nb")),
        ("/clients/idempotent", "/clients", json!({"idempotent": 1.5})),
        ("/clients/timeout_ms", "/clients", json!({"timeout_ms": 0})),
        ("/clients/retry/attempts", "/clients", json!({"retry": {"attempts": 0, "wait_ms": 1}})),
        ("/clients/retry/multiplier", "/clients", json!({"retry": {"attempts": 2, "wait_ms": 1, "multiplier": 0.5}})),
        ("/clients/retry/wait", "/clients", json!({"retry": {"attempts": 2, "wait": 1}})),
        ("/phases", "/phases", json!([])),
        ("/phases/0/name", "/phases/0/name", json!("")),
        ("/phases/0/seconds", "/phases/0/seconds", json!(0)),
        ("/phases/0/per_second", "/phases/0/per_second", json!(-1)),
        ("/phases/0/upstream/latency/p99_ms", "/phases/0/upstream/latency", json!({"p50_ms": 2, "p99_ms": 1})),
        ("/phases/0/upstream/workers", "/phases/0/upstream/workers", json!(0)),
        ("/phases/0/upstream/failing/ratio", "/phases/0/upstream/failing", json!({"ratio": 2, "as": {"kind": "hang"}})),
        ("/phases/0/upstream/failing", "/phases/0/upstream/failing", json!({"ratio": 1, "as": {"kind": "explode"}})),
        ("/phases/0/upstream/workerz", "/phases/0/upstream", json!({"workerz": 1})),
        ("/phases/0/arrivals", "/phases/0/arrivals", json!("bursts")),
    ];
    for (told, place, value) in cases {
        let mut scenario = minute(json!({}));
        let (parent, key) = place.rsplit_once('/').unwrap();
        scenario.pointer_mut(parent).unwrap()[key] = value;
        let errors = refused(scenario);
        assert!(errors[0].0.starts_with(told), "{told}: {errors:?}");
    }
}

#[test]
fn a_scenario_that_is_too_large_is_refused_before_it_begins() {
    let mut scenario = minute(json!({}));
    scenario["phases"][0]["per_second"] = json!(1_000_000);
    let errors = refused(scenario.clone());
    assert!(errors[0].1.contains("60000000 calls, at most 50000000"), "{errors:?}");
    scenario["phases"][0]["per_second"] = json!(1);
    scenario["phases"][0]["seconds"] = json!(90_000);
    assert!(refused(scenario)[0].1.contains("between 1 and 86400"));
    let mut storm = minute(json!({}));
    storm["phases"][0]["per_second"] = json!(10_000);
    storm["clients"] = json!({"retry": {"attempts": 100, "wait_ms": 1}});
    assert!(refused(storm)[0].1.contains("calls"));

    // Few calls, but all of them at once.
    let mut hanging = minute(json!({"failing": {"ratio": 1.0, "as": {"kind": "hang"}}}));
    hanging["phases"][0]["per_second"] = json!(100_000);
    let hanging = Scenario::from_document(hanging, "s").unwrap();
    let error = run(&hanging, &[Contender::built_in("naive").unwrap()], 1).unwrap_err();
    assert!(matches!(&error, Error::TooLarge(text) if text.contains("1500000 requests")), "{error}");
}

#[test]
fn the_load_is_scaled_with_the_upstream_that_bears_it() {
    let scenario = Scenario::built_in("recovering").unwrap().scaled(2.5).unwrap();
    assert_eq!((scenario.phases[0].per_second, scenario.phases[0].upstream.workers), (40.0, Some(25)));
    assert_eq!(scenario.phases[0].upstream.backlog, 1_250);
    for factor in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e9] {
        assert!(Scenario::built_in("recovering").unwrap().scaled(factor).is_err(), "{factor}");
    }
}

#[test]
fn a_policy_is_found_in_a_policy_a_config_and_a_bundle() {
    let policy = json!({"timeout": {"attempt_ms": 1000, "total_ms": 2000}});
    let config = json!({"policies": {"a": policy, "b": {}}, "connectors": {"whatever": 1}});
    let bundle = json!({"format": 1, "workspace": "x-dev", "config": config});
    assert_eq!(Contender::from_document(&policy, None, "p").unwrap().policy.timeout.total_ms, 2_000);
    for document in [&config, &bundle] {
        let chosen = Contender::from_document(document, Some("a"), "f").unwrap();
        assert_eq!((chosen.name.as_str(), chosen.policy.timeout.total_ms), ("f#a", 2_000));
        let error = Contender::from_document(document, None, "f").unwrap_err();
        assert!(error.to_string().ends_with("choose one by #NAME: `a`, `b`"), "{error}");
        let error = Contender::from_document(document, Some("c"), "f").unwrap_err();
        assert!(error.to_string().contains("no policy `c`; there is `a`, `b`"), "{error}");
    }
    for none in [json!([]), json!({"config": 1}), json!({"config": {}}), json!({"policies": []})] {
        assert!(matches!(Contender::from_document(&none, None, "f"), Err(Error::Invalid { .. })), "{none}");
        assert!(Contender::examine(&none, "f").is_err(), "{none}");
    }
}

#[test]
fn a_policy_that_cannot_work_is_refused_with_its_places() {
    let bundle = json!({"config": {"policies": {"a/b": {
        "timeout": {"attempt_ms": 9000, "total_ms": 10}, "retry": {"max_attempts": 0}}}}});
    let error = Contender::from_document(&bundle, None, "f").unwrap_err().to_string();
    assert!(error.contains("/config/policies/a~1b/timeout/attempt_ms: must not be longer than total_ms"), "{error}");
    assert!(error.contains("/config/policies/a~1b/retry/max_attempts: must be between 1 and 100"), "{error}");
    let typo = json!({"retry": {"max_atempts": 3}});
    let error = Contender::from_document(&typo, None, "f").unwrap_err().to_string();
    assert!(error.contains("/retry/max_atempts: unknown field `max_atempts`"), "{error}");
}

#[test]
fn what_is_doubtful_is_told_beside_what_is_wrong() {
    let config = json!({"policies": {
        "harmful": {"retry": {"jitter": "none"}},
        "broken": {"breaker": {"failure_ratio": 0.0}},
        "typo": {"breakr": {}},
        "good": Contender::built_in("prod").unwrap().policy}});
    let examined = Contender::examine(&config, "f").unwrap();
    let told = |name: &str| {
        let found = examined.iter().find(|found| found.name == name).unwrap();
        let pointers = |errors: &[orchestrator_types::FieldError]| {
            errors.iter().map(|error| error.pointer.clone()).collect::<Vec<_>>()
        };
        (pointers(&found.errors), pointers(&found.warnings))
    };
    assert_eq!(
        told("harmful"),
        (vec![], vec!["/policies/harmful/retry/jitter".to_owned(), "/policies/harmful/breaker".to_owned()])
    );
    assert_eq!(told("broken").0, ["/policies/broken/breaker/failure_ratio"]);
    assert_eq!(told("typo").0, ["/policies/typo/breakr"]);
    assert_eq!(told("good"), (vec![], vec![]));
}

#[test]
fn policies_are_compared_by_names_that_differ() {
    let steady = Scenario::built_in("steady").unwrap();
    let prod = Contender::built_in("prod").unwrap();
    assert!(matches!(run(&steady, &[prod.clone(), prod.clone()], 1), Err(Error::Invalid { .. })));
    assert!(matches!(run(&steady, &[], 1), Err(Error::TooLarge(_))));
    let many: Vec<_> =
        (0..=MAX_CONTENDERS).map(|index| Contender { name: index.to_string(), ..prod.clone() }).collect();
    assert!(matches!(run(&steady, &many, 1), Err(Error::TooLarge(_))));
    let mut broken = prod;
    broken.policy.timeout.total_ms = 0;
    assert!(matches!(run(&steady, &[broken], 1), Err(Error::Invalid { .. })));
    assert!(BUILT_IN_POLICIES.iter().all(|name| Contender::built_in(name).is_some()));
    assert!(Contender::built_in("none").is_none());
}

#[test]
fn the_variants_that_the_documentation_compares_are_prod_but_for_one_thing() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/policies/variants.json");
    let document: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let prod = Contender::built_in("prod").unwrap().policy;
    let mut names = document["policies"].as_object().unwrap().keys().peekable();
    assert!(names.peek().is_some());
    for name in names {
        let variant = Contender::from_document(&document, Some(name), "variants").unwrap().policy;
        let differences = [
            variant.timeout != prod.timeout,
            variant.retry != prod.retry,
            variant.breaker != prod.breaker,
            variant.concurrency != prod.concurrency,
        ];
        assert_eq!(differences.into_iter().filter(|differs| *differs).count(), 1, "{name}");
    }
}
