//! Bundles: read strictly and whole, the same wherever they go, and without a secret.

use std::path::Path;

use orchestrator_core::config::bundle::{
    BUNDLE_FORMAT, Import, Syntax, bundle_schema, bundle_schema_text, read_bundle,
};
use orchestrator_core::secrets::{Replace, Secret};
use orchestrator_core::types::{Bundle, BundleOperator, ChangeKind, Role};
use orchestrator_core::{Error, Orchestrator};
use serde_json::{Value, json};

use crate::fixture::{Install, World, admin, config, name, operator, parse, workspace};

const SYNTAXES: [Syntax; 2] = [Syntax::Json, Syntax::Yaml];

fn bundle(of: &str, changes: Value) -> Bundle {
    let operators = [("olga", Role::Admin), ("otto", Role::ReadOnly)];
    let operators = operators.map(|(sub, role)| BundleOperator { sub: sub.to_owned(), role });
    Bundle {
        format: BUNDLE_FORMAT,
        workspace: workspace(of),
        config: parse(config(of, changes)),
        operators: Some(operators.into()),
    }
}

fn read(document: Value) -> Result<Bundle, Error> {
    read_bundle(document).map(|read| read.bundle)
}

/// Where a document is wrong.
fn wrong(document: Value) -> Vec<(String, String)> {
    let error = read(document).unwrap_err();
    assert_eq!((error.code(), error.status()), ("invalid_request", 400));
    let mut found: Vec<_> =
        error.field_errors().iter().map(|error| (error.pointer.clone(), error.detail.clone())).collect();
    found.sort_unstable();
    found
}

async fn exported(engine: &Orchestrator, of: &str, syntax: Syntax) -> String {
    let (bundle, _) = engine.configs().export_with_etag(&workspace(of)).await.unwrap();
    syntax.write(&bundle).unwrap()
}

#[tokio::test(start_paused = true)]
async fn an_export_taken_into_another_install_is_exported_the_same_byte_for_byte() {
    let settings = json!({"z": {"b": 1, "a": [1.5, null, "no", {"y": 1, "x": 2}]}, "a": "ünïcode: 'quoted'\n"});
    let route = json!({"provider": "stripe", "account": "acct_1", "signing_secret": "whsec", "callback": "product"});
    let wanted = bundle("shop-dev", json!({"settings": settings, "webhook_routes": {"main": route}}));
    let first = Install::new().node().await;
    first.configs().import(&admin(), &workspace("shop-dev"), &wanted, false).await.unwrap();
    for syntax in SYNTAXES {
        let text = exported(&first, "shop-dev", syntax).await;
        let second = Install::new().node().await;
        let taken = read(syntax.read(text.as_bytes()).unwrap()).unwrap();
        assert_eq!(taken, wanted);
        second.configs().import(&admin(), &workspace("shop-dev"), &taken, false).await.unwrap();
        assert_eq!(exported(&second, "shop-dev", syntax).await, text);
        let again = second.configs().import(&admin(), &workspace("shop-dev"), &taken, false).await.unwrap();
        assert_eq!((again.version, again.changes.len(), again.operators.len()), (1, 0, 0));
    }
}

#[test]
fn the_order_in_which_something_is_written_makes_no_difference() {
    let one = r#"{"format":1,"workspace":"a-dev","config":{"settings":{"b":{"y":1,"x":2},"a":1}}}"#;
    let other = r#"{"config":{"settings":{"a":1,"b":{"x":2,"y":1}}},"workspace":"a-dev","format":1}"#;
    let text = |text: &str| Syntax::Json.write(&read(Syntax::Json.read(text.as_bytes()).unwrap()).unwrap()).unwrap();
    assert_eq!(text(one), text(other));
}

