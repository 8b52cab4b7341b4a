//! Checks of connectors: what an operator is told, beside the policies, and within bounds.

use std::time::Duration;

use futures_util::FutureExt;
use orchestrator_core::Error;
use orchestrator_core::types::{ConnectorCheck, ConnectorHealth, TraceId};
use serde_json::json;
use tokio::time::Instant;

use crate::fixture::{World, admin, because, call, config, name, workspace};

async fn check(world: &World) -> ConnectorCheck {
    world.engine.connectors().check(&world.shop, &name("crm"), TraceId::new()).await.unwrap()
}

fn code(check: &ConnectorCheck) -> Option<&str> {
    check.error.as_ref().map(|error| error.code.as_str())
}

#[tokio::test(start_paused = true)]
async fn a_check_tells_how_the_upstream_stands() {
    let world = World::idle().await;
    let none = check(&world).await;
    assert_eq!((none.health, none.kind.as_str(), none.error), (ConnectorHealth::NotSupported, "scripted", None));
    for (step, health, error) in [
        ("slow:40", ConnectorHealth::Ok, None),
        ("500", ConnectorHealth::Failed, Some("upstream_failed")),
        ("404", ConnectorHealth::Failed, Some("upstream_rejected")),
        ("unreachable", ConnectorHealth::Failed, Some("upstream_unreachable")),
        ("forbidden", ConnectorHealth::Failed, Some("destination_forbidden")),
        ("panic", ConnectorHealth::Failed, Some("upstream_failed")),
    ] {
        world.script().set_health(step);
        let told = check(&world).await;
        assert_eq!((told.health, code(&told)), (health, error), "{step}");
    }
}

#[tokio::test(start_paused = true)]
async fn inv_34_a_check_that_nobody_answers_ends() {
    let world = World::idle().await;
    world.script().set_health("hang");
    let began = Instant::now();
    let told = check(&world).await;
    assert_eq!((told.health, code(&told)), (ConnectorHealth::Failed, Some("timeout")));
    assert_eq!((began.elapsed(), told.duration_ms), (Duration::from_secs(1), 1_000), "the policy's attempt timeout");
}

#[tokio::test(start_paused = true)]
async fn inv_23_a_check_shows_no_secret_that_the_upstream_echoes() {
    let world = World::idle().await;
    world.script().set_health("tell");
    let told = check(&world).await;
    assert_eq!(told.health, ConnectorHealth::Failed);
    let error = told.error.unwrap();
    assert_eq!(error.detail, "the upstream refuses [redacted]");
    assert_eq!(error.upstream.unwrap().body, json!({"you_sent": "[redacted]"}));
}

#[tokio::test(start_paused = true)]
async fn inv_37_one_check_of_a_connector_runs_at_a_time() {
    let other = config("shop-dev", json!({"connectors": {"erp": {"kind": "scripted"}}}));
    let world = World::with(None, other).await;
    world.script().set_health("gate");
    let first = check(&world);
    tokio::pin!(first);
    assert!(first.as_mut().now_or_never().is_none(), "it waits for the upstream");
    let again = world.engine.connectors().check(&world.shop, &name("crm"), TraceId::new()).await;
    assert!(matches!(again, Err(Error::TooMany { .. })), "{again:?}");
    world.script().open(2);
    let elsewhere = world.engine.connectors().check(&world.shop, &name("erp"), TraceId::new()).await.unwrap();
    assert_eq!(elsewhere.health, ConnectorHealth::Ok, "another connector is none of its business");
    assert_eq!(first.await.health, ConnectorHealth::Ok);
}

#[tokio::test(start_paused = true)]
async fn inv_22_a_check_whose_caller_goes_away_holds_nothing() {
    let world = World::idle().await;
    world.script().set_health("hang");
    {
        let gone = check(&world);
        tokio::pin!(gone);
        assert!(gone.as_mut().now_or_never().is_none(), "it waits for the upstream");
    }
    world.script().set_health("ok");
    assert_eq!(check(&world).await.health, ConnectorHealth::Ok);
}

#[tokio::test(start_paused = true)]
async fn an_open_breaker_hides_nothing_from_a_check() {
    let breaker = json!({"breaker": {"min_calls": 1, "open_s": 600}});
    let world = World::with(None, config("shop-dev", json!({"policies": {"default": breaker}}))).await;
    for _ in 0..3 {
        let _ = world.engine.execute(&world.shop, call("write", &["500"])).await;
    }
    let held = world.engine.execute(&world.shop, call("write", &["ok"])).await.unwrap().result.unwrap_err();
    assert_eq!(held.error.code, "breaker_open");
    world.script().set_health("ok");
    assert_eq!(check(&world).await.health, ConnectorHealth::Ok);
}

#[tokio::test(start_paused = true)]
async fn inv_13_only_what_is_there_and_served_is_checked() {
    let world = World::idle().await;
    let connectors = world.engine.connectors();
    let missing = connectors.check(&world.shop, &name("none"), TraceId::new()).await.unwrap_err();
    assert_eq!(missing.code(), "connector_not_found");
    let foreign = connectors.check(&workspace("other-dev"), &name("crm"), TraceId::new()).await.unwrap_err();
    assert_eq!(foreign.code(), "workspace_not_found");
    world.engine.workspaces().suspend(&admin(), &world.shop, &because()).await.unwrap();
    let suspended = connectors.check(&world.shop, &name("crm"), TraceId::new()).await.unwrap_err();
    assert_eq!(suspended.code(), "workspace_suspended");
}
