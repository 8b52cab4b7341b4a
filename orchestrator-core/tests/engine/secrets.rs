//! Stored secrets: written, rotated with an overlap, never shown, and bound to their environment.

use std::sync::Arc;
use std::time::Duration;

use orchestrator_core::clock::Clock;
use orchestrator_core::jobs::JobCall;
use orchestrator_core::secrets::seal::{InstallKey, KeyRing};
use orchestrator_core::secrets::{Replace, Secret, install_secret, read_install_secret};
use orchestrator_core::types::{EventType, SecretHealth};
use serde_json::json;
use zeroize::Zeroizing;

use crate::fixture::{CB, CB2, LONG, World, admin, config, job, name, workspace};

fn secret(text: &str) -> Secret {
    Secret::new(text.to_owned())
}

async fn world() -> World {
    let refs = json!({"secret_refs": {"cb": {"source": "stored", "key": null, "name": "callback-key"}}});
    World::with(Some(Default::default()), config("shop-dev", refs)).await
}

async fn write(world: &World, value: &str, replace: Replace) -> orchestrator_core::types::SecretView {
    world.engine.secrets().write(&admin(), &world.shop, &name("callback-key"), secret(value), replace).await.unwrap()
}

/// Which of the two secrets sign the next delivery.
async fn signed_by(world: &World) -> (bool, bool) {
    let before = world.product().deliveries().len();
    world.submit(JobCall { callback: Some(name("product")), ..job("read", &["ok"]) }).await;
    let delivered = world.product().reached(before + 1).await.pop().unwrap();
    (delivered.verifies(CB), delivered.verifies(CB2))
}

#[tokio::test(start_paused = true)]
async fn a_rotated_secret_overlaps_for_a_day_and_a_replaced_one_does_not() {
    let world = world().await;
    assert_eq!(write(&world, CB, Replace::AtOnce).await.version, 1);
    assert_eq!(signed_by(&world).await, (true, false));
    let rotated = write(&world, CB2, Replace::Overlapping).await;
    assert_eq!((rotated.version, rotated.active_versions), (2, vec![2, 1]));
    assert_eq!(signed_by(&world).await, (true, true), "with every active secret, at once");
    tokio::time::sleep(25 * LONG).await;
    assert_eq!(signed_by(&world).await, (false, true));
    write(&world, CB, Replace::Overlapping).await;
    assert_eq!(write(&world, CB, Replace::AtOnce).await.active_versions, [4]);
    assert_eq!(signed_by(&world).await, (true, false));
    let told = world.events(&[EventType::SecretRotated]).await;
    assert_eq!(told.iter().map(|event| event.data["version"].as_u64().unwrap()).collect::<Vec<_>>(), [2, 3, 4]);
}

#[tokio::test(start_paused = true)]
async fn a_secret_is_nowhere_to_be_read() {
    let world = world().await;
    write(&world, CB, Replace::AtOnce).await;
    let view = write(&world, CB2, Replace::Overlapping).await;
    let owner = (&world.shop).into();
    let mut seen = format!("{view:?} {:?}", world.install.store.audit(&owner, 0, 100).await.unwrap());
    for kind in [orchestrator_core::store::RecordKind::Secret, orchestrator_core::store::RecordKind::DataKey] {
        for record in world.install.store.records(&owner, kind, None, 100).await.unwrap() {
            seen.push_str(&String::from_utf8_lossy(&record.body));
        }
    }
    seen.push_str(&format!("{:?} {:?}", world.events(&[]).await, world.engine.configs().export(&world.shop).await));
    assert!(seen.contains("callback-key"), "it is the right place to look");
    for leaked in [CB, CB2, &CB[6..], &CB2[6..]] {
        assert!(!seen.contains(leaked));
    }
}

