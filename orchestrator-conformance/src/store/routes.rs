//! The route index: who has an account or a key, and when it may be taken.

use std::time::Duration;

use bytes::Bytes;
use orchestrator_core::clock::Clock;
use orchestrator_core::store::{CommitError, Expect, RecordKind, RecordWrite, Route, RouteKey, RouteOwner, Store};

use super::StoreHarness;
use super::fixture::{at_once, audit, audits, change, events, name, owner, sorted, workspace};

const DAY: Duration = Duration::from_secs(24 * 3600);
const SECOND: Duration = Duration::from_secs(1);

fn by_account(route: &str, account: &str) -> Route {
    Route { name: name(route), provider: name("stripe"), key: RouteKey::Account(account.to_owned()) }
}

fn by_key(route: &str, key: &str) -> Route {
    Route { name: name(route), provider: name("stripe"), key: RouteKey::Key(name(key)) }
}

fn by_default(route: &str) -> Route {
    Route { name: name(route), provider: name("stripe"), key: RouteKey::Default }
}

async fn want(store: &dyn Store, who: &str, routes: Vec<Route>, take_routes: bool) -> Result<(), CommitError> {
    let mut change = change(&owner(who));
    change.routes = Some(routes);
    change.take_routes = take_routes;
    store.commit(change).await.map(|_| ())
}

async fn take(store: &dyn Store, who: &str, routes: Vec<Route>) {
    want(store, who, routes, false).await.expect("the routes are free");
}

async fn held(store: &dyn Store, route: &Route) -> Vec<RouteOwner> {
    store.routes(&route.provider, &route.key).await.expect("routes")
}

async fn holders(store: &dyn Store, route: &Route) -> Vec<String> {
    sorted(held(store, route).await.into_iter().map(|owner| owner.workspace.to_string()))
}

/// A route is found by what names it, with its name and since when; by nothing else.
pub async fn a_route_is_found_by_what_names_it(harness: &impl StoreHarness) {
    let store = harness.store().await;
    let routes = [by_account("main", "acct_1"), by_key("other", "acct_1"), by_default("rest")];
    take(&*store, "one-dev", routes.to_vec()).await;
    for route in &routes {
        let expected = RouteOwner {
            workspace: workspace("one-dev"),
            route: route.name.clone(),
            since: harness.clock().now(),
            verified: false,
        };
        assert_eq!(held(&*store, route).await, [expected]);
        let elsewhere = Route { provider: name("github"), ..route.clone() };
        assert_eq!(held(&*store, &elsewhere).await, []);
    }
    assert_eq!(held(&*store, &by_account("main", "acct_2")).await, []);
    assert_eq!(held(&*store, &by_account("main", "ACCT_1")).await, [], "accounts differ by case");
}

/// An account, or a key, of one provider is of one workspace; of another provider it is another.
pub async fn inv_17_an_account_is_of_one_workspace(harness: &impl StoreHarness) {
    let store = harness.store().await;
    take(&*store, "one-dev", vec![by_account("main", "acct_1"), by_key("keyed", "k")]).await;
    for route in [by_account("mine", "acct_1"), by_key("mine", "k")] {
        match want(&*store, "two-dev", vec![route], false).await {
            Err(CommitError::RouteTaken { route }) => assert_eq!(route, name("mine")),
            other => panic!("not taken: {other:?}"),
        }
    }
    let elsewhere = Route { provider: name("github"), ..by_account("mine", "acct_1") };
    take(&*store, "two-dev", vec![elsewhere, by_key("other", "k2")]).await;
}

/// A change that wants a taken route changes nothing at all.
pub async fn inv_30_a_taken_route_leaves_nothing_changed(harness: &impl StoreHarness) {
    let store = harness.store().await;
    take(&*store, "one-dev", vec![by_account("main", "acct_1")]).await;
    take(&*store, "two-dev", vec![by_account("old", "acct_2")]).await;
    let (epoch, _) = store.changed_since(0).await.expect("changed");
    let owner = owner("two-dev");
    let mut change = change(&owner);
    change.writes.push(RecordWrite::put(RecordKind::Pointer, "active", Expect::Any, Bytes::from_static(b"2")));
    change.routes = Some(vec![by_account("free", "acct_3"), by_account("main", "acct_1")]);
    change.audit.push(audit("config.activate"));
    change.events.push(super::fixture::event("config"));
    let refused = store.commit(change).await.expect_err("taken");
    assert!(matches!(refused, CommitError::RouteTaken { .. }), "{refused:?}");
    assert_eq!(store.record(&owner, RecordKind::Pointer, "active").await.expect("record"), None);
    assert_eq!(holders(&*store, &by_account("old", "acct_2")).await, ["two-dev"]);
    assert_eq!(holders(&*store, &by_account("free", "acct_3")).await, [""; 0]);
    assert!(audits(&store, &owner).await.is_empty());
    assert!(events(&store, &workspace("two-dev")).await.is_empty());
    assert_eq!(store.changed_since(epoch).await.expect("changed"), (epoch, Vec::new()));
}

