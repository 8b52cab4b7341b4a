//! Secrets in environment variables of the server.
//!
//! One rule: a workspace reads only the variables whose name begins with its own, and no name belongs to two workspaces.

use std::fmt;
use std::sync::Arc;

use orchestrator_types::WorkspaceId;

use super::{Secret, SecretError};

const KEY_MAX: usize = 255;

type Lookup = dyn Fn(&str) -> Option<String> + Send + Sync;

/// Reads secrets from environment variables.
#[derive(Clone)]
pub struct EnvSecrets(Arc<Lookup>);

impl EnvSecrets {
    /// The variables of this process. One that is no text counts as missing.
    #[must_use]
    pub fn of_process() -> Self {
        Self::with_lookup(|key| std::env::var(key).ok())
    }

    /// The variables that `lookup` knows: for embedding programs that keep their own.
    #[must_use]
    pub fn with_lookup(lookup: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Self {
        Self(Arc::new(lookup))
    }

    /// The value of the variable. An empty one counts as missing. Dropping the future changes nothing.
    ///
    /// # Errors
    /// The variable is not set, or is not the workspace's to read.
    // Resolvers are alike to those who call them, whether they wait or not.
    pub async fn resolve(&self, workspace: &WorkspaceId, key: &str) -> Result<Secret, SecretError> {
        check_env(workspace, key).map_err(|_| SecretError::Missing)?;
        (self.0)(key).filter(|value| !value.is_empty()).map(Secret::new).ok_or(SecretError::Missing)
    }
}

impl Default for EnvSecrets {
    fn default() -> Self {
        Self::of_process()
    }
}

impl fmt::Debug for EnvSecrets {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("EnvSecrets")
    }
}

/// What the names of the workspace's variables begin with: `BUILDOS_DEV_` for `buildos-dev`.
#[must_use]
pub fn env_prefix(workspace: &WorkspaceId) -> String {
    let mut prefix = workspace.as_str().to_ascii_uppercase().replace('-', "_");
    prefix.push('_');
    prefix
}

/// Whether the workspace may read the variable.
///
/// # Errors
/// A sentence that says what to change.
pub fn check_env(workspace: &WorkspaceId, key: &str) -> Result<(), String> {
    let prefix = env_prefix(workspace);
    let plain = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    let rest = match key.strip_prefix(&prefix) {
        Some(rest) if !rest.is_empty() && key.len() <= KEY_MAX && rest.bytes().all(plain) => rest,
        _ => {
            return Err(format!(
                "the variable's name must begin with `{prefix}` and go on in capitals, digits and `_`, at most {KEY_MAX} characters"
            ));
        }
    };
    // `A_DEV_B_DEV_KEY` begins with the prefix of `a-dev` and with that of `a-dev-b-dev`: it is the latter's.
    let environment = format!("_{}_", workspace.environment().to_ascii_uppercase());
    if format!("_{rest}").contains(&environment) {
        return Err(format!(
            "after `{prefix}` the variable's name must not hold `{environment}` again: it would be another workspace's"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use super::*;

    fn workspace(name: &str) -> WorkspaceId {
        name.parse().unwrap()
    }

    fn all_set() -> EnvSecrets {
        EnvSecrets::with_lookup(|key| {
            if key.ends_with("EMPTY") { Some(String::new()) } else { Some(format!("value of {key}")) }
        })
    }

    #[tokio::test]
    async fn a_workspace_reads_its_own_variable() {
        let secret = all_set().resolve(&workspace("buildos-dev"), "BUILDOS_DEV_BILLING_TOKEN").await.unwrap();
        assert_eq!(secret.expose(), "value of BUILDOS_DEV_BILLING_TOKEN");
        assert!(check_env(&workspace("bright-shop-dev"), "BRIGHT_SHOP_DEV_A").is_ok());
    }

    #[tokio::test]
    async fn t47_no_workspace_reads_a_variable_that_is_not_its_own() {
        for key in [
            "",
            "BUILDOS_DEV_",
            "BUILDOS_DEV",
            "PATH",
            "DATABASE_URL",
            "ORCHESTRATOR_TOKEN",
            "BEAUTY_DEV_KEY",
            "BUILDOS_PROD_KEY",
            "buildos_dev_key",
            "BUILDOS_DEV_key",
            "BUILDOS-DEV-KEY",
            " BUILDOS_DEV_KEY",
            "BUILDOS_DEV_KEY ",
            "BUILDOS_DEV_K=Y",
            "BUILDOS_DEV_K\0Y",
            "BUILDOS_DEV_K\nY",
            "BUILDOS_DEV_É",
            "BUILDOS_DEV_../KEY",
            "BUILDOS_DEV_X_DEV_KEY",
            "BUILDOS_DEV_DEV_KEY",
            "XBUILDOS_DEV_KEY",
            &format!("BUILDOS_DEV_{}", "A".repeat(KEY_MAX)),
        ] {
            assert!(check_env(&workspace("buildos-dev"), key).is_err(), "{key:?}");
            let resolved = all_set().resolve(&workspace("buildos-dev"), key).await;
            assert_eq!(resolved.unwrap_err(), SecretError::Missing, "{key:?}");
        }
    }

    #[test]
    fn t47_no_variable_belongs_to_two_workspaces() {
        let names =
            ["a-dev", "a-dev-dev", "a-dev-b-dev", "a-b-dev", "b-dev", "a-dev-dev-dev", "dev-dev", "a-b-dev-dev"];
        let mut keys: Vec<String> = names.iter().map(|name| env_prefix(&workspace(name)) + "KEY").collect();
        keys.extend(names.iter().map(|name| env_prefix(&workspace(name)) + "DEV"));
        for key in keys {
            let owners = names.iter().filter(|name| check_env(&workspace(name), &key).is_ok()).count();
            assert_eq!(owners, 1, "{key}");
        }
    }

    #[test]
    fn a_refusal_says_what_to_change() {
        let said = check_env(&workspace("buildos-dev"), "STRIPE_KEY").unwrap_err();
        assert!(said.contains("`BUILDOS_DEV_`") && !said.contains("STRIPE_KEY"), "{said}");
    }

    #[tokio::test]
    async fn a_variable_that_is_unset_or_empty_is_missing() {
        let none = EnvSecrets::with_lookup(|_| None);
        let (here, key) = (workspace("buildos-dev"), "BUILDOS_DEV_KEY");
        assert_eq!(none.resolve(&here, key).await.unwrap_err(), SecretError::Missing);
        assert_eq!(all_set().resolve(&here, "BUILDOS_DEV_EMPTY").await.unwrap_err(), SecretError::Missing);
    }
}
