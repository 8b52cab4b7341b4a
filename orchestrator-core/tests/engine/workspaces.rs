//! Workspaces: made, suspended, deleted; and those that are of another environment.

use orchestrator_core::types::{EventType, WorkspaceRequest, WorkspaceStatus};
use orchestrator_core::{BuildError, Orchestrator};

use crate::fixture::{World, admin, because, call, job, workspace};

fn request(name: &str, template: Option<&str>) -> WorkspaceRequest {
    WorkspaceRequest { name: workspace(name), template: template.map(str::to_owned) }
}

#[tokio::test(start_paused = true)]
async fn a_workspace_begins_with_its_environments_policy() {
    let world = World::idle().await;
    let made = world.engine.workspaces().create(&admin(), &request("mall-dev", None)).await.unwrap();
    assert_eq!((made.status, made.environment.as_str(), made.config_version), (WorkspaceStatus::Active, "dev", 1));
    let active = world.engine.configs().active(&made.name).await.unwrap().version;
    assert!(active.active && active.config.policies.len() == 1 && active.config.policies["default"].breaker.is_some());
    let kinds: Vec<_> = crate::fixture::events(&world.engine, &made.name, &[]).await.iter().map(|e| e.kind).collect();
    assert_eq!(kinds, [EventType::WorkspaceCreated, EventType::ConfigActivated]);
    let prod = world.engine.workspaces().create(&admin(), &request("big-dev", Some("prod"))).await.unwrap();
    let policy = &world.engine.configs().active(&prod.name).await.unwrap().version.config.policies["default"];
    assert_eq!(policy.timeout.total_ms, 30_000);
}

#[tokio::test(start_paused = true)]
async fn a_name_that_is_taken_or_of_another_environment_is_refused() {
    let world = World::idle().await;
    let create = async |name: &str, template| {
        let error = world.engine.workspaces().create(&admin(), &request(name, template)).await.unwrap_err();
        (error.code().to_owned(), error.status())
    };
    assert_eq!(create("shop-dev", None).await, ("already_exists".to_owned(), 409));
    assert_eq!(create("shop-prod", None).await, ("wrong_environment".to_owned(), 422));
    assert_eq!(create("mall-dev", Some("none")).await, ("invalid_request".to_owned(), 400));
    world.engine.workspaces().delete(&admin(), &world.shop, &because()).await.unwrap();
    assert_eq!(create("shop-dev", None).await, ("already_exists".to_owned(), 409), "a name is not given again");
}

#[tokio::test(start_paused = true)]
async fn a_suspended_workspace_is_refused_at_the_exec_api_until_it_is_resumed() {
    let world = World::idle().await;
    let workspaces = world.engine.workspaces();
    let id = world.submit(job("read", &["ok"])).await;
    assert_eq!(workspaces.suspend(&admin(), &world.shop, &because()).await.unwrap().status, WorkspaceStatus::Suspended);
    let error = world.engine.execute(&world.shop, call("read", &[])).await.unwrap_err();
    assert_eq!((error.code(), error.status()), ("workspace_suspended", 403));
    let trace = orchestrator_core::types::TraceId::new();
    let error = world.engine.jobs().submit(&world.shop, vec![job("read", &[])], None, trace, None).await.unwrap_err();
    assert_eq!(error.code(), "workspace_suspended");
    assert_eq!(world.engine.product_config(&world.shop).await.unwrap_err().code(), "workspace_suspended");
    assert_eq!(world.engine.check_served(&world.shop).await.unwrap_err().code(), "workspace_suspended");
    assert!(!world.status(id).await.is_terminal());
    workspaces.suspend(&admin(), &world.shop, &because()).await.unwrap();
    workspaces.resume(&admin(), &world.shop, &because()).await.unwrap();
    assert!(world.call("read", &["ok"]).await.result.is_ok());
    let kinds = [EventType::WorkspaceSuspended, EventType::WorkspaceResumed];
    assert_eq!(world.events(&kinds).await.iter().map(|event| event.kind).collect::<Vec<_>>(), kinds, "once each");
}

#[tokio::test(start_paused = true)]
async fn a_deleted_workspace_is_not_there_any_more() {
    let world = World::idle().await;
    world.call("read", &["ok"]).await;
    let workspaces = world.engine.workspaces();
    workspaces.delete(&admin(), &world.shop, &because()).await.unwrap();
    assert_eq!(world.engine.execute(&world.shop, call("read", &[])).await.unwrap_err().code(), "workspace_not_found");
    assert_eq!(workspaces.get(&world.shop).await.unwrap_err().status(), 404);
    assert_eq!(workspaces.resume(&admin(), &world.shop, &because()).await.unwrap_err().status(), 404);
    assert_eq!(workspaces.delete(&admin(), &world.shop, &because()).await.unwrap_err().status(), 404);
    assert!(workspaces.list(None, 10).await.unwrap().items.is_empty());
    assert_eq!(world.engine.health().await.unwrap().lanes, 0);
}

#[tokio::test(start_paused = true)]
async fn workspaces_are_listed_page_by_page_whatever_was_deleted_among_them() {
    let world = World::idle().await;
    let workspaces = world.engine.workspaces();
    for number in 0..9 {
        let made = workspaces.create(&admin(), &request(&format!("w{number}-dev"), None)).await.unwrap();
        if number % 3 != 0 {
            workspaces.delete(&admin(), &made.name, &because()).await.unwrap();
        }
    }
    let (mut found, mut cursor) = (Vec::new(), None);
    loop {
        let page = workspaces.list(cursor.as_deref(), 2).await.unwrap();
        assert!(page.items.len() <= 2);
        found.extend(page.items.into_iter().map(|workspace| workspace.name.to_string()));
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(found, ["shop-dev", "w0-dev", "w3-dev", "w6-dev"]);
    assert_eq!(workspaces.list(Some("Not a name"), 2).await.unwrap_err().status(), 400);
}

#[tokio::test(start_paused = true)]
async fn inv_16_a_store_of_another_environment_is_refused_at_every_door() {
    let world = World::idle().await;
    let prod = world.install.builder().environment("prod").build().await;
    match prod.err().unwrap() {
        BuildError::OtherEnvironment { store, wanted } => assert_eq!((&*store, &*wanted), ("dev", "prod")),
        other => panic!("{other}"),
    }
    assert!(matches!(Orchestrator::builder().build().await.err(), Some(BuildError::Missing(_))));
    let of_prod = workspace("shop-prod");
    assert_eq!(world.engine.execute(&of_prod, call("read", &[])).await.unwrap_err().code(), "workspace_not_found");
    assert_eq!(world.engine.configs().export(&of_prod).await.unwrap_err().status(), 404);
    assert_eq!(world.engine.identities().list(&of_prod).await.unwrap_err().status(), 404);
    assert!(world.engine.identities().authenticate("shop-prod.web", "x").await.unwrap().is_none());
}
