//! The key file.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use orchestrator_core::secrets::read_install_secret;
use orchestrator_core::secrets::seal::{InstallKey, KeyError, KeyRing, SealError};
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
    #[error("the key file {} is gone, and the store holds what it sealed: bring it back", path.display())]
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
    let current = read(&settings.kek_file)?;
    let older: Result<Vec<InstallKey>, KeyFileError> = settings.older_kek_files.iter().map(|path| read(path)).collect();
    Ok(KeyRing::new(current, older?))
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
            return Err(KeyFileError::Lost { path: path.clone() });
        }
        make(path, text.expose()).map_err(|source| KeyFileError::Io { path: path.clone(), source })?;
        tracing::info!(file = %path.display(), "a new key file was made: keep a copy apart from the store's");
    }
    read_ring(settings)
}

fn read(path: &Path) -> Result<InstallKey, KeyFileError> {
    let io = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => KeyFileError::Missing { path: path.to_owned() },
        _ => KeyFileError::Io { path: path.to_owned(), source },
    };
    if !is_private(path).map_err(io)? {
        return Err(KeyFileError::Exposed { path: path.to_owned() });
    }
    let text = Zeroizing::new(fs::read_to_string(path).map_err(io)?);
    InstallKey::parse(&text).map_err(|source| KeyFileError::Content { path: path.to_owned(), source })
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
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    private_folder(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    writeln!(file, "{text}")?;
    file.as_file().sync_all()?;
    match file.persist_noclobber(path) {
        Ok(_) => {}
        Err(taken) if taken.error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(other) => return Err(other.error),
    }
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
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
        SecretSettings { kek_file: folder.join("keys/kek"), older_kek_files: Vec::new(), dir: None }
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
    fn a_key_file_without_a_key_is_told_without_its_content() {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(folder.path());
        make(&settings.kek_file, "c4n4ry").unwrap();
        let line = read_ring(&settings).unwrap_err().to_string();
        assert!(!line.contains("c4n4ry") && line.contains("keys/kek"), "{line}");
    }
}
