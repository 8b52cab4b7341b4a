//! Files that are written whole or not at all.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use orchestrator_types::PayloadId;

/// A partial file of this age belongs to nobody who still writes.
const ABANDONED: Duration = Duration::from_secs(24 * 60 * 60);

/// A file that is being written. Dropping it removes it.
pub(super) struct Partial {
    path: PathBuf,
    file: File,
}

impl Partial {
    pub(super) fn create(folder: &Path) -> io::Result<Self> {
        // An id of ours, because no two are alike.
        let path = folder.join(PayloadId::new().to_string());
        let file = private().write(true).create_new(true).open(&path)?;
        Ok(Self { path, file })
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_all()
    }

    /// Puts it in its place, durably. Refused with [`ErrorKind::AlreadyExists`] if something is there.
    pub(super) fn keep(self, place: &Path) -> io::Result<()> {
        self.sync()?;
        let folder = place.parent().unwrap_or(Path::new("."));
        loop {
            create_folders(folder)?;
            // A link is made only where nothing is, which a rename does not promise.
            match fs::hard_link(&self.path, place) {
                Ok(()) => break,
                // The folder was empty, and whoever removed its last file removed it as well.
                Err(error) if error.kind() == ErrorKind::NotFound && self.path.exists() => {}
                Err(error) => return Err(error),
            }
        }
        sync_folder(folder)
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        // If this fails, what is left is removed at a later start.
        let _ = fs::remove_file(&self.path);
    }
}

/// Makes a folder and those above it, for their owner only, and makes their names durable.
pub(super) fn create_folders(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let above = folder.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if above != folder {
        create_folders(above)?;
    }
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt;
        builder.mode(0o700);
    }
    match builder.create(folder) {
        Ok(()) => sync_folder(above),
        // Somebody else made it just now.
        Err(error) if error.kind() == ErrorKind::AlreadyExists && folder.is_dir() => Ok(()),
        Err(error) => Err(error),
    }
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

/// Opens an object for reading.
pub(super) fn open(place: &Path) -> io::Result<File> {
    let file = File::open(place)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(ErrorKind::NotFound.into()) }
}

/// Removes what a crash left behind.
pub(super) fn remove_old_partials(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let age = entry.metadata().and_then(|about| about.modified()).ok().and_then(|at| at.elapsed().ok());
        if age.is_some_and(|age| age > ABANDONED)
            && let Err(error) = fs::remove_file(entry.path())
        {
            tracing::warn!(%error, "a file that was never finished could not be removed");
        }
    }
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    options
}
