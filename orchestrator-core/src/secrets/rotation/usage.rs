//! Which key of the install seals how much.

use std::collections::BTreeMap;

use orchestrator_types::WorkspaceId;

use crate::secrets::install::SECRET;
use crate::secrets::seal::{InstallSealed, KeyId, KeyRing, WrappedKey};
use crate::store::{ControlStore, Owner, Record, RecordKind, StoreError};

const PAGE: usize = 200;
/// So many workspaces are named where they are many.
const NAMED: usize = 3;

/// What each key seals.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyUsage(pub BTreeMap<KeyId, Used>);

/// What a key seals.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Used {
    /// So many workspaces' data keys.
    pub data_keys: u64,
    /// The first few of those workspaces.
    pub workspaces: Vec<WorkspaceId>,
    /// So many values of the install itself.
    pub install_secrets: u64,
}

impl KeyUsage {
    /// What is needed and not in the ring: one line for the operator; `None` if all is there.
    #[must_use]
    pub fn lacking(&self, ring: &KeyRing) -> Option<String> {
        let missing = ring.missing(self.0.keys().copied());
        let id = missing.first()?;
        let used = self.0.get(id)?;
        let names: Vec<&str> = used.workspaces.iter().map(WorkspaceId::as_str).collect();
        let mut what = Vec::new();
        if used.install_secrets > 0 {
            what.push(format!("{} of the install's own secrets", used.install_secrets));
        }
        if used.data_keys > 0 {
            let more = if used.data_keys > NAMED as u64 { ", …" } else { "" };
            what.push(format!("the data keys of {} workspaces ({}{more})", used.data_keys, names.join(", ")));
        }
        let others = if missing.len() > 1 { format!(" ({} keys are missing)", missing.len()) } else { String::new() };
        Some(format!(
            "the key {id} is in no key file and still seals {}: bring it back, in `secrets.kek_file` below the current key \
             or in `secrets.older_kek_files`{others}",
            what.join(" and ")
        ))
    }

    fn of(&mut self, id: KeyId) -> &mut Used {
        self.0.entry(id).or_default()
    }
}

/// Reads which key seals how much. Reads only; what cannot be read is passed over.
///
/// # Errors
/// The store does not answer.
pub async fn key_usage(store: &dyn ControlStore) -> Result<KeyUsage, StoreError> {
    let mut usage = KeyUsage::default();
    for record in install_secrets(store).await? {
        if let Ok(sealed) = serde_json::from_slice::<InstallSealed>(&record.body) {
            usage.of(sealed.key_id).install_secrets += 1;
        }
    }
    let mut after: Option<WorkspaceId> = None;
    loop {
        let names = store.workspaces(after.as_ref(), PAGE).await?;
        let Some(last) = names.last() else { return Ok(usage) };
        after = Some(last.clone());
        for name in names {
            for record in store.records(&Owner::from(&name), RecordKind::DataKey, None, PAGE).await? {
                if let Ok(wrapped) = serde_json::from_slice::<WrappedKey>(&record.body) {
                    let used = usage.of(wrapped.key_id);
                    used.data_keys += 1;
                    if used.workspaces.len() < NAMED {
                        used.workspaces.push(name.clone());
                    }
                }
            }
        }
    }
}

/// The records of what the install keeps sealed for itself: a handful.
pub(super) async fn install_secrets(store: &dyn ControlStore) -> Result<Vec<Record>, StoreError> {
    let mut records = store.records(&Owner::Install, RecordKind::Install, Some(SECRET), PAGE).await?;
    records.retain(|record| record.key.starts_with(SECRET));
    Ok(records)
}
