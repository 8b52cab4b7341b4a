//! Config versions: checked whole, immutable, switched in one step, and back.

use orchestrator_core::config::{Active, ResourceKind, Saved};
use orchestrator_core::types::{Bundle, BundleOperator, ChangeKind, ConfigRequest, EventType, Role};
use orchestrator_core::{Actor, Error};
use serde_json::{Value, json};

use crate::fixture::{LONG, World, admin, because, config, name, operator, parse, workspace};

async fn add(world: &World, actor: &Actor, config: Value, if_match: Option<&str>) -> Result<Saved, Error> {
    let request = ConfigRequest { config: parse(config), message: "a change".to_owned(), activate: None };
    world.engine.configs().add(actor, &world.shop, request, if_match).await
}

async fn active(world: &World) -> Active {
    world.engine.configs().active(&world.shop).await.unwrap()
}

fn labelled(label: &str) -> Value {
    config("shop-dev", json!({"connectors": {"crm": {"settings": {"label": label}}}}))
}

fn route(account: &str) -> Value {
    let route = json!({"provider": "stripe", "account": account, "signing_secret": "whsec"});
    config("shop-dev", json!({"webhook_routes": {"main": route}}))
}

#[tokio::test(start_paused = true)]
async fn everything_wrong_with_a_config_is_told_at_once_and_nothing_is_stored() {
    let world = World::idle().await;
    let wrong = json!({
        "policies": {"default": {"timeout": {"attempt_ms": 0}}},
        "connectors": {
            "crm": {"kind": "scripted", "policy": "none", "settings": {"lable": 1}, "secrets": {"token": "none", "key": "token"}},
            "erp": {"kind": "unheard-of"},
        },
        "callbacks": {
            "product": {"url": "ftp://product.example", "signing_secret": "none"},
            "other": {"url": "https://user:pass@product.example", "policy": "none"},
        },
        "secret_refs": {"theirs": {"source": "env", "key": "MALL_DEV_TOKEN"}, "up": {"source": "file", "path": "../a"}},
        "webhook_routes": {
            "a": {"provider": "stripe", "account": "acct_1", "signing_secret": "whsec"},
            "b": {"provider": "stripe", "account": "acct_1", "signing_secret": "whsec"},
            "c": {"provider": "stripe", "signing_secret": "whsec"},
            "d": {"provider": "nobody", "default": true, "signing_secret": "none", "connector": "none", "callback": "none"},
        },
        "settings": {"billing": {"api_key": "abc", "list": [{"url": "https://a:b@c.example"}], "plain": "sk_live_1", "fine": 1}},
        "logging": {"sample_success": 2.0},
    });
    let mut whole = config("shop-dev", wrong);
    whole["callbacks"]["other"]["signing_secret"] = json!("cb");
    let error = add(&world, &admin(), whole, None).await.unwrap_err();
    assert_eq!((error.code(), error.status()), ("invalid_config", 422));
    let mut found: Vec<_> = error.field_errors().iter().map(|error| error.pointer.as_str()).collect();
    found.sort_unstable();
    assert_eq!(
        found,
        [
            "/callbacks/other/policy",
            "/callbacks/other/url",
            "/callbacks/product/signing_secret",
            "/callbacks/product/url",
            "/connectors/crm/policy",
            "/connectors/crm/secrets/key",
            "/connectors/crm/secrets/token",
            "/connectors/crm/settings",
            "/connectors/erp/kind",
            "/logging/sample_success",
            "/policies/default/timeout/attempt_ms",
            "/secret_refs/theirs",
            "/secret_refs/up",
            "/settings/billing/api_key",
            "/settings/billing/list/0/url",
            "/settings/billing/plain",
            "/webhook_routes/b",
            "/webhook_routes/c",
            "/webhook_routes/d/callback",
            "/webhook_routes/d/connector",
            "/webhook_routes/d/provider",
            "/webhook_routes/d/signing_secret",
        ]
    );
    assert_eq!(active(&world).await.version.version, 1);
}