#[test]
fn everything_that_breaks_the_schema_is_told_at_once() {
    let found = wrong(json!({
        "format": 1, "workspace": "No Workspace", "colour": "red",
        "config": {
            "polices": {},
            "policies": {"default": {"timeout": {"attempt_ms": "1000"}, "retry": {"max_attempts": -1, "jitter": "some"}}},
            "connectors": {"crm": {"policy": "default"}, "UPPER": {"kind": "http"}},
            "secret_refs": {"a": {"source": "env"}, "b": {"source": "keychain", "key": "x"}, "c": {"source": "file", "path": 1}, "d": 7},
            "webhook_routes": {"main": {"provider": "stripe", "default": "yes"}},
            "logging": {"sample_success": "all"},
        },
        "operators": [{"sub": "olga", "role": "King"}, {"role": "Admin"}],
    }));
    let pointers: Vec<&str> = found.iter().map(|(pointer, _)| pointer.as_str()).collect();
    for expected in [
        "/colour",
        "/config/connectors/crm/kind",
        "/config/logging/sample_success",
        "/config/policies/default/retry/jitter",
        "/config/policies/default/retry/max_attempts",
        "/config/policies/default/timeout/attempt_ms",
        "/config/polices",
        "/config/secret_refs/a/key",
        "/config/secret_refs/b/source",
        "/config/secret_refs/c/path",
        "/config/secret_refs/d",
        "/config/webhook_routes/main/default",
        "/config/webhook_routes/main/signing_secret",
        "/operators/0/role",
        "/operators/1/sub",
        "/workspace",
    ] {
        assert!(pointers.contains(&expected), "{expected} is not in {found:#?}");
    }
    let source = found.iter().find(|(pointer, _)| pointer.ends_with("b/source")).unwrap();
    assert!(source.1.contains("\"env\"") && source.1.contains("\"stored\""), "{source:?}");
    assert!(found.iter().all(|(_, detail)| !detail.contains("No Workspace") && !detail.contains("keychain")));
}

#[test]
fn inv_29_what_is_no_bundle_is_refused() {
    for document in [
        json!(null),
        json!([]),
        json!("x"),
        json!({}),
        json!({"format": 1}),
        json!({"format": 1, "workspace": "a-dev", "config": []}),
    ] {
        assert!(!wrong(document).is_empty());
    }
    let large = json!({"format": 1, "workspace": "a-dev", "config": {"retention": {"inbox_days": 4_294_967_296u64}}});
    assert_eq!(wrong(large)[0].0, "/config/retention/inbox_days");
    let newer = wrong(json!({"format": BUNDLE_FORMAT + 1, "workspace": 7, "whatever": []}));
    assert_eq!((newer.len(), newer[0].0.as_str()), (1, "/format"), "nothing else is said of what is not understood");
}

#[tokio::test(start_paused = true)]
async fn everything_that_cannot_work_is_told_at_once_and_nothing_is_stored() {
    let world = World::idle().await;
    let mut wanted =
        bundle("mall-dev", json!({"connectors": {"crm": {"kind": "none"}}, "settings": {"api_key": "abc"}}));
    let operators = wanted.operators.as_mut().unwrap();
    operators.push(operators[0].clone());
    operators.push(BundleOperator { sub: "with space".to_owned(), role: Role::Support });
    let shop = workspace("shop-dev");
    let error = world.engine.configs().import(&admin(), &shop, &wanted, false).await.unwrap_err();
    assert_eq!((error.code(), error.status()), ("invalid_config", 422));
    let found: Vec<&str> = error.field_errors().iter().map(|error| error.pointer.as_str()).collect();
    for expected in ["/workspace", "/operators/2/sub", "/operators/3/sub", "/config/connectors/crm/kind"] {
        assert!(found.contains(&expected), "{expected} is not in {found:?}");
    }
    assert_eq!(world.engine.configs().active(&shop).await.unwrap().version.version, 1);
}

#[tokio::test(start_paused = true)]
async fn a_plan_tells_config_and_operators_and_changes_neither() {
    let world = World::idle().await;
    let (configs, shop) = (world.engine.configs(), workspace("shop-dev"));
    let wanted = bundle("shop-dev", json!({"settings": {"a": 1}}));
    let plan = configs.import_on(&admin(), &shop, &wanted, Import { dry_run: true, if_match: None }).await.unwrap();
    let told: Vec<_> = plan.result.operators.iter().map(|change| (change.pointer.as_str(), change.kind)).collect();
    assert_eq!(told, [("/operators/olga", ChangeKind::Added), ("/operators/otto", ChangeKind::Added)]);
    assert_eq!((plan.result.changes.len(), plan.result.changes[0].pointer.as_str()), (1, "/settings/a"));
    assert!(configs.export(&shop).await.unwrap().operators.unwrap().is_empty());
    configs.import(&admin(), &shop, &wanted, false).await.unwrap();
    let mut next = wanted.clone();
    next.operators = Some(vec![BundleOperator { sub: "olga".to_owned(), role: Role::Admin }]);
    let plan = configs.import(&admin(), &shop, &next, true).await.unwrap();
    assert_eq!((plan.operators[0].pointer.as_str(), plan.operators[0].kind), ("/operators/otto", ChangeKind::Removed));
    next.operators = None;
    assert!(
        configs.import(&admin(), &shop, &next, true).await.unwrap().operators.is_empty(),
        "they are left as they are"
    );
}

