//! The keys: whether they are private, apart from what they seal, and whether they open it.

use std::fs;

use orchestrator_core::secrets::seal::{KeyRing, WrappedKey};
use orchestrator_core::secrets::{KeyUsage, key_usage};
use orchestrator_core::store::{Owner, RecordKind, Store, StoreError};
use orchestrator_types::WorkspaceId;

use super::{Finding, Mark};
use crate::keys::{KeyFileError, read_ring, read_signing_keys};
use crate::settings::Settings;

const FILE: &str = "key file";
const OPENS: &str = "sealed keys";
const PAGE: usize = 200;

pub(super) async fn examine(settings: &Settings, store: Option<&dyn Store>) -> Vec<Finding> {
    let ring = match read_ring(&settings.secrets) {
        Ok(ring) => ring,
        Err(error @ KeyFileError::Missing { .. }) if store.is_none() => {
            return vec![Finding::new(FILE, Mark::Warn, format!("{error} yet: the first start makes it"))];
        }
        Err(error) => return vec![Finding::new(FILE, Mark::Fail, error.to_string())],
    };
    let detail = format!("{}, key {}, only its owner's", settings.secrets.kek_file.display(), ring.current());
    let mut findings = vec![Finding::new(FILE, Mark::Ok, detail), place(settings)];
    if let Some(store) = store {
        findings.push(opens(settings, &ring, store).await);
    }
    findings
}

/// A copy of the folder must not be a copy of the key as well.
fn place(settings: &Settings) -> Finding {
    const CHECK: &str = "key place";
    let real = |path: &std::path::Path| fs::canonicalize(path).ok();
    let (key, data) = (real(&settings.secrets.kek_file), real(&settings.data_dir));
    let file = settings.store.file().and_then(std::path::Path::parent);
    let store = file.and_then(|folder| fs::canonicalize(folder).ok());
    let beside = |folder: &Option<std::path::PathBuf>| match (&key, folder) {
        (Some(key), Some(folder)) => key.starts_with(folder),
        _ => false,
    };
    if beside(&data) || beside(&store) {
        let detail =
            "the key file lies with the data that it seals: whoever copies the folder has both; set `secrets.kek_file`";
        return Finding::new(CHECK, Mark::Warn, detail);
    }
    Finding::new(CHECK, Mark::Ok, "apart from the data")
}

async fn opens(settings: &Settings, ring: &KeyRing, store: &dyn Store) -> Finding {
    let usage = match key_usage(store).await {
        Ok(usage) => usage,
        Err(error) => return Finding::new(OPENS, Mark::Fail, error.to_string()),
    };
    if let Some(lacking) = usage.lacking(ring) {
        return Finding::new(OPENS, Mark::Fail, lacking);
    }
    if let Err(error) = read_signing_keys(store, ring, &settings.environment).await {
        return Finding::new(OPENS, Mark::Fail, error.to_string());
    }
    match closed(settings, ring, store).await {
        Ok((count, closed)) if closed.is_empty() => {
            let detail =
                format!("the signing key and the data keys of {count} workspaces open{}", others(ring, &usage));
            Finding::new(OPENS, Mark::Ok, detail)
        }
        Ok((_, closed)) => {
            let names: Vec<&str> = closed.iter().take(5).map(WorkspaceId::as_str).collect();
            let detail =
                format!("{} data keys do not open, of {}, …: is an older key missing?", closed.len(), names.join(", "));
            Finding::new(OPENS, Mark::Fail, detail)
        }
        Err(error) => Finding::new(OPENS, Mark::Fail, error.to_string()),
    }
}

/// What the keys are still good for that seal nothing new.
fn others(ring: &KeyRing, usage: &KeyUsage) -> String {
    let told = ring.key_ids().skip(1).map(|id| match usage.0.get(&id) {
        Some(used) => {
            let count = used.data_keys + used.install_secrets;
            format!("; the key {id} still seals {count}: `orchestrator secret rotate-kek` has them sealed by the current one")
        }
        None => format!("; the key {id} seals nothing any more and can go"),
    });
    told.collect()
}

/// How many workspaces have a data key, and those whose does not open.
async fn closed(
    settings: &Settings,
    ring: &KeyRing,
    store: &dyn Store,
) -> Result<(usize, Vec<WorkspaceId>), StoreError> {
    let (mut count, mut closed, mut after) = (0, Vec::new(), None);
    loop {
        let names = store.workspaces(after.as_ref(), PAGE).await?;
        let Some(last) = names.last() else { return Ok((count, closed)) };
        after = Some(last.clone());
        for name in names {
            let records = store.records(&Owner::from(&name), RecordKind::DataKey, None, PAGE).await?;
            let opens = |body: &[u8]| {
                let wrapped: Option<WrappedKey> = serde_json::from_slice(body).ok();
                wrapped.is_some_and(|wrapped| ring.unwrap(&wrapped, &settings.environment, &name).is_ok())
            };
            count += usize::from(!records.is_empty());
            if !records.iter().all(|record| opens(&record.body)) {
                closed.push(name);
            }
        }
    }
}
