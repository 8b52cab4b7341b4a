//! Where large bodies are stored apart.

use std::fs;
use std::path::{Path, PathBuf};

use orchestrator_core::secrets::Secret;
use orchestrator_payloads::s3::S3Settings;

use super::check::{Checked, path, within};
use super::sources::Layered;

const URL: &str = "payloads.url";
const MAX_BYTES: u64 = 256 << 20;
const LARGEST: u64 = 64 << 30;

/// Where large bodies are stored apart.
#[derive(Debug, Clone)]
pub struct PayloadSettings {
    /// Folder or bucket.
    pub place: PayloadPlace,
    /// No payload has more bytes.
    pub max_bytes: u64,
}

/// A folder or a bucket.
#[derive(Debug, Clone)]
pub enum PayloadPlace {
    /// `file://<path>`.
    Folder(PathBuf),
    /// `s3://<bucket>/<prefix>`.
    Bucket(S3Settings),
}

impl PayloadSettings {
    /// A folder in the data folder.
    pub(super) fn of(data_dir: &Path) -> Self {
        Self { place: PayloadPlace::Folder(data_dir.join("payloads")), max_bytes: MAX_BYTES }
    }
}

pub(super) fn check(layered: &Layered, data_dir: &Path) -> Checked<PayloadSettings> {
    let given = &layered.document.payloads;
    let defaults = PayloadSettings::of(data_dir);
    let max_bytes = within(layered, "payloads.max_bytes", given.max_bytes, 1024, LARGEST)?;
    let place = match given.url.as_deref() {
        Some(url) if url.starts_with("s3://") => PayloadPlace::Bucket(bucket(layered, url)?),
        other => {
            for (setting, given) in [
                ("payloads.region", &given.region),
                ("payloads.endpoint", &given.endpoint),
                ("payloads.access_key_id", &given.access_key_id),
                ("payloads.secret_access_key_file", &given.secret_access_key_file),
            ] {
                if given.is_some() {
                    return Err(layered.unusable(setting, "it is for s3://<bucket>/<prefix> in `payloads.url`"));
                }
            }
            match other {
                Some(url) => PayloadPlace::Folder(folder(layered, url)?),
                None => defaults.place,
            }
        }
    };
    Ok(PayloadSettings { place, max_bytes: max_bytes.unwrap_or(defaults.max_bytes) })
}

fn folder(layered: &Layered, url: &str) -> Checked<PathBuf> {
    match url.strip_prefix("file://") {
        None => Err(layered.unusable(URL, "file://<path> or s3://<bucket>/<prefix> is expected")),
        Some("" | "/") => Err(layered.unusable(URL, "it names no folder: file://<path> is expected")),
        Some(path) if path.contains(['?', '#']) => {
            Err(layered.unusable(URL, "a plain path is expected after file://, without options"))
        }
        Some(path) => Ok(path.into()),
    }
}

fn bucket(layered: &Layered, url: &str) -> Checked<S3Settings> {
    let given = &layered.document.payloads;
    let bucket = S3Settings::of_url(url).map_err(|error| layered.unusable(URL, error.to_string()))?;
    let endpoint = given.endpoint.clone();
    let is_http = |url: &http::Uri| {
        matches!(url.scheme_str(), Some("https" | "http"))
            && url.host().is_some()
            && !url.authority().is_some_and(|at| at.as_str().contains('@'))
    };
    if endpoint.as_deref().is_some_and(|url| !url.parse::<http::Uri>().is_ok_and(|url| is_http(&url))) {
        let problem = "a URL with https:// or http:// is expected, without a user or password";
        return Err(layered.unusable("payloads.endpoint", problem));
    }
    let secret = "payloads.secret_access_key_file";
    let file = path(layered, secret, given.secret_access_key_file.as_deref())?;
    let credentials = match (given.access_key_id.clone(), file) {
        (None, None) => None,
        (Some(id), Some(file)) if !id.is_empty() => {
            let text = fs::read_to_string(file).map_err(|_| layered.unusable(secret, "the file cannot be read"))?;
            match text.trim() {
                "" => return Err(layered.unusable(secret, "the file is empty")),
                text => Some((id, Secret::new(text.to_owned()))),
            }
        }
        _ => {
            let problem = "`payloads.access_key_id` and `payloads.secret_access_key_file` go together";
            return Err(layered
                .unusable(if given.access_key_id.is_some() { secret } else { "payloads.access_key_id" }, problem));
        }
    };
    Ok(S3Settings { region: given.region.clone(), endpoint, credentials, ..bucket })
}
