//! The key that signs the install's own tokens: sealed in the store.

use anyhow::{Context, bail};
use orchestrator_core::secrets::seal::KeyRing;
use orchestrator_core::secrets::{SecretError, install_secret, read_install_secret};
use orchestrator_core::store::ControlStore;
use orchestrator_http::tokens::{SigningKey, SigningKeys};
use orchestrator_types::Environment;
use zeroize::Zeroizing;

/// Its name among the install's secrets.
pub(super) const SIGNING_KEY: &str = "token-signing-key";

/// The keys of this install, made if it is new.
pub(crate) async fn signing_keys(
    store: &dyn ControlStore,
    ring: &KeyRing,
    environment: &Environment,
) -> anyhow::Result<SigningKeys> {
    let new = SigningKey::generate()?;
    let bytes = install_secret(store, ring, environment, SIGNING_KEY, || Zeroizing::new(new.pkcs8().to_vec())).await;
    keys(&bytes.map_err(not_opened)?)
}

/// The keys of this install. Reads only.
///
/// # Errors
/// The server has never run on this store, or its key is sealed with another key file.
pub async fn read_signing_keys(
    store: &dyn ControlStore,
    ring: &KeyRing,
    environment: &Environment,
) -> anyhow::Result<SigningKeys> {
    match read_install_secret(store, ring, environment, SIGNING_KEY).await {
        Ok(Some(bytes)) => keys(&bytes),
        Ok(None) => bail!("the store has no signing key yet: start the server first"),
        Err(error) => Err(not_opened(error)),
    }
}

fn keys(bytes: &[u8]) -> anyhow::Result<SigningKeys> {
    Ok(SigningKeys::of(SigningKey::from_pkcs8(bytes).context("the stored signing key")?))
}

fn not_opened(error: SecretError) -> anyhow::Error {
    anyhow::Error::new(error).context("the stored signing key does not open with this key file")
}