/// A change replaces the workspace's own routes by its own, and touches no other's; without routes it leaves them.
pub async fn a_change_replaces_its_own_routes(harness: &impl StoreHarness) {
    let store = harness.store().await;
    take(&*store, "one-dev", vec![by_account("a", "acct_1"), by_account("b", "acct_2"), by_default("d")]).await;
    take(&*store, "two-dev", vec![by_account("c", "acct_3"), by_default("d")]).await;
    take(&*store, "one-dev", vec![by_account("renamed", "acct_2"), by_key("new", "k")]).await;
    assert_eq!(holders(&*store, &by_account("a", "acct_1")).await, [""; 0]);
    assert_eq!(held(&*store, &by_account("b", "acct_2")).await[0].route, name("renamed"));
    assert_eq!(holders(&*store, &by_key("new", "k")).await, ["one-dev"]);
    assert_eq!(holders(&*store, &by_default("d")).await, ["two-dev"]);
    store.commit(change(&owner("one-dev"))).await.expect("a change without routes");
    assert_eq!(holders(&*store, &by_key("new", "k")).await, ["one-dev"]);
    take(&*store, "one-dev", Vec::new()).await;
    assert_eq!(holders(&*store, &by_key("new", "k")).await, [""; 0]);
    take(&*store, "two-dev", vec![by_account("mine", "acct_2")]).await;
}

/// A route that stays keeps since when it was held, and that it was verified.
pub async fn inv_17_a_route_that_stays_keeps_its_standing(harness: &impl StoreHarness) {
    let store = harness.store().await;
    let route = by_account("main", "acct_1");
    take(&*store, "one-dev", vec![route.clone()]).await;
    let since = harness.clock().now();
    store.route_verified(&workspace("one-dev"), &name("main")).await.expect("verified");
    harness.clock().advance(DAY * 2);
    take(&*store, "one-dev", vec![route.clone(), by_key("new", "k")]).await;
    let kept = &held(&*store, &route).await[0];
    assert_eq!((kept.since, kept.verified), (since, true));
    let new = &held(&*store, &by_key("new", "k")).await[0];
    assert_eq!((new.since, new.verified), (harness.clock().now(), false));
}

/// A route that nobody verified for a day yields to who wants it, not sooner.
pub async fn inv_17_an_unverified_route_yields_after_a_day(harness: &impl StoreHarness) {
    let store = harness.store().await;
    let route = by_account("main", "acct_1");
    take(&*store, "squatter-dev", vec![route.clone(), by_default("rest")]).await;
    harness.clock().advance(DAY - SECOND);
    assert!(want(&*store, "owner-dev", vec![route.clone()], false).await.is_err());
    harness.clock().advance(SECOND * 2);
    take(&*store, "owner-dev", vec![route.clone()]).await;
    assert_eq!(holders(&*store, &route).await, ["owner-dev"]);
    assert_eq!(held(&*store, &route).await[0].since, harness.clock().now());
    assert_eq!(holders(&*store, &by_default("rest")).await, ["squatter-dev"]);
    assert!(want(&*store, "squatter-dev", vec![route], false).await.is_err(), "its day begins anew");
}

/// A route that has verified an event does not yield.
pub async fn inv_17_a_verified_route_does_not_yield(harness: &impl StoreHarness) {
    let store = harness.store().await;
    let (route, other) = (by_account("main", "acct_1"), by_account("other", "acct_2"));
    take(&*store, "one-dev", vec![route.clone(), other.clone()]).await;
    store.route_verified(&workspace("one-dev"), &name("main")).await.expect("verified");
    store.route_verified(&workspace("two-dev"), &name("other")).await.expect("no such route, no error");
    assert!(held(&*store, &route).await[0].verified);
    assert!(!held(&*store, &other).await[0].verified);
    harness.clock().advance(DAY * 365);
    assert!(want(&*store, "two-dev", vec![route.clone()], false).await.is_err());
    take(&*store, "two-dev", vec![other]).await;
    assert_eq!(holders(&*store, &route).await, ["one-dev"]);
}

