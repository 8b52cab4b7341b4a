//! Secrets in HashiCorp Vault or OpenBao: which path is whose, and which versions are accepted.
//!
//! One rule: a workspace reads only what lies under its own prefix, and no path is under the prefixes of two.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use orchestrator_types::{Timestamp, WorkspaceId};

use super::stored::OVERLAP;
use super::{Secret, SecretError};
use crate::clock::Clock;

const PATH_MAX: usize = 512;
const FIELD_MAX: usize = 255;
const WORKSPACE: &str = "{workspace}";
const PRODUCT: &str = "{product}";

/// Where the secrets of each workspace lie: a path with `{workspace}` (`buildos-dev`) or `{product}` (`buildos`) as one of
/// its parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VaultPrefix(String);

/// A path that a workspace may read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VaultPath(String);

/// A version of a secret as a vault has it.
#[derive(Debug, Clone)]
pub struct VaultValue {
    /// The text of the field.
    pub secret: Secret,
    /// Its number.
    pub version: u64,
    /// When it was written, if the vault says so.
    pub created_at: Option<Timestamp>,
}

/// The way to a vault.
#[async_trait]
pub trait VaultReader: Send + Sync + 'static {
    /// Reads a field of the newest version, or of this one. The path is the workspace's.
    ///
    /// Dropping the future changes nothing.
    ///
    /// # Errors
    /// There is no such path, version or field; or the vault does not answer, does not let us read it, or the field holds
    /// no text.
    async fn read(
        &self,
        workspace: &WorkspaceId,
        path: &VaultPath,
        field: &str,
        version: Option<u64>,
    ) -> Result<VaultValue, SecretError>;
}

impl VaultPrefix {
    /// Parses a prefix, as `kv/data/{product}`.
    ///
    /// # Errors
    /// A sentence that says what to change.
    pub fn parse(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split('/').collect();
        let named = parts.iter().filter(|part| matches!(**part, WORKSPACE | PRODUCT)).count();
        let plain = parts.iter().all(|part| matches!(*part, WORKSPACE | PRODUCT) || is_plain(part));
        let data = parts.iter().position(|part| *part == "data");
        let first = parts.iter().position(|part| matches!(*part, WORKSPACE | PRODUCT));
        match (data, first) {
            (Some(data), Some(first)) if named == 1 && plain && 0 < data && data < first => Ok(Self(text.to_owned())),
            _ => Err(format!(
                "`<mount>/data/{PRODUCT}` or the like is expected: a mount, `data`, and then {WORKSPACE} or {PRODUCT} as a part"
            )),
        }
    }

    /// The path of a reference, if the workspace may read it.
    ///
    /// # Errors
    /// A sentence that says what to change.
    pub fn path(&self, workspace: &WorkspaceId, path: &str) -> Result<VaultPath, String> {
        let prefix = self.of(workspace);
        let below = path == prefix || path.strip_prefix(&prefix).is_some_and(|rest| rest.starts_with('/'));
        if below && path.len() <= PATH_MAX && path.split('/').all(is_plain) {
            return Ok(VaultPath(path.to_owned()));
        }
        Err(format!(
            "the path must be `{prefix}` or lie below it, of letters, digits, `-`, `_`, `.` and `/`, at most {PATH_MAX} characters"
        ))
    }

    fn of(&self, workspace: &WorkspaceId) -> String {
        self.0.replace(WORKSPACE, workspace.as_str()).replace(PRODUCT, workspace.product())
    }
}

impl VaultPath {
    /// As the API has it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_plain(part: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    !matches!(part, "" | "." | "..") && part.bytes().all(plain)
}

/// A vault, and which paths in it are whose.
pub(crate) struct VaultSecrets {
    pub(crate) prefix: VaultPrefix,
    pub(crate) reader: Arc<dyn VaultReader>,
}

impl VaultSecrets {
    /// What is wrong with a reference, in a sentence.
    pub(super) fn check(&self, workspace: &WorkspaceId, path: &str, field: &str) -> Result<(), String> {
        self.prefix.path(workspace, path)?;
        if field.is_empty() || field.len() > FIELD_MAX || field.chars().any(char::is_control) {
            return Err(format!("the field has 1 to {FIELD_MAX} characters"));
        }
        Ok(())
    }

