//! The key file: a key a line, of which the first seals and all open; blank lines and those that begin with `#` are passed
//! over. It is read anew while the server runs, and written only when it is made and when a key is drawn into it.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use orchestrator_core::secrets::seal::{InstallKey, KeyError, KeyRing, SealError};
use orchestrator_core::secrets::{KeySource, KeySourceError, read_install_secret};
use orchestrator_core::store::ControlStore;
use orchestrator_types::Environment;
use zeroize::Zeroizing;

use super::signing::SIGNING_KEY;
use crate::settings::SecretSettings;

/// Why a key file cannot be used. One line; shows nothing of a key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// It is not there.
    #[error("there is no key file {}", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// It is not there, and the store holds what it sealed.
    #[error("the key file {} is gone, and the store holds what it sealed: bring it back, or copy that of another node", path.display())]
    Lost {
        /// The file.
        path: PathBuf,
    },
    /// Others than its owner can read or write it.
    #[error("the key file {} is open to others than its owner: chmod 600 it", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
    },
    /// It holds no key.
    #[error("the key file {}: {source}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// Why.
        source: KeyError,
    },
    /// It is a link: what it points to is somebody else's to write.
    #[error("the key file {} is a link, as a mounted secret is: bring the new key into it yourself, and rotate to what it holds", path.display())]
    Linked {
        /// The file.
        path: PathBuf,
    },
    /// It cannot be read or written.
    #[error("the key file {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// No key can be made.
    #[error("no key can be made: {0}")]
    Generate(#[from] SealError),
}

/// The ring of the key files. Makes nothing.
///
/// # Errors
/// One of the files is not there, is open to others, or holds no key.
pub fn read_ring(settings: &SecretSettings) -> Result<KeyRing, KeyFileError> {
    let mut keys = read(&settings.kek_file)?;
    for path in &settings.older_kek_files {
        keys.extend(read(path)?);
    }
    // No file is read that holds no key.
    let current = keys.remove(0);
    Ok(KeyRing::new(current, keys))
}

/// The key files, for a server that runs.
pub(crate) struct KeyFiles(pub(crate) SecretSettings);

impl KeySource for KeyFiles {
    fn read(&self) -> Result<KeyRing, KeySourceError> {
        read_ring(&self.0).map_err(|error| KeySourceError(error.to_string()))
    }

    fn renew(&self) -> Result<KeyRing, KeySourceError> {
        draw(&self.0.kek_file).map_err(|error| KeySourceError(error.to_string()))?;
        self.read()
    }
}

/// Draws a key into the file, before those that are there. The file is changed whole or not at all.
fn draw(path: &Path) -> Result<(), KeyFileError> {
    let io = |source| KeyFileError::Io { path: path.to_owned(), source };
    if fs::symlink_metadata(path).map_err(io)?.is_symlink() {
        return Err(KeyFileError::Linked { path: path.to_owned() });
    }
    let (before, new) = (text(path)?, InstallKey::generate()?.to_file_text());
    let text = Zeroizing::new(format!("{}\n{}", new.expose(), before.as_str()));
    let file = written(path, &text).map_err(io)?;
    file.persist(path).map_err(|error| io(error.error))?;
    settled(path).map_err(io)
}

/// The ring of the key files; makes the current one if the store is of a new install.
pub(crate) async fn open_ring(
    settings: &SecretSettings,
    store: &dyn ControlStore,
    environment: &Environment,
) -> Result<KeyRing, KeyFileError> {
    let path = &settings.kek_file;
    if !path.exists() {
        let key = InstallKey::generate()?;
        let text = key.to_file_text();
        // A ring that has sealed nothing opens nothing: what is there at all is of a key that is gone.
        let sealed = read_install_secret(store, &KeyRing::new(key, Vec::new()), environment, SIGNING_KEY).await;
        if !matches!(sealed, Ok(None)) {
            // Another node that shares the file may have made it just now.
            return if path.exists() { read_ring(settings) } else { Err(KeyFileError::Lost { path: path.clone() }) };
        }
        make(path, text.expose()).map_err(|source| KeyFileError::Io { path: path.clone(), source })?;
        tracing::info!(file = %path.display(), "a new key file was made: keep a copy apart from the store's");
    }
    read_ring(settings)
}

/// The keys of a file, at least one.
fn read(path: &Path) -> Result<Vec<InstallKey>, KeyFileError> {
    let content = |source| KeyFileError::Content { path: path.to_owned(), source };
    let text = text(path)?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let keys: Vec<InstallKey> = lines.map(InstallKey::parse).collect::<Result<_, _>>().map_err(content)?;
    if keys.is_empty() { Err(content(KeyError::Malformed)) } else { Ok(keys) }
}

fn text(path: &Path) -> Result<Zeroizing<String>, KeyFileError> {
    let io = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => KeyFileError::Missing { path: path.to_owned() },
        _ => KeyFileError::Io { path: path.to_owned(), source },
    };
    if !is_private(path).map_err(io)? {
        return Err(KeyFileError::Exposed { path: path.to_owned() });
    }
    Ok(Zeroizing::new(fs::read_to_string(path).map_err(io)?))
}

/// Whether nobody but its owner can read or write the file.
#[cfg(unix)]
fn is_private(path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::PermissionsExt;
    Ok(fs::metadata(path)?.permissions().mode() & 0o077 == 0)
}