#[tokio::test(start_paused = true)]
async fn the_health_of_every_reference_is_told() {
    let world = world().await;
    let status = async || {
        let all = world.engine.secrets().status(&world.shop).await.unwrap();
        all.into_iter().map(|one| (one.name.to_string(), one.source, one.health, one.version)).collect::<Vec<_>>()
    };
    let of = |name: &str, source: &str, health, version| (name.to_owned(), source.to_owned(), health, version);
    world.install.env.lock().unwrap().remove("SHOP_DEV_TOKEN");
    let env = [of("token", "env", SecretHealth::Missing, None), of("whsec", "env", SecretHealth::Ok, None)];
    let mut wanted = vec![of("cb", "stored", SecretHealth::Missing, None)];
    wanted.extend(env.clone());
    assert_eq!(status().await, wanted);
    write(&world, CB, Replace::AtOnce).await;
    world.engine.secrets().write(&admin(), &world.shop, &name("spare"), secret("x"), Replace::AtOnce).await.unwrap();
    wanted[0] = of("cb", "stored", SecretHealth::Ok, Some(1));
    wanted.push(of("spare", "stored", SecretHealth::Ok, Some(1)));
    assert_eq!(status().await, wanted);
}

#[tokio::test(start_paused = true)]
async fn the_value_of_a_version_goes_when_its_overlap_ends_and_its_number_stays() {
    let world = world().await;
    let states = async || {
        let status = world.engine.secrets().status(&world.shop).await.unwrap();
        let versions = status.into_iter().find(|one| one.name.as_str() == "cb").unwrap().versions;
        versions.into_iter().map(|one| (one.version, one.state)).collect::<Vec<_>>()
    };
    use orchestrator_core::types::SecretVersionState::{Active, Retired, Retiring};
    write(&world, CB, Replace::AtOnce).await;
    let view = write(&world, CB2, Replace::OverlappingFor(LONG / 2)).await;
    assert_eq!(view.versions[1].until, Some(world.install.clock.now().after(LONG / 2)));
    assert_eq!(states().await, [(2, Active), (1, Retiring)]);
    let sealed = async || {
        let owner = (&world.shop).into();
        let kind = orchestrator_core::store::RecordKind::Secret;
        let record = world.install.store.record(&owner, kind, "callback-key").await.unwrap().unwrap();
        String::from_utf8(record.body.to_vec()).unwrap().matches("\"sealed\"").count()
    };
    assert_eq!(sealed().await, 2);
    let retired = world.event(EventType::SecretRetired, 1).await;
    assert_eq!((retired[0].subject.as_str(), &retired[0].data["version"]), ("callback-key", &json!(1)));
    assert_eq!((states().await, sealed().await), (vec![(2, Active), (1, Retired)], 1));
    assert_eq!(signed_by(&world).await, (false, true));
    for _ in 0..30 {
        write(&world, CB, Replace::AtOnce).await;
    }
    assert_eq!((states().await.len(), sealed().await), (11, 1), "ten retired ones are remembered");
    for _ in 0..30 {
        write(&world, CB, Replace::Overlapping).await;
    }
    assert_eq!(sealed().await, 8, "no more are accepted at once");
    let long = Replace::OverlappingFor(31 * 24 * LONG);
    let error = world.engine.secrets().write(&admin(), &world.shop, &name("callback-key"), secret("x"), long).await;
    assert_eq!(error.unwrap_err().field_errors()[0].pointer, "/overlap_s");
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_goes_bad_is_told_once_by_all_nodes_together_and_so_is_its_return() {
    let world = world().await;
    let nodes = [world.install.node().await, world.install.node().await];
    let told = world.event(EventType::SecretUnhealthy, 1).await;
    assert_eq!((told[0].subject.as_str(), &told[0].data["health"]), ("cb", &json!("missing")), "from the beginning");
    write(&world, CB, Replace::AtOnce).await;
    world.event(EventType::SecretHealthy, 1).await;
    tokio::time::sleep(LONG).await;
    let before = world.events(&[]).await.len();
    let token = world.install.env.lock().unwrap().remove("SHOP_DEV_TOKEN").unwrap();
    tokio::time::sleep(LONG).await;
    world.install.set_env("SHOP_DEV_TOKEN", &token);
    let back = world.event(EventType::SecretHealthy, 2).await;
    assert_eq!((back[1].subject.as_str(), &back[1].data["was"]), ("token", &json!("missing")));
    tokio::time::sleep(LONG).await;
    assert_eq!(world.events(&[]).await.len() - before, 2, "three nodes tell one change once");
    for node in nodes.iter().chain([&world.engine]) {
        let counts = node.health().await.unwrap().secrets;
        assert_eq!((counts.ok, counts.missing, counts.unreachable), (3, 0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_starts_again_tells_nothing_that_was_told() {
    let world = world().await;
    world.event(EventType::SecretUnhealthy, 1).await;
    for _ in 0..3 {
        let node = world.install.node().await;
        tokio::time::sleep(LONG).await;
        assert_eq!(node.health().await.unwrap().secrets.missing, 1);
        node.shutdown(Duration::ZERO).await;
    }
    assert_eq!(world.events(&[EventType::SecretUnhealthy]).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_written_says_why() {
    let world = world().await;
    let write = async |value: &str, replace| {
        let error = world.engine.secrets().write(&admin(), &world.shop, &name("x"), secret(value), replace).await;
        error.unwrap_err().status()
    };
    assert_eq!(write("", Replace::AtOnce).await, 400);
    assert_eq!(write(&"x".repeat(65_537), Replace::AtOnce).await, 400);
    assert_eq!(write("x", Replace::Overlapping).await, 404, "nothing is there to be rotated");
}

#[tokio::test(start_paused = true)]
async fn racing_writes_each_make_a_version() {
    let world = world().await;
    let nodes = [world.engine.clone(), world.install.node().await];
    let services: Vec<_> = nodes.iter().map(orchestrator_core::Orchestrator::secrets).collect();
    let (actor, key) = (admin(), name("k"));
    let writes =
        (0..20).map(|at| services[at % 2].write(&actor, &world.shop, &key, secret(&format!("v{at}")), Replace::AtOnce));
    let mut versions: Vec<_> =
        futures_util::future::join_all(writes).await.into_iter().map(|view| view.unwrap().version).collect();
    versions.sort_unstable();
    assert_eq!(versions, (1..=20).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn inv_16_secrets_of_a_copied_store_do_not_open_with_other_keys_or_in_another_workspace() {
    let world = world().await;
    write(&world, CB, Replace::AtOnce).await;
    let other = Arc::new(KeyRing::new(InstallKey::generate().unwrap(), Vec::new()));
    let thief = world.install.builder().keys(other).build().await.unwrap();
    let status = thief.secrets().status(&world.shop).await.unwrap();
    assert_eq!(status[0].health, SecretHealth::Unreachable);
    // Another workspace copies the sealed record and the wrapped key over its own.
    let mall = world.import("mall-dev", config("mall-dev", json!({}))).await;
    let theirs = orchestrator_core::store::Owner::from(&world.shop);
    let mut change = orchestrator_core::store::ControlChange::of((&mall).into());
    for kind in [orchestrator_core::store::RecordKind::Secret, orchestrator_core::store::RecordKind::DataKey] {
        for record in world.install.store.records(&theirs, kind, None, 10).await.unwrap() {
            let any = orchestrator_core::store::Expect::Any;
            change.writes.push(orchestrator_core::store::RecordWrite::put(kind, record.key, any, record.body));
        }
    }
    world.install.store.commit(change).await.unwrap();
    let status = world.engine.secrets().status(&mall).await.unwrap();
    let copied = status.iter().find(|status| status.name.as_str() == "callback-key").unwrap();
    assert_eq!(copied.health, SecretHealth::Unreachable);
}

#[tokio::test(start_paused = true)]
async fn what_the_install_keeps_for_itself_is_made_once_and_opens_in_its_environment_only() {
    let world = World::idle().await;
    let (store, ring) = (world.install.store.clone(), world.install.ring.clone());
    let dev = "dev".parse().unwrap();
    assert!(read_install_secret(store.as_ref(), &ring, &dev, "signer").await.unwrap().is_none());
    let make = |text: &'static str| move || Zeroizing::new(text.as_bytes().to_vec());
    let (first, second) = tokio::join!(
        install_secret(store.as_ref(), &ring, &dev, "signer", make("one")),
        install_secret(store.as_ref(), &ring, &dev, "signer", make("two"))
    );
    assert_eq!(first.unwrap().as_slice(), second.unwrap().as_slice());
    assert!(read_install_secret(store.as_ref(), &ring, &"prod".parse().unwrap(), "signer").await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_job_waits_for_a_secret_to_be_put_right() {
    let world = world().await;
    world.submit(JobCall { callback: Some(name("product")), ..job("read", &["ok"]) }).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(world.product().deliveries().is_empty());
    write(&world, CB, Replace::AtOnce).await;
    assert!(world.product().reached(1).await[0].verifies(CB));
    assert!(world.engine.secrets().status(&workspace("none-dev")).await.is_err());
}
