//! Logging in: a token from a file, or AppRole.

use std::fs;
use std::io::Read as _;
use std::path::PathBuf;

use orchestrator_core::secrets::Secret;

use super::VaultAuth;
use super::api::{Api, VaultError};

/// A longer file holds no token and no secret id.
const LONGEST: u64 = 16 * 1024;

/// A token, and how long it lives.
pub(super) struct Login {
    pub(super) token: Secret,
    /// In seconds; 0 is without end.
    pub(super) ttl: u64,
    pub(super) renewable: bool,
}

/// Logs in. The credential is read anew each time: whoever keeps the file may have changed it.
pub(super) async fn login(api: &Api, auth: &VaultAuth) -> Result<Login, VaultError> {
    match auth {
        VaultAuth::TokenFile(path) => {
            let token = credential(path.clone()).await?;
            let facts = api.lookup(&token).await?;
            Ok(Login { token, ttl: facts.ttl, renewable: facts.renewable })
        }
        VaultAuth::AppRole { mount, role_id, secret_id_file } => {
            let secret = match secret_id_file {
                Some(path) => Some(credential(path.clone()).await?),
                None => None,
            };
            let grant = api.login(mount, role_id, secret.as_ref()).await?;
            Ok(Login { token: Secret::new(grant.client_token), ttl: grant.lease_duration, renewable: grant.renewable })
        }
    }
}

/// The text of a file without blanks around it.
async fn credential(path: PathBuf) -> Result<Secret, VaultError> {
    let read = move || -> std::io::Result<String> {
        let mut text = String::with_capacity(1024);
        fs::File::open(path)?.take(LONGEST).read_to_string(&mut text)?;
        Ok(text)
    };
    match tokio::task::spawn_blocking(read).await {
        Ok(Ok(text)) if !text.trim().is_empty() => Ok(Secret::new(text.trim().to_owned())),
        _ => Err(VaultError::Credential),
    }
}
