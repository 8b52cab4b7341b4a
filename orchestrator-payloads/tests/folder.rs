//! The folder: the suite, and what only a folder can do wrong.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs::{self, File};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use orchestrator_conformance::payload::PayloadHarness;
use orchestrator_core::payload::{ObjectError, PayloadScope, PayloadStore};
use orchestrator_payloads::folder::FolderPayloads;
use orchestrator_types::PayloadId;
use tempfile::TempDir;

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn root(&self) -> PathBuf {
        self.0.path().join("a/payloads")
    }

    fn open(&self) -> FolderPayloads {
        FolderPayloads::open(self.root()).unwrap()
    }
}

#[async_trait]
impl PayloadHarness for Folder {
    async fn store(&self) -> Arc<dyn PayloadStore> {
        Arc::new(self.open())
    }

    async fn reopen(&self, _store: Arc<dyn PayloadStore>) -> Option<Arc<dyn PayloadStore>> {
        Some(Arc::new(self.open()))
    }
}

orchestrator_conformance::payload_conformance!(Folder::new());
orchestrator_conformance::payload_conformance_under_faults!(Folder::new());

fn scope() -> PayloadScope {
    PayloadScope { environment: "dev".parse().unwrap(), workspace: "shop-dev".parse().unwrap() }
}

async fn put(store: &FolderPayloads, bytes: &'static [u8]) -> PayloadId {
    let id = PayloadId::new();
    store.put(&scope().key(id), stream::iter([Ok(Bytes::from_static(bytes))]).boxed()).await.unwrap();
    id
}

#[tokio::test]
async fn nothing_is_left_under_partial_and_what_a_crash_left_goes_after_a_day() {
    let folder = Folder::new();
    let store = folder.open();
    put(&store, b"body").await;
    let partials = folder.root().join(".partial");
    assert_eq!(fs::read_dir(&partials).unwrap().count(), 0);
    let (old, new) = (partials.join("old"), partials.join("new"));
    let left = File::create(&old).unwrap();
    left.set_modified(UNIX_EPOCH + Duration::from_secs(1_700_000_000)).unwrap();
    File::create(&new).unwrap();
    folder.open();
    assert!(!old.exists() && new.exists());
}

#[cfg(unix)]
#[tokio::test]
async fn files_and_folders_are_their_owners_only() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new();
    put(&folder.open(), b"body").await;
    let mut waiting = vec![folder.root()];
    let mut files = 0;
    while let Some(path) = waiting.pop() {
        let about = fs::metadata(&path).unwrap();
        assert_eq!(about.permissions().mode() & 0o077, 0, "{path:?}");
        files += usize::from(about.is_file());
        if about.is_dir() {
            waiting.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
    assert_eq!(files, 1);
}

#[tokio::test]
async fn inv_44_what_is_no_object_of_ours_is_passed_over() {
    let folder = Folder::new();
    let store = folder.open();
    let id = put(&store, b"body").await;
    let own = folder.root().join("dev/shop-dev");
    let stranger = PayloadId::at(5);
    fs::write(own.join("notes.txt"), "x").unwrap();
    fs::create_dir(own.join("zzzzz")).unwrap();
    fs::write(own.join("zzzzz").join(stranger.to_string()), "in the wrong place").unwrap();
    assert_eq!(store.list(&scope(), None, 10).await.unwrap(), [id]);
    assert!(matches!(store.get(&scope().key(stranger), None).await, Err(ObjectError::NotFound)));
}

#[tokio::test]
async fn an_empty_folder_goes_and_comes_again() {
    let folder = Folder::new();
    let store = folder.open();
    let id = put(&store, b"body").await;
    store.delete(&scope().key(id)).await.unwrap();
    assert_eq!(fs::read_dir(folder.root().join("dev/shop-dev")).unwrap().count(), 0);
    put(&store, b"body").await;
}

#[cfg(unix)]
#[tokio::test]
async fn a_folder_that_cannot_be_written_is_told() {
    let folder = Folder::new();
    let store = folder.open();
    store.ping().await.unwrap();
    // Also the superuser cannot write where there is no folder.
    fs::remove_dir(folder.root().join(".partial")).unwrap();
    fs::write(folder.root().join(".partial"), "a file").unwrap();
    assert!(matches!(store.ping().await, Err(ObjectError::Unavailable(_))));
    let body = stream::iter([Ok(Bytes::from_static(b"x"))]).boxed();
    assert!(matches!(store.put(&scope().key(PayloadId::new()), body).await, Err(ObjectError::Unavailable(_))));
    assert!(FolderPayloads::open(folder.root()).is_err());
}
