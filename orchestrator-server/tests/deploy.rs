//! What is handed out for deploying names only what there is: settings that the binary takes, commands, services, volumes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::collections::BTreeMap;

use orchestrator_server::Roles;
use orchestrator_server::settings::{QueuePlace, Settings, Sources, StorePlace};
use serde_norway::Value;

/// What stands in the place of each variable.
const VALUE: &str = "0123456789abcdef";

fn compose() -> Value {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/compose.yaml")).unwrap();
    let mut document: Value = serde_norway::from_str(&filled(&text)).unwrap();
    document.apply_merge().unwrap();
    document
}

/// With each `${NAME:?why}` filled in. A variable without a why is none of ours.
fn filled(text: &str) -> String {
    let mut parts = text.split("${");
    let mut whole = parts.next().unwrap().to_owned();
    for part in parts {
        let (variable, rest) = part.split_once('}').expect("a variable ends");
        let (name, why) = variable.split_once(":?").expect("a variable that is not set is told");
        assert!(["POSTGRES_PASSWORD", "REDIS_PASSWORD"].contains(&name) && why.contains("deploy/.env"), "{variable}");
        whole.push_str(VALUE);
        whole.push_str(rest);
    }
    whole
}

fn texts(value: &Value) -> Vec<&str> {
    value.as_sequence().expect("a list").iter().map(|item| item.as_str().expect("a text")).collect()
}

#[test]
fn the_nodes_of_the_compose_file_have_settings_and_commands_that_work() {
    let document = compose();
    let services = document["services"].as_mapping().unwrap();
    let mut roles: BTreeMap<String, usize> = BTreeMap::new();
    for (name, service) in services {
        if service["image"] != "orchestrator:local" {
            assert!(service["healthcheck"]["test"].is_sequence(), "{name:?} has no health check");
            continue;
        }
        let environment = service["environment"].as_mapping().unwrap();
        let variables = environment.iter().map(|(name, value)| {
            (name.as_str().unwrap().to_owned(), value.as_str().expect("a variable is a text").to_owned())
        });
        let settings = Settings::load(&Sources::default().with_variables(variables)).unwrap();
        let StorePlace::Postgres(database) = &settings.store else { panic!("{:?}", settings.store) };
        let QueuePlace::Redis(redis) = &settings.queue else { panic!("{:?}", settings.queue) };
        assert_eq!((database.place().as_str(), redis.names()), ("postgres:5432/orchestrator", "redis:6379"));
        assert!(!settings.secrets.kek_file.starts_with(&settings.data_dir), "the key lies with the data");
        match texts(&service["command"]).as_slice() {
            ["migrate"] => assert_eq!(service["restart"], "no"),
            ["serve", "--roles", given] => {
                given.parse::<Roles>().unwrap();
                *roles.entry((*given).to_owned()).or_default() += 1;
                // A stop that is cut short would leave leases to end by themselves.
                let grace = service["stop_grace_period"].as_str().unwrap().trim_end_matches('s');
                assert!(grace.parse::<u64>().unwrap() > settings.drain.as_secs() + 15);
            }
            other => panic!("{name:?}: {other:?}"),
        }
    }
    assert_eq!(roles, BTreeMap::from([("api,ingress".to_owned(), 2), ("worker".to_owned(), 2)]));
}

#[test]
fn everything_that_the_compose_file_names_is_in_it() {
    let document = compose();
    let (services, volumes) = (document["services"].as_mapping().unwrap(), document["volumes"].as_mapping().unwrap());
    for (name, service) in services {
        for (wanted, _) in service["depends_on"].as_mapping().into_iter().flatten() {
            assert!(services.contains_key(wanted), "{name:?} depends on {wanted:?}");
        }
        for volume in service["volumes"].as_sequence().into_iter().flatten() {
            let (volume, _) = volume.as_str().unwrap().split_once(':').unwrap();
            assert!(volumes.contains_key(volume), "{name:?} mounts {volume}");
        }
    }
    let redis = texts(&document["services"]["redis"]["command"]);
    assert!(redis.windows(2).any(|words| words == ["--maxmemory-policy", "noeviction"]), "{redis:?}");
}

#[test]
fn the_image_starts_the_binary_as_nobody_in_particular() {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/Dockerfile")).unwrap();
    let after = |word: &str| text.lines().rev().find_map(|line| line.strip_prefix(word)).unwrap_or_default().trim();
    assert_eq!((after("USER"), after("ENTRYPOINT")), ("orchestrator", "[\"orchestrator\"]"));
    assert!(text.contains("--bin orchestrator") && text.contains("/readyz"));
}