#[tokio::test(start_paused = true)]
async fn inv_30_a_plan_that_is_overtaken_is_not_applied() {
    let world = World::idle().await;
    let (configs, shop) = (world.engine.configs(), workspace("shop-dev"));
    let wanted = bundle("shop-dev", json!({"settings": {"a": 1}}));
    let plan = configs.import_on(&admin(), &shop, &wanted, Import { dry_run: true, if_match: None }).await.unwrap();
    let etag = plan.etag.unwrap();
    let mut other = wanted.clone();
    other.config.settings.insert("a".to_owned(), json!(2));
    configs.import(&operator(), &shop, &other, false).await.unwrap_or_else(|_| panic!("an operator may"));
    let on = |etag| Import { dry_run: false, if_match: Some(etag) };
    let refused = configs.import_on(&admin(), &shop, &wanted, on(&etag)).await.unwrap_err();
    assert_eq!((refused.code(), refused.status()), ("precondition_failed", 412));
    assert_eq!(configs.export(&shop).await.unwrap().config.settings["a"], json!(2));
    let absent = configs.import_on(&admin(), &workspace("mall-dev"), &bundle("mall-dev", json!({})), on(&etag)).await;
    assert_eq!(absent.unwrap_err().code(), "precondition_failed");
}

#[tokio::test(start_paused = true)]
async fn inv_23_no_secret_is_in_an_export() {
    let world = World::idle().await;
    let canary = "canary-of-a-stored-secret";
    let reference = json!({"kept": {"source": "stored", "name": "kept"}});
    world.import("shop-dev", config("shop-dev", json!({"secret_refs": reference}))).await;
    let secret = Secret::new(canary.to_owned());
    world.engine.secrets().write(&admin(), &world.shop, &name("kept"), secret, Replace::AtOnce).await.unwrap();
    for syntax in SYNTAXES {
        let text = exported(&world.engine, "shop-dev", syntax).await;
        assert!(text.contains("kept") && !text.contains(canary) && !text.contains("token-of-the-upstream"), "{text}");
    }
}

#[test]
fn the_published_schema_is_the_one_of_the_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/schemas/bundle.json");
    let published = std::fs::read_to_string(path).unwrap();
    assert_eq!(published, bundle_schema_text(), "run: orchestrator schema bundle > docs/schemas/bundle.json");
    let schema = bundle_schema();
    let text = schema.to_string();
    assert!(!text.contains("#/components"), "a reference leads out of the schema");
    for part in text.split("#/$defs/").skip(1) {
        let part = part.split('"').next().unwrap();
        assert!(schema["$defs"].get(part).is_some(), "there is no part {part}");
    }
}

/// What was kept of each format stays readable, for good.
#[test]
fn inv_40_the_kept_bundles_of_every_format_are_read() {
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bundles");
    for format in 1..=BUNDLE_FORMAT {
        let mut files: Vec<_> = std::fs::read_dir(kept.join(format!("format-{format}")))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        files.sort();
        assert!(!files.is_empty(), "no bundle of format {format} is kept");
        for path in files {
            let text = std::fs::read_to_string(&path).unwrap();
            let document = Syntax::of(&text).read(text.as_bytes()).unwrap();
            assert_eq!(document["format"], json!(format), "{path:?}");
            let read = read_bundle(document).unwrap_or_else(|error| panic!("{path:?}: {:?}", error.field_errors()));
            assert_eq!(read.bundle.format, BUNDLE_FORMAT);
            assert_eq!(read.former_format, (format < BUNDLE_FORMAT).then_some(format));
            assert!(!read.bundle.config.policies.is_empty() && read.bundle.operators.is_some(), "{path:?}");
            for syntax in SYNTAXES {
                let again = syntax.read(syntax.write(&read.bundle).unwrap().as_bytes()).unwrap();
                assert_eq!(read_bundle(again).unwrap().bundle, read.bundle, "{path:?}");
            }
        }
    }
}
