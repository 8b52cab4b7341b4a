//! The settings of the vault.

use std::path::{Path, PathBuf};

use ipnet::IpNet;
use orchestrator_connectors::{VaultAuth, VaultOptions};
use orchestrator_core::secrets::VaultPrefix;
use url::Url;

use super::check::{Checked, path};
use super::sources::Layered;

const PREFIX: &str = "kv/data/{product}";
const MOUNT: &str = "approle";
const LONGEST: usize = 255;

/// The vault that secrets are read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VaultSettings {
    /// Where it is, and how to log in.
    pub options: VaultOptions,
    /// Where in it the secrets of each workspace lie.
    pub prefix: VaultPrefix,
    /// The file of the CA certificates that it is trusted by; the system's if absent.
    pub ca_file: Option<PathBuf>,
    /// Addresses that it may have though they are private, besides those that all calls may reach.
    pub allow: Vec<IpNet>,
}

pub(super) fn vault(layered: &Layered) -> Checked<Option<VaultSettings>> {
    let given = &layered.document.secrets;
    let Some(url) = given.vault_url.as_deref() else {
        let others = [
            ("vault_namespace", given.vault_namespace.is_some()),
            ("vault_prefix", given.vault_prefix.is_some()),
            ("vault_token_file", given.vault_token_file.is_some()),
            ("vault_role_id", given.vault_role_id.is_some()),
            ("vault_secret_id_file", given.vault_secret_id_file.is_some()),
            ("vault_approle_mount", given.vault_approle_mount.is_some()),
            ("vault_ca_file", given.vault_ca_file.is_some()),
            ("vault_allow", !given.vault_allow.0.is_empty()),
        ];
        return match others.into_iter().find(|(_, given)| *given) {
            Some((name, _)) => {
                Err(layered.unusable(format!("secrets.{name}"), "it says nothing without `secrets.vault_url`"))
            }
            None => Ok(None),
        };
    };
    let namespace = plain(layered, "secrets.vault_namespace", given.vault_namespace.as_deref())?;
    let prefix = VaultPrefix::parse(given.vault_prefix.as_deref().unwrap_or(PREFIX))
        .map_err(|problem| layered.unusable("secrets.vault_prefix", problem))?;
    let ca_file = file(layered, "secrets.vault_ca_file", given.vault_ca_file.as_deref())?;
    let wrong = || layered.unusable("secrets.vault_allow", "address ranges are expected, as 10.0.0.0/8 or fd00::/8");
    let allow = given.vault_allow.0.iter().map(|range| range.parse().map_err(|_| wrong())).collect::<Checked<_>>()?;
    let options = VaultOptions { url: address(layered, url)?, namespace, auth: auth(layered)? };
    Ok(Some(VaultSettings { options, prefix, ca_file, allow }))
}

fn address(layered: &Layered, text: &str) -> Checked<Url> {
    let wrong = |problem: &str| layered.unusable("secrets.vault_url", problem);
    let url = Url::parse(text).map_err(|_| wrong("an address is expected, as https://vault.example:8200"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(wrong("an http or https address is expected, as https://vault.example:8200"));
    }
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("an address without user, password, query or fragment is expected"));
    }
    Ok(url)
}

fn auth(layered: &Layered) -> Checked<VaultAuth> {
    let given = &layered.document.secrets;
    let token = file(layered, "secrets.vault_token_file", given.vault_token_file.as_deref())?;
    let secret_id_file = file(layered, "secrets.vault_secret_id_file", given.vault_secret_id_file.as_deref())?;
    let role_id = plain(layered, "secrets.vault_role_id", given.vault_role_id.as_deref())?;
    let mount = plain(layered, "secrets.vault_approle_mount", given.vault_approle_mount.as_deref())?;
    match (token, role_id) {
        (Some(_), Some(_)) => {
            Err(layered.unusable("secrets.vault_role_id", "there is a `secrets.vault_token_file`: leave one of them out"))
        }
        (Some(_), None) if secret_id_file.is_some() || mount.is_some() => {
            let setting =
                if mount.is_some() { "secrets.vault_approle_mount" } else { "secrets.vault_secret_id_file" };
            Err(layered.unusable(setting, "it says nothing without `secrets.vault_role_id`"))
        }
        (Some(path), None) => Ok(VaultAuth::TokenFile(path)),
        (None, Some(role_id)) => {
            Ok(VaultAuth::AppRole { mount: mount.unwrap_or_else(|| MOUNT.to_owned()), role_id, secret_id_file })
        }
        (None, None) => Err(layered.unusable(
            "secrets.vault_url",
            "how to log in is missing: set `secrets.vault_token_file`, or `secrets.vault_role_id` and `secrets.vault_secret_id_file`",
        )),
    }
}

/// A file that is there.
fn file(layered: &Layered, setting: &str, text: Option<&str>) -> Checked<Option<PathBuf>> {
    let path = path(layered, setting, text)?;
    if path.as_deref().is_some_and(|path| !Path::is_file(path)) {
        return Err(layered.unusable(setting, "there is no such file"));
    }
    Ok(path)
}

/// A text that goes into a header or a path.
fn plain(layered: &Layered, setting: &str, text: Option<&str>) -> Checked<Option<String>> {
    let is_plain = |text: &str| {
        let part = |part: &str| {
            !matches!(part, "" | "." | "..")
                && part.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#%".contains(&byte))
        };
        text.len() <= LONGEST && text.split('/').all(part)
    };
    match text {
        Some(text) if !is_plain(text.trim_end_matches('/')) => {
            Err(layered.unusable(setting, "visible characters are expected, without `?`, `#`, `%` and empty parts"))
        }
        other => Ok(other.map(|text| text.trim_end_matches('/').to_owned())),
    }
}
