//! What the install keeps sealed for itself: the keys that sign its tokens.

use orchestrator_types::Environment;
use zeroize::Zeroizing;

use super::SecretError;
use super::seal::{InstallSealed, KeyRing};
use crate::store::{CommitError, ControlChange, ControlStore, Expect, Owner, RecordKind, RecordWrite};

/// Reads a sealed value of the install; `None` if it was never written. Reads only.
///
/// # Errors
/// The store does not answer, or the value does not open with these keys.
pub async fn read_install_secret(
    store: &dyn ControlStore,
    ring: &KeyRing,
    environment: &Environment,
    name: &str,
) -> Result<Option<Zeroizing<Vec<u8>>>, SecretError> {
    let record = store.record(&Owner::Install, RecordKind::Install, &key(name)).await;
    let Some(record) = record.map_err(|_| SecretError::Unreachable)? else { return Ok(None) };
    let sealed: InstallSealed = serde_json::from_slice(&record.body).map_err(|_| SecretError::Unreachable)?;
    ring.open_install(environment, name, &sealed).map(Some).map_err(|_| SecretError::Unreachable)
}

/// Reads a sealed value of the install, making it first if it was never written. Of several that make it at once, one wins.
///
/// # Errors
/// The store does not answer, or the value does not open with these keys.
pub async fn install_secret(
    store: &dyn ControlStore,
    ring: &KeyRing,
    environment: &Environment,
    name: &str,
    make: impl FnOnce() -> Zeroizing<Vec<u8>> + Send,
) -> Result<Zeroizing<Vec<u8>>, SecretError> {
    if let Some(value) = read_install_secret(store, ring, environment, name).await? {
        return Ok(value);
    }
    let sealed = ring.seal_install(environment, name, &make()).map_err(|_| SecretError::Unreachable)?;
    let body = serde_json::to_vec(&sealed).map_err(|_| SecretError::Unreachable)?;
    let mut change = ControlChange::of(Owner::Install);
    change.writes.push(RecordWrite::put(RecordKind::Install, key(name), Expect::Absent, body));
    match store.commit(change).await {
        Ok(_) | Err(CommitError::Conflict { .. }) => {}
        Err(_) => return Err(SecretError::Unreachable),
    }
    read_install_secret(store, ring, environment, name).await?.ok_or(SecretError::Unreachable)
}

/// What the keys of their records begin with.
pub(super) const SECRET: &str = "secret/";

fn key(name: &str) -> String {
    format!("{SECRET}{name}")
}
