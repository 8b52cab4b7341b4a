//! The install's key is rotated on several nodes while everything reads.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use orchestrator_core::Orchestrator;
use orchestrator_core::secrets::seal::{InstallKey, KeyRing};
use orchestrator_core::secrets::{
    InstallKeys, KeySource, KeySourceError, Replace, Secret, install_secret, key_usage, read_install_secret,
};
use orchestrator_core::types::{
    EventType, InstallKeyState, KeyRotationStatus, KeyRotationView, SecretHealth, WorkspaceId,
};
use serde_json::json;
use tokio::time::{Instant, sleep};
use zeroize::Zeroizing;

use crate::fixture::{Install, LONG, World, admin, because, config, name, operator, workspace};

/// A node's key file: the first key seals.
#[derive(Clone, Default)]
struct KeyFile(Arc<Mutex<Vec<String>>>);

impl KeyFile {
    fn of(keys: &[&InstallKey]) -> Self {
        let file = Self::default();
        file.set(keys);
        file
    }

    fn set(&self, keys: &[&InstallKey]) {
        *self.0.lock().unwrap() = keys.iter().map(|key| key.to_file_text().expose().to_owned()).collect();
    }
}

impl KeySource for KeyFile {
    fn read(&self) -> Result<KeyRing, KeySourceError> {
        let mut keys: Vec<InstallKey> =
            self.0.lock().unwrap().iter().map(|line| InstallKey::parse(line).unwrap()).collect();
        let current = keys.remove(0);
        Ok(KeyRing::new(current, keys))
    }

    fn renew(&self) -> Result<KeyRing, KeySourceError> {
        let new = InstallKey::generate().unwrap().to_file_text().expose().to_owned();
        self.0.lock().unwrap().insert(0, new);
        self.read()
    }
}

/// A node with a key file of its own.
async fn node(install: &Install, file: &KeyFile) -> Orchestrator {
    let keys = InstallKeys::of(Arc::new(file.clone()), file.read().unwrap());
    install.builder().install_keys(Arc::new(keys)).build().await.unwrap()
}

/// Several workspaces with a stored secret each, and a secret of the install itself.
async fn sealed(install: &Install, engine: &Orchestrator, ring: &KeyRing) -> Vec<WorkspaceId> {
    let world = World { install: install.clone(), engine: engine.clone(), shop: workspace("shop-dev") };
    let mut names = Vec::new();
    for at in 0..7 {
        let refs = json!({"secret_refs": {"key": {"source": "stored", "name": "key"}}});
        let here = format!("shop{at}-dev");
        names.push(world.import(&here, config(&here, refs)).await);
        let value = Secret::new(format!("value of {here}"));
        engine.secrets().write(&admin(), &names[at], &name("key"), value, Replace::AtOnce).await.unwrap();
    }
    let make = || Zeroizing::new(b"signs".to_vec());
    install_secret(install.store.as_ref(), ring, engine.environment(), "signer", make).await.unwrap();
    names
}

async fn ended(engine: &Orchestrator) -> KeyRotationView {
    let until = Instant::now() + LONG;
    loop {
        let rotation = engine.keys().view().await.unwrap().rotation.unwrap();
        if matches!(rotation.status, KeyRotationStatus::Done | KeyRotationStatus::Failed) {
            return rotation;
        }
        assert!(Instant::now() < until, "{rotation:?}");
        sleep(Duration::from_millis(100)).await;
    }
}

async fn opens(engine: &Orchestrator, workspaces: &[WorkspaceId]) -> bool {
    for workspace in workspaces {
        let status = engine.secrets().status(workspace).await.unwrap();
        if status.iter().find(|one| one.name.as_str() == "key").unwrap().health != SecretHealth::Ok {
            return false;
        }
    }
    true
}