#[tokio::test(start_paused = true)]
async fn a_change_makes_the_next_version_and_the_same_content_none() {
    let world = World::idle().await;
    let saved = add(&world, &operator(), labelled("a"), None).await.unwrap();
    assert!(saved.created && saved.version.active);
    assert_eq!((saved.version.version, saved.version.author.as_str()), (2, "olga"));
    let changed: Vec<_> = saved.changes.iter().map(|change| (change.pointer.as_str(), change.kind)).collect();
    assert_eq!(changed, [("/connectors/crm/settings/label", ChangeKind::Added)]);
    let again = add(&world, &operator(), labelled("a"), None).await.unwrap();
    assert_eq!((again.created, again.version.version, &again.etag), (false, 2, &saved.etag));
    assert!(again.changes.is_empty());
    assert_eq!(active(&world).await.etag, saved.etag);
    let listed = world.engine.configs().versions(&world.shop, None, 1).await.unwrap();
    assert_eq!((listed.items[0].version, listed.items[0].active), (1, false));
    let rest = world.engine.configs().versions(&world.shop, listed.next_cursor.as_deref(), usize::MAX).await.unwrap();
    assert_eq!((rest.items.len(), rest.items[0].hash.as_str()), (1, saved.version.hash.as_str()));
    let diff = world.engine.configs().diff(&world.shop, 2, 1).await.unwrap();
    assert_eq!((diff.changes.len(), diff.changes[0].kind), (1, ChangeKind::Removed));
    assert_eq!(world.engine.configs().version(&world.shop, 9).await.unwrap_err().status(), 404);
    let told = world.events(&[EventType::ConfigActivated]).await;
    assert_eq!((told.len(), &told[1].data), (2, &json!({"from": 1, "to": 2})));
}

#[tokio::test(start_paused = true)]
async fn a_version_may_be_made_without_being_activated() {
    let world = World::idle().await;
    let request = ConfigRequest { config: parse(labelled("later")), message: String::new(), activate: Some(false) };
    let configs = world.engine.configs();
    let saved = configs.add(&admin(), &world.shop, request.clone(), None).await.unwrap();
    assert_eq!((saved.created, saved.version.version, saved.version.active), (true, 2, false));
    assert_eq!(active(&world).await.version.version, 1);
    assert!(!configs.add(&admin(), &world.shop, request, None).await.unwrap().created);
    let now = add(&world, &admin(), labelled("later"), Some(&active(&world).await.etag)).await.unwrap();
    assert_eq!((now.created, now.version.version, now.version.active), (false, 2, true));
}

#[tokio::test(start_paused = true)]
async fn inv_30_of_a_hundred_racers_with_one_etag_one_wins() {
    let world = World::idle().await;
    let etag = active(&world).await.etag;
    let actor = operator();
    let racers = (0..100).map(|number| add(&world, &actor, labelled(&number.to_string()), Some(&etag)));
    let results = futures_util::future::join_all(racers).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    assert!(results.iter().filter_map(|result| result.as_ref().err()).all(|error| error.status() == 412));
    assert_eq!(active(&world).await.version.version, 2);
    assert!(add(&world, &admin(), labelled("*"), Some("*")).await.is_ok());
    assert_eq!(add(&world, &admin(), labelled("old"), Some(&etag)).await.unwrap_err().code(), "precondition_failed");
}

#[tokio::test(start_paused = true)]
async fn racers_without_an_etag_all_get_their_change() {
    let world = World::idle().await;
    let racers = (0..50).map(|number| {
        let document = json!({"kind": "scripted"});
        let (configs, shop) = (world.engine.configs(), world.shop.clone());
        async move {
            let name = name(&format!("c{number}"));
            configs.put(&admin(), &shop, ResourceKind::Connector, &name, document, None).await
        }
    });
    assert!(futures_util::future::join_all(racers).await.iter().all(Result::is_ok));
    let active = active(&world).await.version;
    assert_eq!((active.version, active.config.connectors.len()), (51, 51));
}