/// The install's administrator may take a route; who lost it has it no more.
pub async fn an_administrator_takes_a_route(harness: &impl StoreHarness) {
    let store = harness.store().await;
    let route = by_account("main", "acct_1");
    take(&*store, "one-dev", vec![route.clone(), by_key("keyed", "k")]).await;
    store.route_verified(&workspace("one-dev"), &name("main")).await.expect("verified");
    want(&*store, "two-dev", vec![route.clone()], true).await.expect("taken");
    assert_eq!(holders(&*store, &route).await, ["two-dev"]);
    assert!(!held(&*store, &route).await[0].verified, "who took it has verified nothing yet");
    assert_eq!(holders(&*store, &by_key("keyed", "k")).await, ["one-dev"], "only what was wanted is taken");
}

/// Eight workspaces may have default routes of a provider, each any number; a ninth is told that it cannot.
pub async fn a_default_route_is_had_by_eight_workspaces_and_no_ninth(harness: &impl StoreHarness) {
    let store = harness.store().await;
    for number in 0..3 {
        take(&*store, &format!("w{number}-dev"), vec![by_default("rest")]).await;
    }
    assert_eq!(holders(&*store, &by_default("rest")).await, ["w0-dev", "w1-dev", "w2-dev"]);
    for number in 3..8 {
        take(&*store, &format!("w{number}-dev"), vec![by_default("rest")]).await;
    }
    match want(&*store, "w8-dev", vec![by_key("keyed", "k"), by_default("rest")], true).await {
        Err(CommitError::TooManyDefaults { route }) => assert_eq!(route, name("rest")),
        other => panic!("not refused: {other:?}"),
    }
    assert_eq!(holders(&*store, &by_key("keyed", "k")).await, [""; 0], "nothing of the change has happened");
    take(&*store, "w8-dev", vec![Route { provider: name("github"), ..by_default("rest") }]).await;
    take(&*store, "w7-dev", vec![by_default("rest"), by_default("more")]).await;
    assert_eq!(holders(&*store, &by_default("rest")).await.len(), 9, "every one is tried");
    take(&*store, "w0-dev", Vec::new()).await;
    take(&*store, "w8-dev", vec![by_default("rest")]).await;
}

/// The routes of a provider are found whatever names them, and no more than are asked for.
pub async fn the_routes_of_a_provider_are_found_whatever_names_them(harness: &impl StoreHarness) {
    let store = harness.store().await;
    take(&*store, "one-dev", vec![by_account("main", "acct_1"), by_default("rest")]).await;
    take(&*store, "two-dev", vec![by_key("keyed", "k"), Route { provider: name("github"), ..by_default("other") }])
        .await;
    let of = async |provider: &str, limit| {
        let found = store.provider_routes(&name(provider), limit).await.expect("routes");
        sorted(found.into_iter().map(|owner| format!("{}/{}", owner.workspace, owner.route)))
    };
    assert_eq!(of("stripe", 10).await, ["one-dev/main", "one-dev/rest", "two-dev/keyed"]);
    assert_eq!(of("stripe", 2).await.len(), 2);
    assert_eq!(of("github", 10).await, ["two-dev/other"]);
    assert_eq!(of("slack", 10).await, [""; 0]);
}

/// Of many workspaces that want one account at the same time, one gets it.
pub async fn inv_17_of_many_one_gets_the_account(harness: &impl StoreHarness) {
    let store = harness.store().await;
    let racers = (0..50).map(|number| {
        let store = store.clone();
        async move {
            let who = format!("w{number}-dev");
            want(&*store, &who, vec![by_account("main", "acct_1")], false).await.is_ok().then_some(who)
        }
    });
    let winners: Vec<_> = at_once(racers).await.into_iter().flatten().collect();
    assert_eq!(winners.len(), 1);
    assert_eq!(holders(&*store, &by_account("main", "acct_1")).await, winners);
}
