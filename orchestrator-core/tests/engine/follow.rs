//! Two nodes on one store: what one changes the other knows within two seconds. On real time.

use std::time::Duration;

use orchestrator_core::memory::MemoryStore;
use orchestrator_core::types::{ConfigRequest, EventType, TraceId};
use orchestrator_core::{Orchestrator, clock::SystemClock};
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::time::timeout;

use crate::fixture::{Install, LONG, admin, because, config, job, parse, submit, workspace};

/// Long enough that only a change that is never noticed takes so long.
const NEVER: Duration = Duration::from_secs(2);

async fn two_nodes() -> (Install, Orchestrator, Orchestrator) {
    let mut install = Install::new();
    install.store = Arc::new(MemoryStore::new(SystemClock::shared()));
    let (first, second) = (install.node().await, install.node().await);
    let shop = workspace("shop-dev");
    let bundle = orchestrator_core::types::Bundle {
        format: 1,
        workspace: shop.clone(),
        config: parse(labelled(0)),
        operators: None,
    };
    first.configs().import(&admin(), &shop, &bundle, false).await.unwrap();
    assert_eq!(second.product_config(&shop).await.unwrap().0.version, 1);
    (install, first, second)
}

fn labelled(number: u32) -> Value {
    config("shop-dev", json!({"settings": {"number": number}}))
}

#[tokio::test]
async fn inv_30_a_change_is_live_on_every_node_within_two_seconds() {
    let (_install, first, second) = two_nodes().await;
    let shop = workspace("shop-dev");
    for number in 1..=3 {
        let request = ConfigRequest { config: parse(labelled(number)), message: String::new(), activate: None };
        let saved = first.configs().add(&admin(), &shop, request, None).await.unwrap();
        let noticed = async {
            loop {
                let (live, etag) = second.product_config(&shop).await.unwrap();
                if live.settings["number"] == json!(number) {
                    assert_eq!((live.version, etag), (saved.version.version, saved.etag.clone()));
                    return;
                }
                tokio::task::yield_now().await;
            }
        };
        timeout(NEVER, noticed).await.expect("the other node does not notice");
    }
    first.workspaces().suspend(&admin(), &shop, &because()).await.unwrap();
    let noticed = async {
        while second.check_served(&shop).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    timeout(NEVER, noticed).await.expect("the other node does not notice");
}

#[tokio::test]
async fn inv_30_requests_during_many_activations_never_mix_two_versions() {
    let (_install, first, second) = two_nodes().await;
    let shop = workspace("shop-dev");
    let changes = async {
        for number in 1..=200 {
            let request = ConfigRequest { config: parse(labelled(number)), message: String::new(), activate: None };
            first.configs().add(&admin(), &shop, request, None).await.unwrap();
            tokio::task::yield_now().await;
        }
    };
    let requests = async {
        let mut last = 0;
        while last < 201 {
            let (live, etag) = second.product_config(&shop).await.unwrap();
            let number = live.settings["number"].as_u64().unwrap();
            assert_eq!(number + 1, u64::from(live.version));
            assert!(etag.starts_with(&format!("\"{}-", live.version)));
            last = live.version;
            tokio::task::yield_now().await;
        }
    };
    timeout(30 * NEVER, async { tokio::join!(changes, requests) }).await.expect("the last version is never seen");
}

#[tokio::test]
async fn inv_09_a_reader_on_another_node_hears_of_what_happens() {
    let (install, first, second) = two_nodes().await;
    let shop = workspace("shop-dev");
    let worker = install.worker(Default::default()).await;
    let id = submit(&first, &shop, vec![job("read", &["ok"])]).await.jobs[0].id;
    let view = timeout(10 * NEVER, second.jobs().get(&shop, id, LONG)).await.expect("no wake-up").unwrap();
    assert!(view.status.is_terminal());
    let filter = orchestrator_core::store::EventFilter { kinds: vec![EventType::JobCancelled], ..Default::default() };
    let service = second.events();
    let waiting = service.page(&shop, None, &filter, 10, LONG);
    let cancelling = async {
        let jobs = vec![crate::jobs::later(LONG)];
        let id = submit(&first, &shop, jobs).await.jobs[0].id;
        first.jobs().cancel(&shop, id, TraceId::new()).await.unwrap();
    };
    let (page, ()) = timeout(10 * NEVER, async { tokio::join!(waiting, cancelling) }).await.expect("no wake-up");
    assert_eq!(page.unwrap().items.len(), 1);
    worker.shutdown(Duration::from_secs(1)).await;
}