#[tokio::test(start_paused = true)]
async fn inv_30_a_rollback_is_one_step_and_toggles() {
    let world = World::idle().await;
    let configs = world.engine.configs();
    let none = configs.rollback(&admin(), &world.shop, &because(), None).await.unwrap_err();
    assert_eq!((none.code(), none.status()), ("nothing_to_roll_back", 409));
    add(&world, &admin(), labelled("a"), None).await.unwrap();
    add(&world, &admin(), labelled("b"), None).await.unwrap();
    let mut etags = vec![active(&world).await.etag];
    for wanted in [2, 3, 2] {
        let rolled = configs.rollback(&operator(), &world.shop, &because(), etags.last().map(|e| &**e)).await.unwrap();
        assert_eq!(rolled.version.version, wanted);
        assert_eq!(world.engine.product_config(&world.shop).await.unwrap().0.version, wanted, "at once on this node");
        assert!(!etags.contains(&rolled.etag), "an ETag is never used again");
        etags.push(rolled.etag);
    }
    let stale = configs.activate(&admin(), &world.shop, 1, &because(), Some(&etags[0])).await.unwrap_err();
    assert_eq!(stale.status(), 412);
    configs.activate(&admin(), &world.shop, 1, &because(), None).await.unwrap();
    assert_eq!(configs.activate(&admin(), &world.shop, 9, &because(), None).await.unwrap_err().status(), 404);
    assert_eq!(world.events(&[EventType::ConfigRolledBack]).await.len(), 3);
    assert!(world.audited().await >= 7);
}