/// Whether nobody but its owner can read or write the file: elsewhere that is not told by modes.
#[cfg(not(unix))]
fn is_private(path: &Path) -> io::Result<bool> {
    fs::metadata(path).map(|_| true)
}

/// Writes the file whole or not at all, for its owner only. One that another process made meanwhile stays.
fn make(path: &Path, text: &str) -> io::Result<()> {
    match written(path, &format!("{text}\n"))?.persist_noclobber(path) {
        Ok(_) => {}
        Err(taken) if taken.error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(other) => return Err(other.error),
    }
    settled(path)
}

/// A file beside the one that is to be, for its owner only, on disk.
fn written(path: &Path, text: &str) -> io::Result<tempfile::NamedTempFile> {
    let folder = folder_of(path);
    private_folder(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    Ok(file)
}

/// Waits until the name of the file is on disk as well.
fn settled(path: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(folder_of(path))?.sync_all() } else { Ok(()) }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Creates the folder for its owner only, if it is not there.
fn private_folder(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt;
        builder.mode(0o700);
    }
    builder.create(folder)
}

#[cfg(all(test, unix))]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::os::unix::fs::PermissionsExt;

    use orchestrator_core::clock::SystemClock;
    use orchestrator_core::memory::MemoryStore;

    use super::super::signing_keys;
    use super::*;

    fn settings(folder: &Path) -> SecretSettings {
        SecretSettings { kek_file: folder.join("keys/kek"), older_kek_files: Vec::new(), dir: None, vault: None }
    }

    fn environment() -> Environment {
        "dev".parse().unwrap()
    }

    #[tokio::test]
    async fn a_new_install_gets_a_key_that_only_its_owner_can_read() {
        let folder = tempfile::tempdir().unwrap();
        let (settings, store) = (settings(folder.path()), MemoryStore::new(SystemClock::shared()));
        let ring = open_ring(&settings, &store, &environment()).await.unwrap();
        assert_eq!(fs::metadata(&settings.kek_file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(open_ring(&settings, &store, &environment()).await.unwrap().current(), ring.current());
    }

    #[tokio::test]
    async fn a_key_file_that_is_gone_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let (settings, store) = (settings(folder.path()), MemoryStore::new(SystemClock::shared()));
        let ring = open_ring(&settings, &store, &environment()).await.unwrap();
        signing_keys(&store, &ring, &environment()).await.unwrap();
        fs::remove_file(&settings.kek_file).unwrap();
        let refused = open_ring(&settings, &store, &environment()).await;
        assert!(matches!(refused, Err(KeyFileError::Lost { .. })), "{refused:?}");
        assert!(!settings.kek_file.exists());
    }

    #[test]
    fn a_key_file_that_others_can_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(folder.path());
        make(&settings.kek_file, InstallKey::generate().unwrap().to_file_text().expose()).unwrap();
        for mode in [0o604, 0o640, 0o620, 0o666] {
            fs::set_permissions(&settings.kek_file, fs::Permissions::from_mode(mode)).unwrap();
            assert!(matches!(read_ring(&settings), Err(KeyFileError::Exposed { .. })), "{mode:o}");
        }
        fs::set_permissions(&settings.kek_file, fs::Permissions::from_mode(0o400)).unwrap();
        assert!(read_ring(&settings).is_ok());
    }

    #[test]
    fn a_key_is_drawn_before_those_that_are_there_and_the_file_stays_its_owner_s() {
        let folder = tempfile::tempdir().unwrap();
        let (settings, first) = (settings(folder.path()), InstallKey::generate().unwrap());
        make(&settings.kek_file, &format!("# ours\n\n  {}  ", first.to_file_text().expose())).unwrap();
        let files = KeyFiles(settings.clone());
        let (once, twice) = (files.renew().unwrap(), files.renew().unwrap());
        let ids = |ring: &KeyRing| ring.key_ids().collect::<Vec<_>>();
        assert_eq!((ids(&once).len(), ids(&once)[1]), (2, first.id()));
        assert_eq!(ids(&twice)[1..], ids(&once));
        assert_eq!(ids(&read_ring(&settings).unwrap()), ids(&twice));
        assert_eq!(fs::metadata(&settings.kek_file).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(fs::read_to_string(&settings.kek_file).unwrap().contains("# ours"));
        assert_eq!(fs::read_dir(folder.path().join("keys")).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn a_mounted_key_file_is_not_written() {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(folder.path());
        let real = folder.path().join("real");
        make(&real, InstallKey::generate().unwrap().to_file_text().expose()).unwrap();
        fs::create_dir(folder.path().join("keys")).unwrap();
        std::os::unix::fs::symlink(&real, &settings.kek_file).unwrap();
        let before = fs::read(&real).unwrap();
        let refused = KeyFiles(settings.clone()).renew().unwrap_err().to_string();
        assert!(refused.contains("is a link") && fs::read(&real).unwrap() == before, "{refused}");
        assert!(read_ring(&settings).is_ok());
    }

    #[test]
    fn a_key_file_without_a_key_is_told_without_its_content() {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(folder.path());
        make(&settings.kek_file, "c4n4ry").unwrap();
        let line = read_ring(&settings).unwrap_err().to_string();
        assert!(!line.contains("c4n4ry") && line.contains("keys/kek"), "{line}");
        for none in ["", "\n\n", "# nothing\n"] {
            fs::write(&settings.kek_file, none).unwrap();
            assert!(matches!(read_ring(&settings), Err(KeyFileError::Content { .. })), "{none:?}");
        }
    }
}
