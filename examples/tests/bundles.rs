//! The bundles and fixtures are what they say: both can be imported, and the events reach the workspace whose they are.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::sync::Arc;

use bytes::Bytes;
use orchestrator_connectors::{EgressClient, EgressPolicy, HttpKind};
use orchestrator_core::clock::{Clock, SystemClock};
use orchestrator_core::config::ResourceKind;
use orchestrator_core::memory::MemoryStore;
use orchestrator_core::secrets::seal::{InstallKey, KeyRing};
use orchestrator_core::secrets::{Replace, Secret};
use orchestrator_core::types::{Bundle, InboxStatus, SecretHealth, SecretRef, TraceId, WorkspaceId};
use orchestrator_core::webhooks::Ingress;
use orchestrator_core::webhooks::signature::{Fixture, provider};
use orchestrator_core::{Actor, Error, Orchestrator};
use orchestrator_examples::{bundles, fixtures};
use serde_json::Value;

const BUNDLES: [&str; 2] = [bundles::BUILDOS_DEV, bundles::BEAUTY_DEV];
const FIXTURES: [(&str, &str); 3] = [
    ("invoice.paid", fixtures::STRIPE_INVOICE_PAID),
    ("charge.refunded", fixtures::STRIPE_CHARGE_REFUNDED),
    ("customer.subscription.updated", fixtures::STRIPE_SUBSCRIPTION_UPDATED),
];

async fn engine() -> Orchestrator {
    let keys = KeyRing::new(InstallKey::generate().unwrap(), Vec::new());
    let egress = EgressClient::new(EgressPolicy::new(Vec::new())).unwrap();
    Orchestrator::builder()
        .environment("dev")
        .store(Arc::new(MemoryStore::new(SystemClock::shared())))
        .keys(Arc::new(keys))
        .connector(HttpKind::new(egress))
        .build()
        .await
        .unwrap()
}

fn actor() -> Actor {
    Actor::program("tests")
}

/// Imports a bundle and fills its secrets, each with a text of the workspace's own.
async fn onboard(engine: &Orchestrator, text: &str) -> Bundle {
    let bundle: Bundle = serde_json::from_str(text).unwrap();
    let workspace = &bundle.workspace;
    engine.configs().import(&actor(), workspace, &bundle, false).await.unwrap();
    for reference in bundle.config.secret_refs.values() {
        let SecretRef::Stored { name } = reference else { panic!("{reference:?} is not stored") };
        let secret = Secret::new(secret_of(workspace));
        engine.secrets().write(&actor(), workspace, name, secret, Replace::AtOnce).await.unwrap();
    }
    bundle
}

fn secret_of(workspace: &WorkspaceId) -> String {
    format!("secret-of-{workspace}-and-nobody-else")
}

async fn send(
    engine: &Orchestrator,
    route_key: Option<&str>,
    event: &Value,
    signer: &WorkspaceId,
) -> Result<Ingress, Error> {
    let body = serde_json::to_vec(event).unwrap();
    let stripe = provider("stripe").unwrap();
    let secret = Secret::new(secret_of(signer));
    let headers = stripe.sign(&Fixture::new(&body, "unused"), &secret, SystemClock.now()).unwrap();
    engine.webhooks().ingest("stripe", route_key, &headers, Bytes::from(body), TraceId::new()).await
}

#[tokio::test]
async fn both_bundles_are_imported_without_a_warning_and_a_second_time_change_nothing() {
    let engine = engine().await;
    for text in BUNDLES {
        let bundle: Bundle = serde_json::from_str(text).unwrap();
        let workspace = &bundle.workspace;
        let plan = engine.configs().import(&actor(), workspace, &bundle, true).await.unwrap();
        assert!(plan.created && plan.dry_run && plan.warnings.is_empty(), "{:?}", plan.warnings);
        let first = engine.configs().import(&actor(), workspace, &bundle, false).await.unwrap();
        assert_eq!((first.created, first.version), (true, 1));
        let again = engine.configs().import(&actor(), workspace, &bundle, false).await.unwrap();
        assert_eq!((again.created, again.version, again.changes), (false, 1, Vec::new()));
        assert_eq!(engine.configs().export(workspace).await.unwrap(), bundle);
    }
}

