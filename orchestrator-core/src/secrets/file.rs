//! Secrets in files under `<secrets.dir>/<workspace>/`, or named `<workspace>_<path>` where the folder is flat, as that of
//! systemd's credentials is.
//!
//! One rule: no path and no link leads out of the workspace's folder, however the folder changes meanwhile. Links inside
//! it are followed (a mounted Kubernetes secret is made of them) by the kernel's own rule: beneath the folder or not at all.
//! Where the kernel has no such rule, none is followed.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use orchestrator_types::WorkspaceId;
use rustix::fs::{Mode, OFlags, open, openat, readlinkat};
#[cfg(target_os = "linux")]
use rustix::fs::{ResolveFlags, openat2};
use rustix::io::Errno;
use zeroize::Zeroizing;

use super::{Secret, SecretError};

/// A longer file is no secret.
const FILE_MAX: u64 = 64 * 1024;
const PATH_MAX: usize = 255;
const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
/// Not blocking: opening a pipe that nobody writes to would wait for ever.
const LEAF: OFlags = OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);

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

    /// The content of the file without the one newline at its end, if there is one. An empty one counts as missing.
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

/// Opens the file: in the workspace's folder, or beside it where there is no such folder.
fn descend(root: &Path, workspace: &WorkspaceId, path: &str) -> io::Result<File> {
    let root = open(root, FOLDER, Mode::empty())?;
    match folder(&root, workspace) {
        Ok(folder) => beneath(&folder, path, LEAF).map(File::from),
        // No workspace's name has `_` in it: the first one ends it.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            beneath(&root, &format!("{workspace}_{}", path.replace('/', "_")), LEAF).map(File::from)
        }
        Err(error) => Err(error),
    }
}

/// The workspace's folder. It may be a link to one of the same name, as a mounted Kubernetes secret makes it; one to
/// another name would be another workspace's.
fn folder(root: &OwnedFd, workspace: &WorkspaceId) -> io::Result<OwnedFd> {
    match readlinkat(root, workspace.as_str(), Vec::new()) {
        Ok(target) => {
            let same = Path::new(target.to_str().unwrap_or_default()).file_name() == Some(workspace.as_str().as_ref());
            if same { beneath(root, workspace.as_str(), FOLDER) } else { Err(io::ErrorKind::PermissionDenied.into()) }
        }
        // It is no link.
        Err(Errno::INVAL) => Ok(openat(root, workspace.as_str(), FOLDER | OFlags::NOFOLLOW, Mode::empty())?),
        Err(error) => Err(error.into()),
    }
}

/// Opens what lies beneath a folder, following links that stay there.
#[cfg(target_os = "linux")]
fn beneath(folder: &OwnedFd, path: &str, flags: OFlags) -> io::Result<OwnedFd> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    // The kernel asks for another try when something was renamed while it looked.
    for _ in 0..8 {
        match openat2(folder, path, flags, Mode::empty(), resolve) {
            Ok(file) => return Ok(file),
            Err(Errno::AGAIN) => {}
            // A kernel before 5.6, or a filter that does not know the call.
            Err(Errno::NOSYS | Errno::PERM) => return without_links(folder, path, flags),
            Err(error) => return Err(error.into()),
        }
    }
    Err(Errno::AGAIN.into())
}

/// Opens what lies beneath a folder.
#[cfg(not(target_os = "linux"))]
fn beneath(folder: &OwnedFd, path: &str, flags: OFlags) -> io::Result<OwnedFd> {
    without_links(folder, path, flags)
}

