//! Objects as files: `{root}/{environment}/{workspace}/{first characters of the id}/{id}`.
//!
//! A file is written under `{root}/.partial` and linked to its place once all of it is on disk, so that nobody reads half of one;
//! then the folder is written too, so that the name survives a loss of power. What a crash leaves under `.partial` is removed
//! when the folder is opened again, once it is a day old: other nodes may be writing there.
//!
//! Ids begin with their time, and so do the names of the folders that they lie in: each holds about nine hours, and a list
//! reads no more of them than it needs.

mod files;
mod place;

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::PathBuf;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, stream};
use orchestrator_core::payload::{ByteStream, Object, ObjectError, PayloadKey, PayloadScope, PayloadStore};
use orchestrator_types::PayloadId;

use files::{Partial, create_folders, remove_old_partials};

/// How much is read at a time.
const PIECE: usize = 256 * 1024;

/// Objects in a folder. Its owner alone may read it.
#[derive(Debug, Clone)]
pub struct FolderPayloads {
    root: PathBuf,
}

impl FolderPayloads {
    /// Opens the folder, making it if it is not there.
    ///
    /// # Errors
    /// It cannot be made or written to.
    pub fn open(root: impl Into<PathBuf>) -> io::Result<Self> {
        let store = Self { root: root.into() };
        create_folders(&store.partials())?;
        remove_old_partials(&store.partials());
        store.probe()?;
        Ok(store)
    }

    fn partials(&self) -> PathBuf {
        self.root.join(".partial")
    }

    fn probe(&self) -> io::Result<()> {
        let mut partial = Partial::create(&self.partials())?;
        partial.write(b"probe")?;
        partial.sync()
    }
}

/// Does what blocks on a thread for it.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    // It ends by itself, or with the runtime.
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}

fn failed(error: io::Error) -> ObjectError {
    match error.kind() {
        ErrorKind::NotFound => ObjectError::NotFound,
        ErrorKind::AlreadyExists => ObjectError::Exists,
        _ => ObjectError::unavailable(error),
    }
}

#[async_trait]
impl PayloadStore for FolderPayloads {
    fn name(&self) -> &'static str {
        "folder"
    }

    async fn put(&self, key: &PayloadKey, mut body: ByteStream) -> Result<u64, ObjectError> {
        let partials = self.partials();
        let mut partial = blocking(move || Partial::create(&partials)).await.map_err(ObjectError::unavailable)?;
        let mut size = 0;
        let mut waiting = BytesMut::new();
        loop {
            let piece = body.next().await.transpose().map_err(ObjectError::Source)?;
            let ended = piece.is_none();
            waiting.extend_from_slice(&piece.unwrap_or_default());
            // Small pieces go together: each hand-over costs a turn of another thread.
            if waiting.len() >= PIECE || (ended && !waiting.is_empty()) {
                let bytes = waiting.split().freeze();
                size += bytes.len() as u64;
                partial = blocking(move || partial.write(&bytes).map(|()| partial))
                    .await
                    .map_err(ObjectError::unavailable)?;
            }
            if ended {
                break;
            }
        }
        let place = place::of(&self.root, key);
        // Not a lack of the object: an error of the folder.
        let kept = blocking(move || partial.keep(&place)).await;
        match kept {
            Ok(()) => Ok(size),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(ObjectError::Exists),
            Err(error) => Err(ObjectError::unavailable(error)),
        }
    }

    async fn get(&self, key: &PayloadKey, range: Option<Range<u64>>) -> Result<Object, ObjectError> {
        let place = place::of(&self.root, key);
        let open = move || {
            let mut file = files::open(&place)?;
            let size = file.metadata()?.len();
            let range = range.unwrap_or(0..size);
            let (start, end) = (range.start.min(size), range.end.clamp(range.start.min(size), size));
            file.seek(SeekFrom::Start(start))?;
            Ok((file, size, end - start))
        };
        let (file, size, left) = blocking(open).await.map_err(failed)?;
        let body = stream::unfold(Some((file, left)), |state| async move {
            let (file, left) = state.filter(|(_, left)| *left > 0)?;
            match blocking(move || read_piece(file, left)).await {
                Ok((file, piece)) => {
                    let left = left - piece.len() as u64;
                    Some((Ok(piece), Some((file, left))))
                }
                Err(error) => Some((Err(error.into()), None)),
            }
        });
        Ok(Object { size, body: body.boxed() })
    }

    async fn delete(&self, key: &PayloadKey) -> Result<(), ObjectError> {
        let place = place::of(&self.root, key);
        let delete = move || match fs::remove_file(&place) {
            Ok(()) => {
                // Goes only if it is empty.
                let _ = place.parent().map(fs::remove_dir);
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        };
        blocking(delete).await.map_err(ObjectError::unavailable)
    }

    async fn list(
        &self,
        scope: &PayloadScope,
        after: Option<PayloadId>,
        limit: usize,
    ) -> Result<Vec<PayloadId>, ObjectError> {
        let folder = place::of_scope(&self.root, scope);
        blocking(move || place::list(&folder, after, limit)).await.map_err(ObjectError::unavailable)
    }

    async fn ping(&self) -> Result<(), ObjectError> {
        let store = self.clone();
        blocking(move || store.probe()).await.map_err(ObjectError::unavailable)
    }
}

fn read_piece(mut file: File, left: u64) -> io::Result<(File, Bytes)> {
    let wanted = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
    let mut piece = BytesMut::zeroed(wanted);
    file.read_exact(&mut piece)?;
    Ok((file, piece.freeze()))
}
