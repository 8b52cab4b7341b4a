//! Operators and service identities.

use orchestrator_core::types::{IdentityRequest, Role};
use serde_json::json;

use crate::fixture::{World, admin, because, operator};

#[tokio::test(start_paused = true)]
async fn inv_27_the_last_admin_stays() {
    let world = World::idle().await;
    let operators = world.engine.operators();
    let put = async |sub: &str, role| operators.put(&operator(), &world.shop, sub, role).await;
    put("olga", Role::Admin).await.unwrap();
    put("sven", Role::Support).await.unwrap();
    assert_eq!(put("olga", Role::ReadOnly).await.unwrap_err().code(), "last_admin");
    let error = operators.delete(&operator(), &world.shop, "olga").await.unwrap_err();
    assert_eq!((error.code(), error.status()), ("last_admin", 409));
    put("sven", Role::Admin).await.unwrap();
    operators.delete(&operator(), &world.shop, "olga").await.unwrap();
    assert_eq!(operators.role(&world.shop, "olga").await.unwrap(), None, "at once");
    assert_eq!(operators.get(&world.shop, "sven").await.unwrap().role, Role::Admin);
    assert_eq!(operators.list(&world.shop).await.unwrap().len(), 1);
    assert_eq!(operators.delete(&operator(), &world.shop, "olga").await.unwrap_err().status(), 404);
    assert_eq!(put("with blank", Role::Support).await.unwrap_err().status(), 400);
    assert_eq!(operators.role(&world.shop, " guard").await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn inv_27_two_admins_that_remove_each_other_leave_one() {
    let world = World::idle().await;
    let nodes = [world.engine.clone(), world.install.node().await];
    for _ in 0..20 {
        for sub in ["a", "b"] {
            nodes[0].operators().put(&admin(), &world.shop, sub, Role::Admin).await.unwrap();
        }
        let (actor, shop) = (operator(), &world.shop);
        let (one, other) = (nodes[0].operators(), nodes[1].operators());
        let (first, second) = tokio::join!(one.delete(&actor, shop, "a"), other.delete(&actor, shop, "b"));
        assert!(first.is_ok() != second.is_ok());
        assert_eq!(nodes[0].operators().list(shop).await.unwrap().len(), 1);
    }
    world.audited().await;
}

fn identity(scopes: &[&str]) -> IdentityRequest {
    let scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect();
    IdentityRequest { name: "svc:web".parse().unwrap(), scopes, public_key: None }
}

#[tokio::test(start_paused = true)]
async fn an_identity_proves_itself_by_its_secret_until_it_is_deleted() {
    let world = World::idle().await;
    let identities = world.engine.identities();
    let create = async |scopes: &[&str]| identities.create(&admin(), &world.shop, &identity(scopes)).await;
    assert_eq!(create(&[]).await.unwrap_err().field_errors()[0].pointer, "/scopes");
    let error = create(&["orchestrator.execute", "orchestrator.admin"]).await.unwrap_err();
    assert_eq!(error.field_errors()[0].pointer, "/scopes/1");
    let made = create(&["orchestrator.execute"]).await.unwrap();
    let (id, secret) = (made.client_id, made.client_secret.unwrap());
    assert!(id == "shop-dev.web" && secret.len() > 40);
    assert_eq!(create(&["orchestrator.execute"]).await.unwrap_err().status(), 409);
    let proved = identities.authenticate(&id, &secret).await.unwrap().unwrap();
    assert_eq!((&proved.workspace, proved.scopes.len()), (&world.shop, 1));
    for (id, secret) in [(&*id, ""), (&*id, "wrong"), ("shop-dev.api", &*secret), ("nonsense", &*secret), ("", "")] {
        assert!(identities.authenticate(id, secret).await.unwrap().is_none());
    }
    let live = async |generation| identities.is_live(&world.shop, "svc:web", generation).await.unwrap();
    assert!(live(proved.generation).await && !live(proved.generation + 1).await);
    let stored = format!("{:?}", world.install.store.audit(&(&world.shop).into(), 0, 100).await.unwrap());
    assert!(!stored.contains(&secret));
    identities.delete(&admin(), &world.shop, &"svc:web".parse().unwrap()).await.unwrap();
    assert!(identities.authenticate(&id, &secret).await.unwrap().is_none());
    create(&["orchestrator.execute"]).await.unwrap();
    assert!(!live(proved.generation).await, "made anew in the same instant it is another");
    assert_eq!(identities.list(&world.shop).await.unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_identity_with_a_key_has_no_secret() {
    let world = World::idle().await;
    let identities = world.engine.identities();
    let with = |key| IdentityRequest { public_key: Some(key), ..identity(&["orchestrator.execute"]) };
    let error = identities.create(&admin(), &world.shop, &with(json!("text"))).await.unwrap_err();
    assert_eq!(error.field_errors()[0].pointer, "/public_key");
    let made = identities.create(&admin(), &world.shop, &with(json!({"kty": "OKP"}))).await.unwrap();
    assert!(made.client_secret.is_none());
    assert!(identities.authenticate(&made.client_id, "").await.unwrap().is_none());
    let (identity, key) = identities.public_key(&made.client_id).await.unwrap().unwrap();
    assert_eq!(key["kty"], "OKP");
    assert!(identities.is_live(&world.shop, "svc:web", identity.generation).await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn identities_of_a_deleted_workspace_prove_nothing() {
    let world = World::idle().await;
    let made = world.engine.identities().create(&admin(), &world.shop, &identity(&["orchestrator.execute"])).await;
    let made = made.unwrap();
    world.engine.workspaces().delete(&admin(), &world.shop, &because()).await.unwrap();
    let secret = made.client_secret.unwrap();
    assert!(world.engine.identities().authenticate(&made.client_id, &secret).await.unwrap().is_none());
}