/// Opens what lies beneath a folder without following a link on the way.
fn without_links(folder: &OwnedFd, path: &str, flags: OFlags) -> io::Result<OwnedFd> {
    let (folders, name) = path.rsplit_once('/').map_or(("", path), |(folders, name)| (folders, name));
    let mut at = folder.try_clone()?;
    for part in folders.split('/').filter(|part| !part.is_empty()) {
        at = openat(&at, part, FOLDER | OFlags::NOFOLLOW, Mode::empty())?;
    }
    Ok(openat(&at, name, flags | OFlags::NOFOLLOW, Mode::empty())?)
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
    async fn t47_no_link_leads_out_of_the_workspace_s_folder() {
        let folder = Folder::new();
        folder.write("real", "inside").write("sub/real", "deep");
        let outside = folder.root.path().join("outside");
        for (link, target) in [
            ("out", "../outside"),
            ("absolute", "/etc/passwd"),
            ("own", outside.to_str().unwrap()),
            ("sub/neighbour", "../../beauty-dev"),
            ("sub/round", "../../buildos-dev/real"),
            ("loop", "loop"),
            ("process", "/proc/self/environ"),
        ] {
            symlink(target, folder.at(link)).unwrap();
        }
        for path in ["out", "absolute", "own", "sub/neighbour/key", "sub/round", "loop", "process"] {
            assert!(check_file(&folder.workspace, path).is_ok());
            assert_eq!(folder.read(path).await.unwrap_err(), SecretError::Unreachable, "{path}");
        }
        let posing = FileSecrets::new(folder.root.path());
        symlink("beauty-dev", folder.root.path().join("linked-dev")).unwrap();
        assert!(posing.resolve(&"linked-dev".parse().unwrap(), "key").await.is_err());
        assert!(posing.resolve(&"beauty-dev".parse().unwrap(), "key").await.is_ok());
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn links_inside_the_workspace_s_folder_are_followed() {
        let folder = Folder::new();
        folder.write("real", "inside").write("sub/real", "deep");
        for (link, target) in [("inner", "real"), ("folder", "sub"), ("sub/up", "../real")] {
            symlink(target, folder.at(link)).unwrap();
        }
        for (path, value) in [("inner", "inside"), ("folder/real", "deep"), ("sub/up", "inside")] {
            assert_eq!(folder.read(path).await.unwrap(), value);
        }
    }

    /// A mounted secret as the kubelet makes it: the data in a folder by date, a link to that, links to the files in it.
    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_mounted_kubernetes_secret_is_read_and_so_is_the_next_version_of_it() {
        let folder = Folder::new();
        let swap = |version: &str, value: &str| {
            fs::create_dir(folder.at(version)).unwrap();
            folder.write(&format!("{version}/stripe"), value);
            symlink(version, folder.at("..new")).unwrap();
            fs::rename(folder.at("..new"), folder.at("..data")).unwrap();
        };
        swap("..2026_11_27_10_00_00.1", "one");
        symlink("..data/stripe", folder.at("stripe")).unwrap();
        assert_eq!(folder.read("stripe").await.unwrap(), "one");
        swap("..2026_11_27_11_00_00.2", "two\n");
        assert_eq!(folder.read("stripe").await.unwrap(), "two");

        // One mount for all workspaces, its items with a folder in their paths.
        let mount = tempfile::tempdir().unwrap();
        fs::create_dir_all(mount.path().join("..2026/shop-dev")).unwrap();
        fs::write(mount.path().join("..2026/shop-dev/key"), "mounted").unwrap();
        symlink("..2026", mount.path().join("..data")).unwrap();
        symlink("..data/shop-dev", mount.path().join("shop-dev")).unwrap();
        let secrets = FileSecrets::new(mount.path());
        assert_eq!(secrets.resolve(&"shop-dev".parse().unwrap(), "key").await.unwrap().expose(), "mounted");
    }

    #[tokio::test]
    async fn in_a_flat_folder_the_file_s_name_begins_with_the_workspace_s() {
        let root = tempfile::tempdir().unwrap();
        for (file, value) in
            [("shop-dev_stripe", "a"), ("shop-dev_mail_key", "b"), ("kek", "c"), ("shop-dev-b-dev_x", "d")]
        {
            fs::write(root.path().join(file), value).unwrap();
        }
        let secrets = FileSecrets::new(root.path());
        let read = async |workspace: &str, path: &str| {
            let read = secrets.resolve(&workspace.parse().unwrap(), path).await;
            read.map(|secret| secret.expose().to_owned())
        };
        assert_eq!(read("shop-dev", "stripe").await.unwrap(), "a");
        assert_eq!(read("shop-dev", "mail/key").await.unwrap(), "b");
        assert_eq!(read("shop-dev-b-dev", "x").await.unwrap(), "d");
        for (workspace, path) in [("shop-dev", "x"), ("shop-dev", "kek"), ("b-dev", "x"), ("shop-dev", "mail")] {
            assert_eq!(read(workspace, path).await.unwrap_err(), SecretError::Missing, "{workspace} {path}");
        }
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
