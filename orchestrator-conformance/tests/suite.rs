//! The suite itself: no behaviour is run by nobody, and what no store in memory can show can be held, and be missed.

#![allow(clippy::expect_used, reason = "tests")]

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use orchestrator_conformance::ManualClock;
use orchestrator_conformance::store::{StoreHarness, durability};
use orchestrator_core::memory::MemoryStore;
use orchestrator_core::store::Store;

#[test]
fn every_behaviour_is_run() {
    every_behaviour_of("src/store", "store_behaviours! {", 100);
    every_behaviour_of("src/connector", "connector_behaviours! {", 25);
    every_behaviour_of("src/queue", "queue_behaviours! {", 25);
    every_behaviour_of("src/limiter", "limiter_behaviours! {", 9);
}

fn every_behaviour_of(folder: &str, list: &str, at_least: usize) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let table = std::fs::read_to_string(folder.join("mod.rs")).expect("the table");
    let table = table.split(list).nth(1).expect("the list of behaviours");
    let run: BTreeSet<String> = concerns(table).collect();
    let mut written = BTreeSet::new();
    for file in std::fs::read_dir(&folder).expect("the folder") {
        let path = file.expect("a file").path();
        let concern = path.file_stem().and_then(|stem| stem.to_str()).expect("a name").to_owned();
        let source = std::fs::read_to_string(&path).expect("a source file");
        let functions = source.lines().filter_map(|line| line.strip_prefix("pub async fn "));
        written.extend(functions.filter_map(|rest| Some(format!("{concern}::{}", rest.split_once('(')?.0))));
    }
    assert!(written.len() >= at_least, "the search finds them");
    assert_eq!(written, run);
}

/// `concern { behaviour behaviour }` as `concern::behaviour`.
fn concerns(table: &str) -> impl Iterator<Item = String> {
    let body = table.split_once("=>").map_or("", |(_, body)| body);
    let (mut concern, mut found) = (None, Vec::new());
    let mut previous = "";
    for word in body.split_whitespace() {
        match word {
            "{" => concern = Some(previous),
            "}" if concern.is_none() => break,
            "}" => concern = None,
            name => found.extend(concern.map(|concern| format!("{concern}::{name}"))),
        }
        previous = word;
    }
    found.into_iter()
}

/// A process that never ends: what it acknowledged is all there when it is "opened again".
#[derive(Default)]
struct Undying(ManualClock);

#[async_trait]
impl StoreHarness for Undying {
    async fn store(&self) -> Arc<dyn Store> {
        Arc::new(MemoryStore::new(self.0.shared()))
    }

    fn clock(&self) -> &ManualClock {
        &self.0
    }

    async fn reopen(&self, store: Arc<dyn Store>) -> Option<Arc<dyn Store>> {
        Some(store)
    }
}

/// A process that forgets everything when it ends.
#[derive(Default)]
struct Forgetful(ManualClock);

#[async_trait]
impl StoreHarness for Forgetful {
    async fn store(&self) -> Arc<dyn Store> {
        Arc::new(MemoryStore::new(self.0.shared()))
    }

    fn clock(&self) -> &ManualClock {
        &self.0
    }

    async fn reopen(&self, _store: Arc<dyn Store>) -> Option<Arc<dyn Store>> {
        Some(self.store().await)
    }
}

#[tokio::test]
async fn what_is_asked_of_a_restart_can_be_held() {
    durability::inv_01_what_was_acknowledged_survives_a_restart(&Undying::default()).await;
    durability::inv_02_a_running_job_is_rescued_after_a_restart(&Undying::default()).await;
    durability::inv_10_order_survives_a_restart(&Undying::default()).await;
}

#[tokio::test]
async fn a_store_that_forgets_is_found_out() {
    let forgetful = Forgetful::default;
    let found = [
        tokio::spawn(async move { durability::inv_01_what_was_acknowledged_survives_a_restart(&forgetful()).await }),
        tokio::spawn(async move { durability::inv_02_a_running_job_is_rescued_after_a_restart(&forgetful()).await }),
        tokio::spawn(async move { durability::inv_10_order_survives_a_restart(&forgetful()).await }),
        tokio::spawn(async move { durability::a_store_says_what_it_is(&forgetful()).await }),
    ];
    for behaviour in found {
        assert!(behaviour.await.is_err_and(|error| error.is_panic()), "it does not hold");
    }
}
