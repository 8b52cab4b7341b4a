//! Secrets in files under `<secrets.dir>/<workspace>/`.
//!
//! One rule: a path is walked folder by folder and no link is followed, so that it cannot lead out of the workspace's
//! folder, however the folder changes meanwhile.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use orchestrator_types::WorkspaceId;
use rustix::fs::{Mode, OFlags, open, openat};
use zeroize::Zeroizing;

use super::{Secret, SecretError};

/// A longer file is no secret.
const FILE_MAX: u64 = 64 * 1024;
const PATH_MAX: usize = 255;

/// Reads secrets from files.
#[derive(Debug, Clone)]
pub struct FileSecrets {
    root: PathBuf,
}

impl FileSecrets {
    /// The files below `root`, which is `secrets.dir`. It may itself be a link: it is the operator's.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The content of the file without the newline at its end. An empty one counts as missing.
    ///
    /// Reads on a thread that may block. Dropping the future lets that reading end by itself.
    ///
    /// # Errors
    /// There is no such file; or it is no plain text file of at most 64 KiB, or cannot be read.
    pub async fn resolve(&self, workspace: &WorkspaceId, path: &str) -> Result<Secret, SecretError> {
        check_file(workspace, path).map_err(|_| SecretError::Missing)?;
        let (root, workspace, path) = (self.root.clone(), workspace.clone(), path.to_owned());
        tokio::task::spawn_blocking(move || read(&root, &workspace, &path))
            .await
            .map_err(|_| SecretError::Unreachable)?
    }
}

/// Whether the path can be that of a secret file of the workspace.
///
/// # Errors
/// A sentence that says what to change.
pub fn check_file(workspace: &WorkspaceId, path: &str) -> Result<(), String> {
    let plain = |part: &str| {
        !matches!(part, "" | "." | "..")
            && part.bytes().all(|byte| byte.is_ascii_graphic() && !b"\\:*?".contains(&byte))
    };
    if path.len() <= PATH_MAX && path.split('/').all(plain) {
        return Ok(());
    }
    Err(format!(
        "the path must be relative to the folder `{workspace}` in `secrets.dir`, without `.`, `..`, blanks or empty parts, \
         at most {PATH_MAX} characters"
    ))
}

fn read(root: &Path, workspace: &WorkspaceId, path: &str) -> Result<Secret, SecretError> {
    let file = descend(root, workspace, path).map_err(|failed| match failed.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => SecretError::Missing,
        _ => SecretError::Unreachable,
    })?;
    let mut bytes = content(file).map_err(|_| SecretError::Unreachable)?;
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
    }
    if bytes.is_empty() {
        return Err(SecretError::Missing);
    }
    // Copied, so that this buffer is wiped whole.
    std::str::from_utf8(&bytes).map(|text| Secret::new(text.to_owned())).map_err(|_| SecretError::Unreachable)
}

/// Opens the file without following a link on the way, that of `root` excepted.
fn descend(root: &Path, workspace: &WorkspaceId, path: &str) -> io::Result<File> {
    let folder = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    // Not blocking: opening a pipe that nobody writes to would wait for ever.
    let leaf = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let mut at: OwnedFd = open(root, folder, Mode::empty())?;
    at = openat(&at, workspace.as_str(), folder | OFlags::NOFOLLOW, Mode::empty())?;
    let (folders, name) = path.rsplit_once('/').map_or(("", path), |(folders, name)| (folders, name));
    for part in folders.split('/').filter(|part| !part.is_empty()) {
        at = openat(&at, part, folder | OFlags::NOFOLLOW, Mode::empty())?;
    }
    Ok(File::from(openat(&at, name, leaf, Mode::empty())?))
}

