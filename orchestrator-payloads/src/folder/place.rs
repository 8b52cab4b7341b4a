//! Where an object lies in the folder, and which lie there.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use orchestrator_core::payload::{PayloadKey, PayloadScope};
use orchestrator_types::PayloadId;

/// The characters of an id, after its prefix, that name its folder: 2^25 milliseconds of its time.
const BUCKET: usize = 5;

pub(super) fn of_scope(root: &Path, scope: &PayloadScope) -> PathBuf {
    root.join(scope.environment.as_str()).join(scope.workspace.as_str())
}

pub(super) fn of(root: &Path, key: &PayloadKey) -> PathBuf {
    let id = key.id.to_string();
    of_scope(root, &key.scope).join(bucket(&id)).join(&id)
}

/// Ids are ASCII, and longer than this.
fn bucket(id: &str) -> &str {
    let start = PayloadId::PREFIX.len() + 1;
    id.get(start..start + BUCKET).unwrap_or(id)
}

/// Up to `limit` objects in the order of their ids, from after `after`.
pub(super) fn list(folder: &Path, after: Option<PayloadId>, limit: usize) -> io::Result<Vec<PayloadId>> {
    let first = after.map(|after| after.to_string());
    let mut buckets = names(folder)?;
    if let Some(first) = &first {
        buckets.retain(|name| name.as_str() >= bucket(first));
    }
    buckets.sort_unstable();
    let mut found = Vec::new();
    for name in buckets {
        let mut ids: Vec<PayloadId> = names(&folder.join(&name))?
            .iter()
            .filter(|id| bucket(id) == name)
            .filter_map(|id| id.parse().ok())
            .filter(|id| after.is_none_or(|after| *id > after))
            .collect();
        ids.sort_unstable();
        found.extend(ids);
        if found.len() >= limit {
            break;
        }
    }
    found.truncate(limit);
    Ok(found)
}

/// What lies in a folder. Nothing does in one that is not there.
fn names(folder: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut names = Vec::new();
    for entry in entries {
        // A name that is no text is not ours.
        names.extend(entry?.file_name().into_string().ok());
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn inv_44_a_place_is_made_of_names_and_an_id() {
        let scope = PayloadScope { environment: "dev".parse().unwrap(), workspace: "shop-dev".parse().unwrap() };
        let id: PayloadId = "pay_01h455vb4pex5vsknk084sn02q".parse().unwrap();
        let place = of(Path::new("/data"), &scope.key(id));
        assert_eq!(place, Path::new("/data/dev/shop-dev/01h45/pay_01h455vb4pex5vsknk084sn02q"));
        for hostile in ["../x", "pay_../../../../etc/passwd00", "pay_01h455vb4pex5vsknk084sn0/q", "/etc"] {
            assert!(hostile.parse::<PayloadId>().is_err(), "{hostile}");
            assert!(format!("{hostile}-dev").parse::<orchestrator_types::WorkspaceId>().is_err(), "{hostile}");
        }
    }
}