/// Readers that read stored secrets anew, on all nodes in turn, as long as they are let.
struct Readers {
    stop: Arc<AtomicBool>,
    reads: Arc<AtomicU64>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Readers {
    fn start(nodes: &[Orchestrator], workspaces: &[WorkspaceId]) -> Self {
        let (stop, reads) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let tasks = (0..100)
            .map(|at| {
                let (engine, here) = (nodes[at % nodes.len()].clone(), workspaces[at % workspaces.len()].clone());
                let (stop, reads) = (stop.clone(), reads.clone());
                tokio::spawn(async move {
                    while !stop.load(Ordering::Relaxed) {
                        assert!(opens(&engine, std::slice::from_ref(&here)).await, "{here} did not open");
                        reads.fetch_add(1, Ordering::Relaxed);
                        sleep(Duration::from_millis(20)).await;
                    }
                })
            })
            .collect();
        Self { stop, reads, tasks }
    }

    async fn end(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.unwrap();
        }
        self.reads.load(Ordering::Relaxed)
    }
}

#[tokio::test(start_paused = true)]
async fn inv_24_a_hundred_readers_on_two_nodes_open_while_the_key_rotates_and_none_fails() {
    let (install, first, second) = (Install::new(), InstallKey::generate().unwrap(), InstallKey::generate().unwrap());
    let files = [KeyFile::of(&[&first]), KeyFile::of(&[&first])];
    let nodes = [node(&install, &files[0]).await, node(&install, &files[1]).await];
    let workspaces = sealed(&install, &nodes[0], &files[0].read().unwrap()).await;
    let readers = Readers::start(&nodes, &workspaces);
    // The new key is brought to every node; then one of them is asked.
    files[0].set(&[&second, &first]);
    files[1].set(&[&second, &first]);
    let asked = nodes[0].keys().rotate(&admin(), &because(), false).await.unwrap();
    assert_eq!((asked.status, asked.key), (KeyRotationStatus::Announced, second.id().to_string()));
    let again = nodes[1].keys().rotate(&admin(), &because(), false).await.unwrap_err();
    assert_eq!((again.status(), again.code()), (409, "rotation_running"));
    let done = ended(&nodes[1]).await;
    assert_eq!((done.status, done.resealed, done.failed), (KeyRotationStatus::Done, 8, 0), "{done:?}");
    assert!(readers.end().await > 1_000);

    let usage = key_usage(install.store.as_ref()).await.unwrap().0;
    assert_eq!(usage.keys().copied().collect::<Vec<_>>(), [second.id()]);
    assert_eq!((usage[&second.id()].data_keys, usage[&second.id()].install_secrets), (7, 1));
    // Without the old key everything opens; and what is new is sealed by the new one on each node.
    let alone = KeyFile::of(&[&second]);
    let after = node(&install, &alone).await;
    assert!(opens(&after, &workspaces).await);
    let ring = alone.read().unwrap();
    let signer = read_install_secret(install.store.as_ref(), &ring, after.environment(), "signer").await.unwrap();
    assert_eq!(signer.unwrap().as_slice(), b"signs");
    let world = World { install: install.clone(), engine: nodes[1].clone(), shop: workspace("shop-dev") };
    let late = world.import("late-dev", config("late-dev", json!({}))).await;
    let value = Secret::new("late".to_owned());
    nodes[1].secrets().write(&admin(), &late, &name("key"), value, Replace::AtOnce).await.unwrap();
    assert_eq!(key_usage(install.store.as_ref()).await.unwrap().0.len(), 1);
    let audit = nodes[0].audit().list(None, None, 100).await.unwrap();
    let record = audit.items.iter().find(|record| record.action == "secret.rotate_kek").unwrap();
    assert_eq!(record.reason.as_deref(), Some("a test asks for it"));
    assert!(nodes[0].audit().verify(None).await.unwrap().intact);
}