fn content(file: File) -> io::Result<Zeroizing<Vec<u8>>> {
    let about = file.metadata()?;
    if !about.is_file() || about.len() > FILE_MAX {
        return Err(io::ErrorKind::InvalidData.into());
    }
    // Room for all of it at once: a buffer that grew would leave the secret behind in freed memory.
    let mut bytes = Zeroizing::new(Vec::with_capacity(FILE_MAX as usize + 1));
    file.take(FILE_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_MAX {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use std::fs;
    use std::os::unix::fs::symlink;

    use tempfile::TempDir;

    use super::*;

    struct Folder {
        root: TempDir,
        workspace: WorkspaceId,
    }

    impl Folder {
        fn new() -> Self {
            let root = tempfile::tempdir().unwrap();
            fs::create_dir_all(root.path().join("buildos-dev/sub")).unwrap();
            fs::create_dir_all(root.path().join("beauty-dev")).unwrap();
            fs::write(root.path().join("beauty-dev/key"), "foreign").unwrap();
            fs::write(root.path().join("outside"), "outside").unwrap();
            Self { root, workspace: "buildos-dev".parse().unwrap() }
        }

        fn write(&self, path: &str, content: impl AsRef<[u8]>) -> &Self {
            fs::write(self.at(path), content).unwrap();
            self
        }

        fn at(&self, path: &str) -> PathBuf {
            self.root.path().join("buildos-dev").join(path)
        }

        async fn read(&self, path: &str) -> Result<String, SecretError> {
            let secrets = FileSecrets::new(self.root.path());
            secrets.resolve(&self.workspace, path).await.map(|secret| secret.expose().to_owned())
        }
    }

    #[tokio::test]
    async fn a_file_is_read_without_its_last_newline() {
        let folder = Folder::new();
        for (content, value) in [
            ("v", "v"),
            ("v\n", "v"),
            ("v\r\n", "v"),
            ("v\n\n", "v\n"),
            ("a\nb\n", "a\nb"),
            (" v ", " v "),
            ("\r\n\n", "\r\n"),
        ] {
            assert_eq!(folder.write("key", content).read("key").await.unwrap(), value);
        }
        assert_eq!(folder.write("sub/key", "deep").read("sub/key").await.unwrap(), "deep");
    }

    #[tokio::test]
    async fn t47_no_path_leads_out_of_the_workspace_s_folder() {
        let folder = Folder::new();
        let outside = folder.root.path().join("outside");
        for path in [
            "",
            ".",
            "..",
            "/",
            "../outside",
            "../beauty-dev/key",
            "sub/../../outside",
            "sub/..",
            "./key",
            "sub//key",
            "sub/",
            "/etc/passwd",
            "//etc/passwd",
            outside.to_str().unwrap(),
            "..\\outside",
            "sub\\..\\..\\outside",
            "C:outside",
            "key\0",
            "key\n",
            "k ey",
            "%2e%2e/outside\u{0}",
            "ключ",
            "．．/outside",
            &"a/".repeat(200),
            &"a".repeat(256),
        ] {
            assert!(check_file(&folder.workspace, path).is_err(), "{path:?}");
            assert_eq!(folder.read(path).await.unwrap_err(), SecretError::Missing, "{path:?}");
        }
    }

    #[tokio::test]
    async fn t47_no_link_is_followed_anywhere() {
        let folder = Folder::new();
        folder.write("real", "inside").write("sub/real", "inside");
        symlink("../outside", folder.at("out")).unwrap();
        symlink("/etc/passwd", folder.at("absolute")).unwrap();
        symlink("real", folder.at("inner")).unwrap();
        symlink("sub", folder.at("folder")).unwrap();
        symlink("../beauty-dev", folder.at("sub/neighbour")).unwrap();
        for path in ["out", "absolute", "inner", "folder/real", "sub/neighbour/key"] {
            assert!(check_file(&folder.workspace, path).is_ok());
            assert!(folder.read(path).await.is_err(), "{path}");
        }
        assert_eq!(folder.read("sub/real").await.unwrap(), "inside");

        let posing = FileSecrets::new(folder.root.path());
        symlink("beauty-dev", folder.root.path().join("linked-dev")).unwrap();
        assert!(posing.resolve(&"linked-dev".parse().unwrap(), "key").await.is_err());
        assert!(posing.resolve(&"beauty-dev".parse().unwrap(), "key").await.is_ok());
    }

    #[tokio::test]
    async fn t47_what_is_no_plain_file_is_not_read_and_nothing_waits_for_it() {
        let folder = Folder::new();
        let _socket = std::os::unix::net::UnixListener::bind(folder.at("socket")).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, folder.at("pipe"), rustix::fs::FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)
            .unwrap();
        for path in ["sub", "socket", "pipe"] {
            assert_eq!(folder.read(path).await.unwrap_err(), SecretError::Unreachable, "{path}");
        }
    }

    #[tokio::test]
    async fn a_secret_file_has_a_greatest_size_and_is_text() {
        let folder = Folder::new();
        assert_eq!(folder.write("key", "a".repeat(65_536)).read("key").await.unwrap().len(), 65_536);
        assert_eq!(folder.write("key", "a".repeat(65_537)).read("key").await.unwrap_err(), SecretError::Unreachable);
        assert_eq!(folder.write("key", [0xff, 0xfe]).read("key").await.unwrap_err(), SecretError::Unreachable);
        assert_eq!(folder.write("key", "").read("key").await.unwrap_err(), SecretError::Missing);
        assert_eq!(folder.write("key", "\n").read("key").await.unwrap_err(), SecretError::Missing);
    }

    #[tokio::test]
    async fn a_file_or_folder_that_is_not_there_is_missing() {
        let folder = Folder::new();
        folder.write("key", "v");
        for path in ["none", "none/key", "key/below"] {
            assert_eq!(folder.read(path).await.unwrap_err(), SecretError::Missing, "{path}");
        }
        let secrets = FileSecrets::new(folder.root.path());
        assert_eq!(secrets.resolve(&"other-dev".parse().unwrap(), "key").await.unwrap_err(), SecretError::Missing);
    }
}
