//! The settings of an `s3` connector.

use orchestrator_types::FieldError;
use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use super::key::Prefix;

/// The bucket, and where it is. Holds no secret: `access_key_id`, `secret_access_key` and `session_token` fill slots.
/// Without them requests are not signed, and reach what is public.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "S3Settings", extend("examples" = [
    {"bucket": "shop-files", "region": "eu-central-1", "prefix": "invoices/"},
    {"bucket": "shop-files", "endpoint": "https://minio.example:9000"}
]))]
pub(super) struct SettingsDocument {
    /// The bucket.
    #[schemars(length(min = 3, max = 63), regex(pattern = "^[a-z0-9][a-z0-9.-]*[a-z0-9]$"))]
    bucket: String,
    /// Its region. `us-east-1` if absent, which most stores other than AWS take for theirs.
    #[serde(default = "region")]
    #[schemars(length(min = 1, max = 64), regex(pattern = "^[a-z0-9-]+$"))]
    region: String,
    /// The store's URL, as `https://minio.example:9000`. AWS's of the region if absent. `http` only to addresses that are
    /// not of the public internet.
    #[schemars(length(max = 2_048))]
    endpoint: Option<String>,
    /// Where the bucket stands in a URL: in its path, or in the name of the host. If absent: in the path where there is an
    /// `endpoint`, else in the host's name.
    addressing: Option<Addressing>,
    /// What each key begins with in the bucket, as `invoices/`. Calls neither see nor reach what lies elsewhere.
    #[schemars(length(max = 512))]
    prefix: Option<String>,
    /// The largest object that `get` reads into its output, in bytes; a larger one becomes a payload. 8 MiB if absent.
    #[serde(default = "max_get")]
    #[schemars(range(min = 1, max = 67_108_864))]
    max_get_bytes: u32,
    /// A larger body is put in parts of this size, in bytes. 8 MiB if absent.
    #[serde(default = "part")]
    #[schemars(range(min = 5_242_880, max = 67_108_864))]
    part_bytes: u32,
}

fn region() -> String {
    "us-east-1".to_owned()
}

fn max_get() -> u32 {
    8 << 20
}

fn part() -> u32 {
    8 << 20
}

/// Where the bucket stands in a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Addressing {
    /// `https://endpoint/bucket/key`.
    Path,
    /// `https://bucket.endpoint/key`.
    VirtualHost,
}

/// The settings, sound.
#[derive(Debug)]
pub(super) struct S3Settings {
    pub(super) bucket: String,
    pub(super) region: String,
    /// The URL that lies above the keys, if it is not AWS's own.
    pub(super) endpoint: Option<Url>,
    pub(super) virtual_host: bool,
    pub(super) prefix: Prefix,
    pub(super) max_get_bytes: usize,
    pub(super) part_bytes: usize,
}

impl S3Settings {
    /// Reads settings that match their schema.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub(super) fn read(document: SettingsDocument) -> Result<Self, Vec<FieldError>> {
        let mut problems = Vec::new();
        let virtual_host = match document.addressing {
            Some(addressing) => addressing == Addressing::VirtualHost,
            None => document.endpoint.is_none(),
        };
        let bucket = virtual_host.then_some(document.bucket.as_str());
        let endpoint = document.endpoint.map(|text| endpoint(&text, bucket)).transpose();
        let endpoint = endpoint.map_err(|problem| problems.push(FieldError::new("/endpoint", problem)));
        let prefix = Prefix::parse(document.prefix.as_deref().unwrap_or_default());
        let prefix = prefix.map_err(|problem| problems.push(FieldError::new("/prefix", problem)));
        if document.bucket.contains("..") {
            problems.push(FieldError::new("/bucket", "a bucket's name has no two dots beside each other"));
        }
        match (endpoint, prefix) {
            (Ok(endpoint), Ok(prefix)) if problems.is_empty() => Ok(Self {
                bucket: document.bucket,
                region: document.region,
                endpoint,
                virtual_host,
                prefix,
                max_get_bytes: document.max_get_bytes as usize,
                part_bytes: document.part_bytes as usize,
            }),
            _ => Err(problems),
        }
    }
}

/// The store's URL, with the bucket in the name of its host if it is to stand there.
fn endpoint(text: &str, bucket: Option<&str>) -> Result<Url, &'static str> {
    let Ok(mut url) = Url::parse(text) else { return Err("this is not a URL") };
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err("this is not an `http` or `https` URL");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("a URL has no user or password here: fill the secret slots");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("the URL of a store has no query and no fragment");
    }
    if let Some(bucket) = bucket {
        let Some(url::Host::Domain(name)) = url.host() else {
            return Err("a bucket cannot stand in front of an address: set `addressing` to `path`");
        };
        let name = format!("{bucket}.{name}");
        url.set_host(Some(&name)).map_err(|_| "the bucket cannot stand in front of this host's name")?;
    }
    Ok(url)
}