    /// The newest version; for a day after it was written, the one before as well, unless that was deleted.
    pub(super) async fn resolve(
        &self,
        workspace: &WorkspaceId,
        (path, field, version): (&str, &str, Option<u64>),
        clock: &dyn Clock,
    ) -> Result<Vec<Secret>, SecretError> {
        self.check(workspace, path, field).map_err(|_| SecretError::Missing)?;
        let path = self.prefix.path(workspace, path).map_err(|_| SecretError::Missing)?;
        let newest = self.reader.read(workspace, &path, field, version).await?;
        let mut secrets = vec![newest.secret];
        if version.is_none() && newest.version > 1 && is_young(newest.created_at, clock.now(), OVERLAP) {
            match self.reader.read(workspace, &path, field, Some(newest.version - 1)).await {
                Ok(before) => secrets.push(before.secret),
                Err(SecretError::Missing) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(secrets)
    }
}

fn is_young(created_at: Option<Timestamp>, now: Timestamp, overlap: Duration) -> bool {
    created_at.is_some_and(|created_at| created_at.after(overlap) > now)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

    use std::collections::BTreeMap;
    use std::sync::Mutex;

    use proptest::prelude::*;

    use super::*;

    const NOW: i64 = 1_800_000_000_000;

    struct Noon;

    impl Clock for Noon {
        fn now(&self) -> Timestamp {
            Timestamp::from_unix_ms(NOW)
        }
    }

    /// A text, and how long ago it was written.
    type Version = (Result<&'static str, SecretError>, Duration);

    /// Versions by number.
    #[derive(Default)]
    struct Kv(Mutex<BTreeMap<u64, Version>>);

    #[async_trait]
    impl VaultReader for Kv {
        async fn read(
            &self,
            _: &WorkspaceId,
            _: &VaultPath,
            _: &str,
            version: Option<u64>,
        ) -> Result<VaultValue, SecretError> {
            let kv = self.0.lock().unwrap();
            let number = version.or(kv.keys().next_back().copied()).ok_or(SecretError::Missing)?;
            let (text, age) = kv.get(&number).ok_or(SecretError::Missing)?;
            let secret = Secret::new((*text)?.to_owned());
            let created_at = Some(Timestamp::from_unix_ms(NOW).before(*age));
            Ok(VaultValue { secret, version: number, created_at })
        }
    }

    fn workspace(name: &str) -> WorkspaceId {
        name.parse().unwrap()
    }

    fn prefix(text: &str) -> VaultPrefix {
        VaultPrefix::parse(text).unwrap()
    }

    #[test]
    fn t47_no_path_leads_out_of_the_workspace_s_prefix() {
        let prefix = prefix("kv/data/{product}");
        let here = workspace("buildos-dev");
        for path in ["kv/data/buildos", "kv/data/buildos/stripe", "kv/data/buildos/a/b.c_d-e"] {
            assert_eq!(prefix.path(&here, path).unwrap().as_str(), path);
        }
        for path in [
            "",
            "/",
            "kv/data",
            "kv/data/",
            "kv/data/buildo",
            "kv/data/buildosx",
            "kv/data/buildos-dev",
            "kv/data/buildos/",
            "/kv/data/buildos",
            "kv//data/buildos",
            "kv/data/buildos/../beauty",
            "kv/data/buildos/./a",
            "kv/data/buildos/..",
            "kv/data/buildos/%2e%2e/beauty",
            "kv/data/buildos?version=1",
            "kv/data/buildos#",
            "kv/data/buildos/a b",
            "kv/data/buildos/a\n",
            "kv/data/buildos\\..\\beauty",
            "kv/metadata/buildos",
            "kv/destroy/buildos",
            "kv/data/beauty",
            "KV/data/buildos",
            "sys/mounts",
            "auth/token/lookup-self",
            "https://kv/data/buildos",
            &format!("kv/data/buildos/{}", "a".repeat(PATH_MAX)),
        ] {
            let refused = prefix.path(&here, path).unwrap_err();
            assert!(refused.contains("`kv/data/buildos`"), "{path:?}: {refused}");
        }
    }

    #[test]
    fn a_prefix_names_the_workspace_in_one_part_of_its_own_after_the_data() {
        for text in
            ["kv/data/{product}", "kv/data/{workspace}", "a/b/data/orchestrator/{workspace}", "kv/data/{product}/x"]
        {
            assert!(VaultPrefix::parse(text).is_ok(), "{text}");
        }
        for text in [
            "",
            "kv/data",
            "kv/{product}",
            "data/{product}",
            "{product}/data",
            "{product}/data/x",
            "kv/data/x{product}",
            "kv/data/{product}/{workspace}",
            "kv/data/{product}/{product}",
            "kv/data/{tenant}",
            "kv/data//{product}",
            "/kv/data/{product}",
            "kv/data/{product}/",
            "kv/data/../{product}",
            "kv/data/a b/{product}",
        ] {
            assert!(VaultPrefix::parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn t47_no_path_belongs_to_two_workspaces(
            one in "[a-c]{1,2}(-dev){0,2}(-[a-c]){0,1}",
            other in "[a-c]{1,2}(-dev){0,2}(-[a-c]){0,1}",
            below in prop::sample::select(vec!["", "/a", "/a/b"]),
            template in prop::sample::select(vec!["kv/data/{product}", "kv/data/{workspace}", "kv/data/x/{product}/y"]),
        ) {
            let (one, other) = (workspace(&format!("{one}-dev")), workspace(&format!("{other}-dev")));
            let prefix = prefix(template);
            let path = prefix.of(&one) + below;
            prop_assert!(prefix.path(&one, &path).is_ok());
            prop_assert_eq!(one == other, prefix.path(&other, &path).is_ok());
        }
    }

    #[tokio::test]
    async fn the_version_before_is_accepted_for_a_day_after_a_new_one_unless_it_was_deleted() {
        let kv = Arc::new(Kv::default());
        let secrets = VaultSecrets { prefix: prefix("kv/data/{product}"), reader: kv.clone() };
        let here = workspace("buildos-dev");
        let read = async |version| {
            let found = secrets.resolve(&here, ("kv/data/buildos", "key", version), &Noon).await;
            found.map(|found| found.iter().map(|secret| secret.expose().to_owned()).collect::<Vec<_>>())
        };
        let hour = Duration::from_secs(3_600);
        let put = |number, text, age: u32| kv.0.lock().unwrap().insert(number, (text, hour * age));
        assert_eq!(read(None).await.unwrap_err(), SecretError::Missing);
        put(1, Ok("one"), 500);
        assert_eq!(read(None).await.unwrap(), ["one"]);
        put(2, Ok("two"), 23);
        assert_eq!(read(None).await.unwrap(), ["two", "one"]);
        assert_eq!(read(Some(1)).await.unwrap(), ["one"], "a version that is named is the only one");
        put(1, Err(SecretError::Missing), 500);
        assert_eq!(read(None).await.unwrap(), ["two"], "who deletes the old version ends its overlap");
        put(1, Err(SecretError::Unreachable), 500);
        assert_eq!(read(None).await.unwrap_err(), SecretError::Unreachable);
        put(2, Ok("two"), 24);
        assert_eq!(read(None).await.unwrap(), ["two"]);
    }

    #[tokio::test]
    async fn t47_what_is_not_the_workspace_s_is_not_even_asked_for() {
        let kv = Arc::new(Kv::default());
        kv.0.lock().unwrap().insert(1, (Ok("foreign"), Duration::ZERO));
        let secrets = VaultSecrets { prefix: prefix("kv/data/{product}"), reader: kv };
        let read = secrets.resolve(&workspace("beauty-dev"), ("kv/data/buildos", "key", None), &Noon).await;
        assert_eq!(read.unwrap_err(), SecretError::Missing);
    }
}
