//! The audit chain, after everything that leaves a record in it.

use orchestrator_core::Actor;
use orchestrator_core::clock::Clock;
use orchestrator_core::config::ResourceKind;
use orchestrator_core::secrets::{Replace, Secret};
use orchestrator_core::types::{DlqFilter, DlqRequest, IdentityRequest, Role};
use serde_json::json;

use crate::fixture::{World, admin, because, job, name};

#[tokio::test(start_paused = true)]
async fn inv_28_every_change_leaves_its_record_and_the_chain_is_whole() {
    let world = World::working().await;
    let through = Actor { subject: "olga".to_owned(), via: Some("svc:console".to_owned()), ..admin() };
    let (engine, shop) = (&world.engine, &world.shop);
    engine.configs().put(&through, shop, ResourceKind::Policy, &name("p"), json!({}), None).await.unwrap();
    engine.configs().rollback(&through, shop, &because(), None).await.unwrap();
    engine.configs().activate(&through, shop, 2, &because(), None).await.unwrap();
    engine.workspaces().suspend(&through, shop, &because()).await.unwrap();
    engine.workspaces().resume(&through, shop, &because()).await.unwrap();
    engine.operators().put(&through, shop, "sven", Role::Support).await.unwrap();
    engine.operators().delete(&through, shop, "sven").await.unwrap();
    let identity = IdentityRequest {
        name: "svc:web".parse().unwrap(),
        scopes: vec!["orchestrator.execute".to_owned()],
        public_key: None,
    };
    engine.identities().create(&through, shop, &identity).await.unwrap();
    engine.identities().delete(&through, shop, &identity.name).await.unwrap();
    for replace in [Replace::AtOnce, Replace::Overlapping] {
        let value = Secret::new("a value".to_owned());
        engine.secrets().write(&through, shop, &name("s"), value, replace).await.unwrap();
    }
    let id = world.submit(job("read", &["422"])).await;
    world.ended(id).await;
    let filter = || Some(DlqFilter::default());
    let request = || DlqRequest { ids: None, filter: filter(), reason: "a test asks for it".to_owned() };
    engine.dead_letters().replay(&through, shop, &request()).await.unwrap();
    world.ended(id).await;
    engine.dead_letters().purge(&through, shop, &request()).await.unwrap();

    let records = engine.audit().list(Some(shop), None, 100).await.unwrap().items;
    let actions: Vec<_> = records.iter().map(|record| record.action.as_str()).collect();
    assert_eq!(
        actions,
        [
            "workspace.create",
            "config.change",
            "config.rollback",
            "config.activate",
            "workspace.suspend",
            "workspace.resume",
            "operator.set",
            "operator.remove",
            "identity.create",
            "identity.delete",
            "secret.write",
            "secret.rotate",
            "dlq.replay",
            "dlq.purge",
        ]
    );
    assert!(records[1..].iter().all(|record| record.actor == "olga" && record.via.as_deref() == Some("svc:console")));
    assert!(records.iter().enumerate().all(|(at, record)| record.number == at as u64 + 1));
    let reasons =
        ["config.rollback", "config.activate", "workspace.suspend", "workspace.resume", "dlq.replay", "dlq.purge"];
    for record in &records {
        assert_eq!(record.reason.is_some(), reasons.contains(&record.action.as_str()), "{}", record.action);
    }
    assert_eq!((&records[2].before, &records[2].after), (&Some(json!({"version": 2})), &Some(json!({"version": 1}))));
    let verified = engine.audit().verify(Some(shop)).await.unwrap();
    assert_eq!((verified.intact, verified.records, &verified.head), (true, 14, &records[13].hash));
    let page = engine.audit().list(Some(shop), Some("12"), 1).await.unwrap();
    assert_eq!((page.items[0].number, page.next_cursor.as_deref()), (13, Some("13")));
    assert!(engine.audit().verify(None).await.unwrap().intact);
    assert!(records[0].time <= world.install.clock.now());
}
