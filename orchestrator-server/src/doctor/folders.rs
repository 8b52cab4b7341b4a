//! The folders.

use std::fs;
use std::io;
use std::path::Path;

use super::{Finding, Mark};
use crate::settings::Settings;

pub(super) fn examine(settings: &Settings) -> Vec<Finding> {
    let mut findings = vec![data(&settings.data_dir)];
    findings.push(secrets(settings.secrets.dir.as_deref()));
    findings
}

fn data(folder: &Path) -> Finding {
    let shown = folder.display();
    match fs::metadata(folder) {
        Ok(about) if !about.is_dir() => Finding::new("data folder", Mark::Fail, format!("{shown} is no folder")),
        Ok(about) if others_may(&about, 0o077) => {
            Finding::new("data folder", Mark::Warn, format!("{shown} is open to others than its owner: chmod 700 it"))
        }
        Ok(_) => Finding::new("data folder", Mark::Ok, shown.to_string()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Finding::new("data folder", Mark::Warn, format!("there is no {shown} yet: a start makes it"))
        }
        Err(error) => Finding::new("data folder", Mark::Fail, format!("{shown}: {error}")),
    }
}

fn secrets(folder: Option<&Path>) -> Finding {
    let Some(folder) = folder else {
        return Finding::new("secrets folder", Mark::Ok, "`secrets.dir` is not set: `file` references cannot resolve");
    };
    let shown = folder.display();
    match fs::read_dir(folder).and_then(|_| fs::metadata(folder)) {
        Ok(about) if others_may(&about, 0o022) => {
            Finding::new("secrets folder", Mark::Warn, format!("others than its owner can write to {shown}"))
        }
        Ok(_) => Finding::new("secrets folder", Mark::Ok, shown.to_string()),
        Err(error) => Finding::new("secrets folder", Mark::Fail, format!("{shown}: {error}")),
    }
}

#[cfg(unix)]
fn others_may(about: &fs::Metadata, mask: u32) -> bool {
    use std::os::unix::fs::PermissionsExt;
    about.permissions().mode() & mask != 0
}

#[cfg(not(unix))]
fn others_may(_: &fs::Metadata, _: u32) -> bool {
    false
}