#[tokio::test(start_paused = true)]
async fn inv_24_nothing_is_sealed_by_a_key_that_a_node_lacks() {
    let (install, first, second) = (Install::new(), InstallKey::generate().unwrap(), InstallKey::generate().unwrap());
    let files = [KeyFile::of(&[&first]), KeyFile::of(&[&first])];
    let nodes = [node(&install, &files[0]).await, node(&install, &files[1]).await];
    let workspaces = sealed(&install, &nodes[0], &files[0].read().unwrap()).await;
    files[0].set(&[&second, &first]);
    nodes[0].keys().rotate(&admin(), &because(), false).await.unwrap();
    let failed = ended(&nodes[0]).await;
    assert_eq!((failed.status, failed.resealed), (KeyRotationStatus::Failed, 0));
    assert!(failed.detail.unwrap().contains("a node lacks the key"));
    sleep(LONG).await;
    let usage = key_usage(install.store.as_ref()).await.unwrap().0;
    assert_eq!(usage.keys().copied().collect::<Vec<_>>(), [first.id()]);
    // Brought there, it works.
    files[1].set(&[&second, &first]);
    nodes[1].keys().rotate(&admin(), &because(), false).await.unwrap();
    assert_eq!(ended(&nodes[0]).await.status, KeyRotationStatus::Done);
    assert!(opens(&nodes[0], &workspaces).await && opens(&nodes[1], &workspaces).await);
}

#[tokio::test(start_paused = true)]
async fn a_rotation_whose_node_dies_is_taken_up_by_another() {
    let (install, first) = (Install::new(), InstallKey::generate().unwrap());
    let file = KeyFile::of(&[&first]);
    let dying = node(&install, &file).await;
    sealed(&install, &dying, &file.read().unwrap()).await;
    let key = dying.keys().rotate(&admin(), &because(), true).await.unwrap().key;
    dying.shutdown(Duration::ZERO).await;
    let other = node(&install, &file).await;
    assert_eq!(other.keys().view().await.unwrap().rotation.unwrap().status, KeyRotationStatus::Announced);
    let done = ended(&other).await;
    assert_eq!((done.status, done.key, done.resealed), (KeyRotationStatus::Done, key, 8));
}

#[tokio::test(start_paused = true)]
async fn health_tells_which_key_seals_how_much_and_which_is_missing() {
    let (install, first) = (Install::new(), InstallKey::generate().unwrap());
    let file = KeyFile::of(&[&first]);
    let engine = node(&install, &file).await;
    sealed(&install, &engine, &file.read().unwrap()).await;
    let shown = async |engine: &Orchestrator| {
        let keys = engine.keys().view().await.unwrap().keys;
        keys.into_iter().map(|key| (key.id, key.state, key.data_keys, key.install_secrets)).collect::<Vec<_>>()
    };
    let old = first.id().to_string();
    assert_eq!(shown(&engine).await, [(old.clone(), InstallKeyState::Sealing, 7, 1)]);
    let other = KeyFile::of(&[&InstallKey::generate().unwrap()]);
    let stranger = node(&install, &other).await;
    let keys = shown(&stranger).await;
    assert_eq!(keys[1], (old.clone(), InstallKeyState::Missing, 7, 1));
    let lacking = key_usage(install.store.as_ref()).await.unwrap().lacking(&other.read().unwrap()).unwrap();
    for part in [old.as_str(), "7 workspaces (shop0-dev, shop1-dev, shop2-dev, …)", "1 of the install's own"] {
        assert!(lacking.contains(part) && !lacking.contains('\n'), "{lacking}");
    }
    // What does not open is left as it was, and told.
    engine.shutdown(Duration::ZERO).await;
    stranger.keys().rotate(&admin(), &because(), true).await.unwrap();
    let failed = ended(&stranger).await;
    assert_eq!((failed.status, failed.failed, failed.resealed), (KeyRotationStatus::Failed, 8, 0));
    assert_eq!(shown(&stranger).await.last().unwrap(), &(old, InstallKeyState::Missing, 7, 1));
}

#[tokio::test(start_paused = true)]
async fn keys_that_cannot_be_rotated_say_so() {
    let world = World::idle().await;
    let fixed = world.engine.keys().rotate(&operator(), &because(), true).await.unwrap_err();
    assert_eq!((fixed.status(), fixed.code()), (409, "key_unavailable"));
    assert!(world.events(&[EventType::SecretRotated]).await.is_empty());
}