#[tokio::test]
async fn every_secret_of_a_bundle_is_a_reference_and_resolves_once_it_is_written() {
    let engine = engine().await;
    for text in BUNDLES {
        let bundle = onboard(&engine, text).await;
        let statuses = engine.secrets().status(&bundle.workspace).await.unwrap();
        assert_eq!(statuses.len(), bundle.config.secret_refs.len());
        assert!(statuses.iter().all(|status| status.health == SecretHealth::Ok), "{statuses:?}");
    }
}

#[tokio::test]
async fn a_bundle_of_another_environment_is_refused() {
    let mut bundle: Bundle = serde_json::from_str(bundles::BUILDOS_DEV).unwrap();
    bundle.workspace = "buildos-prod".parse().unwrap();
    let refused = engine().await.configs().import(&actor(), &bundle.workspace, &bundle, false).await.unwrap_err();
    assert_eq!(refused.code(), "wrong_environment");
}

#[tokio::test]
async fn each_fixture_reaches_the_workspace_of_its_account_and_no_other() {
    let engine = engine().await;
    let [buildos, beauty] = [onboard(&engine, BUNDLES[0]).await, onboard(&engine, BUNDLES[1]).await];
    for (kind, text) in FIXTURES {
        let mut event: Value = serde_json::from_str(text).unwrap();
        assert_eq!((event["type"].as_str(), event["account"].as_str()), (Some(kind), Some("acct_buildos")));
        for (bundle, other) in [(&buildos, &beauty), (&beauty, &buildos)] {
            let account = bundle.config.webhook_routes.values().find_map(|route| route.account.clone()).unwrap();
            event["account"] = Value::String(account);
            let refused = send(&engine, None, &event, &other.workspace).await.unwrap_err();
            assert_eq!(refused.code(), "signature_invalid");
            let taken = match send(&engine, None, &event, &bundle.workspace).await.unwrap() {
                Ingress::Accepted(taken) => taken,
                challenge => panic!("{challenge:?}"),
            };
            assert!(!taken.duplicate);
            let entry = engine.inbox().get(&bundle.workspace, taken.id).await.unwrap();
            assert_eq!((entry.event_type.as_deref(), entry.status), (Some(kind), InboxStatus::Delivering));
            assert!(engine.inbox().get(&other.workspace, taken.id).await.is_err());
        }
    }
}

#[tokio::test]
async fn the_route_without_a_callback_waits_to_be_polled() {
    let engine = engine().await;
    for text in BUNDLES {
        let bundle = onboard(&engine, text).await;
        let polled = bundle.config.webhook_routes.values().find(|route| route.callback.is_none()).unwrap();
        let key = polled.route_key.as_ref().unwrap();
        let mut event: Value = serde_json::from_str(fixtures::STRIPE_INVOICE_PAID).unwrap();
        event.as_object_mut().unwrap().remove("account");
        let taken = match send(&engine, Some(key.as_str()), &event, &bundle.workspace).await.unwrap() {
            Ingress::Accepted(taken) => taken,
            challenge => panic!("{challenge:?}"),
        };
        let entry = engine.inbox().get(&bundle.workspace, taken.id).await.unwrap();
        assert_eq!((entry.status, entry.job), (InboxStatus::Received, None));
    }
}

/// What only shows when the connector is built is found out before the config is anybody's.
#[tokio::test]
async fn secrets_that_do_not_go_together_are_refused_before_they_are_activated() {
    let engine = engine().await;
    let bundle = onboard(&engine, bundles::BUILDOS_DEV).await;
    let before = engine.configs().active(&bundle.workspace).await.unwrap().version.version;
    let (name, mut connector) = bundle.config.connectors.into_iter().next().unwrap();
    let reference = connector.secrets.values().next().unwrap().clone();
    connector.secrets.insert("basic".parse().unwrap(), reference);
    let document = serde_json::to_value(&connector).unwrap();
    let kind = ResourceKind::Connector;
    let refused = engine.configs().put(&actor(), &bundle.workspace, kind, &name, document, None).await.unwrap_err();
    assert_eq!(refused.code(), "invalid_config");
    assert!(refused.field_errors()[0].pointer.starts_with(&format!("/connectors/{name}")), "{refused:?}");
    assert_eq!(engine.configs().active(&bundle.workspace).await.unwrap().version.version, before);
}