#[tokio::test(start_paused = true)]
async fn inv_31_what_was_accepted_once_can_be_activated_again_or_the_refusal_names_why() {
    let world = World::idle().await;
    let mall = world.import("mall-dev", config("mall-dev", json!({}))).await;
    add(&world, &operator(), route("acct_1"), None).await.unwrap();
    add(&world, &operator(), labelled("without"), None).await.unwrap();
    let mut theirs = route("acct_1");
    theirs["secret_refs"] = config("mall-dev", json!({}))["secret_refs"].clone();
    let request = ConfigRequest { config: parse(theirs), message: String::new(), activate: None };
    world.engine.configs().add(&operator(), &mall, request, None).await.unwrap();
    let before = active(&world).await;
    let activate = async || world.engine.configs().activate(&operator(), &world.shop, 2, &because(), None).await;
    match activate().await.unwrap_err() {
        Error::RouteTaken { route } => assert_eq!(route, "main"),
        other => panic!("{other:?}"),
    }
    assert_eq!(active(&world).await, before, "nothing has moved");
    let drop_it = world.engine.configs().rollback(&operator(), &mall, &because(), None).await;
    drop_it.unwrap();
    assert_eq!(activate().await.unwrap().version.version, 2);
    // A secret that is gone is no reason not to go back: its health says so.
    world.install.env.lock().unwrap().clear();
    world.engine.configs().activate(&operator(), &world.shop, 1, &because(), None).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_route_that_was_never_verified_yields_after_a_day_and_to_an_administrator_who_says_so() {
    let world = World::idle().await;
    let mall = world.import("mall-dev", config("mall-dev", json!({}))).await;
    add(&world, &operator(), route("acct_1"), None).await.unwrap();
    let mut theirs = route("acct_1");
    theirs["secret_refs"] = config("mall-dev", json!({}))["secret_refs"].clone();
    let take = async |actor: Actor| {
        let request = ConfigRequest { config: parse(theirs.clone()), message: String::new(), activate: None };
        world.engine.configs().add(&actor, &mall, request, None).await
    };
    let error = take(operator()).await.unwrap_err();
    assert_eq!((error.code(), error.status()), ("route_taken", 409));
    tokio::time::advance(25 * LONG).await;
    take(operator()).await.unwrap();
    let error = world.engine.configs().activate(&operator(), &world.shop, 2, &because(), None).await.unwrap_err();
    assert_eq!(error.code(), "route_taken");
    let activate = async |actor: Actor| world.engine.configs().activate(&actor, &world.shop, 2, &because(), None).await;
    assert_eq!(activate(admin()).await.unwrap_err().code(), "route_taken", "nobody takes one by mistake");
    assert_eq!(activate(Actor { takes_routes: true, ..operator() }).await.unwrap_err().code(), "route_taken");
    activate(Actor { takes_routes: true, ..admin() }).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn single_parts_are_set_and_removed_and_what_is_in_use_stays() {
    let world = World::idle().await;
    let configs = world.engine.configs();
    let put =
        async |kind, part: &str, document| configs.put(&admin(), &world.shop, kind, &name(part), document, None).await;
    put(ResourceKind::Policy, "gentle", json!({"timeout": {"attempt_ms": 5, "total_ms": 9}})).await.unwrap();
    put(ResourceKind::Connector, "crm", json!({"kind": "scripted", "policy": "gentle"})).await.unwrap();
    let unknown = put(ResourceKind::Policy, "x", json!({"time": 1})).await.unwrap_err();
    assert_eq!((unknown.code(), unknown.status()), ("invalid_request", 400));
    let remove = async |kind, part: &str| configs.remove(&admin(), &world.shop, kind, &name(part), None).await;
    let error = remove(ResourceKind::Policy, "gentle").await.unwrap_err();
    assert_eq!(error.field_errors()[0].pointer, "/connectors/crm/policy");
    remove(ResourceKind::Connector, "crm").await.unwrap();
    remove(ResourceKind::Policy, "gentle").await.unwrap();
    assert_eq!(remove(ResourceKind::Policy, "gentle").await.unwrap_err().status(), 404);
    let error = world.engine.execute(&world.shop, crate::fixture::call("read", &[])).await.unwrap_err();
    assert_eq!(error.code(), "connector_not_found");
    assert_eq!(active(&world).await.version.version, 5);
}

#[tokio::test(start_paused = true)]
async fn what_a_policy_remembers_is_kept_where_its_numbers_did_not_change() {
    let limited = |label: &str, burst: u32| {
        let mut config = labelled(label);
        config["policies"]["default"]["rate_limit"] = json!({"per_second": 0.01, "burst": burst});
        config["policies"]["default"]["breaker"] = json!({"min_calls": 1, "open_s": 600});
        config["policies"]["default"]["retry"] = json!({"max_attempts": 1});
        config
    };
    let world = World::with(None, limited("a", 10)).await;
    world.call("read", &["500"]).await;
    let code = async || world.call("read", &["ok"]).await.result.unwrap_err().error.code;
    assert_eq!(code().await, "breaker_open");
    add(&world, &admin(), limited("b", 10), None).await.unwrap();
    assert_eq!(code().await, "breaker_open", "another label changes nothing about the breaker");
    add(&world, &admin(), limited("b", 4), None).await.unwrap();
    assert_eq!(code().await, "breaker_open");
    assert_eq!(code().await, "rate_limited", "what was spent stays spent");
    world.engine.configs().remove(&admin(), &world.shop, ResourceKind::Connector, &name("crm"), None).await.unwrap();
    world.engine.check_served(&world.shop).await.unwrap();
    assert_eq!(world.engine.health().await.unwrap().lanes, 1, "what no longer exists is forgotten: the callback stays");
}

fn bundle(of: &str, config: Value) -> Bundle {
    Bundle { format: 1, workspace: workspace(of), config: parse(config), operators: None }
}

#[tokio::test(start_paused = true)]
async fn a_bundle_creates_changes_and_then_changes_nothing_any_more() {
    let world = World::idle().await;
    let (configs, mall) = (world.engine.configs(), workspace("mall-dev"));
    let mut wanted = bundle("mall-dev", config("mall-dev", json!({})));
    wanted.operators = Some(vec![BundleOperator { sub: "olga".to_owned(), role: Role::Admin }]);
    let planned = configs.import(&admin(), &mall, &wanted, true).await.unwrap();
    assert!(planned.dry_run && planned.created && !planned.changes.is_empty() && planned.version == 0);
    assert!(!planned.warnings.is_empty(), "it has no breaker");
    assert_eq!(world.engine.workspaces().get(&mall).await.unwrap_err().status(), 404, "a dry run changes nothing");
    let made = configs.import(&admin(), &mall, &wanted, false).await.unwrap();
    assert!(made.created && made.version == 1 && made.changes == planned.changes);
    let exported = configs.export(&mall).await.unwrap();
    assert_eq!(exported, wanted);
    let records = world.engine.audit().verify(Some(&mall)).await.unwrap().records;
    let again = configs.import(&admin(), &mall, &exported, false).await.unwrap();
    assert!(!again.created && again.version == 1 && again.changes.is_empty());
    assert_eq!(world.engine.audit().verify(Some(&mall)).await.unwrap().records, records, "nothing was done");
    wanted.config.connectors.clear();
    let planned = configs.import(&admin(), &mall, &wanted, true).await.unwrap();
    assert_eq!((planned.created, planned.version, planned.changes.len()), (false, 1, 1));
    assert_eq!(configs.import(&admin(), &mall, &wanted, false).await.unwrap().version, 2);
}

#[tokio::test(start_paused = true)]
async fn a_bundle_that_cannot_be_imported_changes_nothing() {
    let world = World::idle().await;
    let configs = world.engine.configs();
    let import =
        async |of: &str, bundle: Bundle| configs.import(&operator(), &workspace(of), &bundle, false).await.unwrap_err();
    let good = || bundle("shop-dev", labelled("new"));
    assert_eq!(import("shop-dev", Bundle { format: 2, ..good() }).await.field_errors()[0].pointer, "/format");
    assert_eq!(import("mall-dev", good()).await.field_errors()[0].pointer, "/workspace");
    let error = import("shop-prod", bundle("shop-prod", config("shop-prod", json!({})))).await;
    assert_eq!((error.code(), error.status()), ("wrong_environment", 422));
    let wrong = bundle("shop-dev", config("shop-dev", json!({"connectors": {"crm": {"kind": "none"}}})));
    assert_eq!(import("shop-dev", wrong).await.field_errors()[0].pointer, "/config/connectors/crm/kind");
    let twice = vec![BundleOperator { sub: "a".to_owned(), role: Role::Admin }; 2];
    let error = import("shop-dev", Bundle { operators: Some(twice), ..good() }).await;
    assert_eq!(error.field_errors()[0].pointer, "/operators/1/sub");
    world.engine.operators().put(&admin(), &world.shop, "olga", Role::Admin).await.unwrap();
    let error = import("shop-dev", Bundle { operators: Some(vec![]), ..good() }).await;
    assert_eq!((error.code(), error.status()), ("last_admin", 409));
    assert_eq!(active(&world).await.version.version, 1, "config and operators together, or neither");
}

#[tokio::test(start_paused = true)]
async fn a_request_sees_one_version_whole() {
    let slow = |label: &str, attempt: u64| {
        let mut config = labelled(label);
        config["policies"]["default"]["timeout"] = json!({"attempt_ms": attempt, "total_ms": attempt});
        config
    };
    let world = World::with(None, slow("a", 60_000)).await;
    let (engine, shop) = (world.engine.clone(), world.shop.clone());
    let running = tokio::spawn(async move { engine.execute(&shop, crate::fixture::call("read", &["slow:500"])).await });
    world.script().reached(1).await;
    add(&world, &admin(), slow("b", 10), None).await.unwrap();
    let done = running.await.unwrap().unwrap().result.unwrap();
    let view = world.engine.executions().get(&world.shop, done.id).await.unwrap();
    assert_eq!((view.config_version, done.duration_ms >= 500), (1, true));
    assert_eq!(world.call("read", &["slow:500"]).await.result.unwrap_err().error.code, "timeout");
}
