//! The inputs of operations, as documents, and what their schemas cannot say.

use std::collections::BTreeMap;

use data_encoding::BASE64;
use http::{HeaderName, HeaderValue};
use orchestrator_types::FieldError;
use schemars::JsonSchema;
use serde::Deserialize;

use super::settings::S3Settings;
use crate::payloads::PayloadName;

/// The most that S3 takes of an object's own metadata.
const METADATA_BYTES: usize = 2_048;

/// An object to put. One of `text`, `content_base64` and `payload_ref` gives its bytes.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "S3Put", extend("examples" = [
    {"key": "2026/4711.pdf", "content_base64": "JVBERi0xLjcK", "content_type": "application/pdf"}
]))]
pub(super) struct PutInput {
    /// Its key.
    #[schemars(length(min = 1, max = 1_024))]
    pub(super) key: String,
    /// Its content, as text.
    pub(super) text: Option<String>,
    /// Its content, as bytes in base64.
    pub(super) content_base64: Option<String>,
    /// Its content, as a payload.
    pub(super) payload_ref: Option<PayloadName>,
    /// Its media type, as `application/pdf`. If absent: what its payload is.
    #[schemars(length(min = 1, max = 255))]
    pub(super) content_type: Option<String>,
    /// How browsers offer it, as `attachment; filename="invoice.pdf"`.
    #[schemars(length(min = 1, max = 1_024))]
    pub(super) content_disposition: Option<String>,
    /// How it is encoded, as `gzip`.
    #[schemars(length(min = 1, max = 255))]
    pub(super) content_encoding: Option<String>,
    /// How long it may be kept in caches, as `max-age=3600`.
    #[schemars(length(min = 1, max = 255))]
    pub(super) cache_control: Option<String>,
    /// Metadata of its own: letters, digits and `-` in names, ASCII in values, 2 KiB in all. The store hands names out in
    /// lower case.
    #[serde(default)]
    #[schemars(length(max = 64))]
    pub(super) metadata: BTreeMap<String, String>,
    /// Puts only if there is no object of this key.
    #[serde(default)]
    pub(super) if_absent: bool,
    /// Puts only if the object there has this ETag.
    #[schemars(length(min = 1, max = 255))]
    pub(super) if_match: Option<String>,
}

/// An object to get.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "S3Get", extend("examples" = [
    {"key": "2026/4711.pdf", "range": {"offset": 0, "length": 1024}}
]))]
pub(super) struct GetInput {
    /// Its key.
    #[schemars(length(min = 1, max = 1_024))]
    pub(super) key: String,
    /// A version of it, in buckets that keep them.
    #[schemars(length(min = 1, max = 1_024))]
    pub(super) version: Option<String>,
    /// Gets only if it has this ETag.
    #[schemars(length(min = 1, max = 255))]
    pub(super) if_match: Option<String>,
    /// Gets a part of it.
    pub(super) range: Option<Range>,
}

/// A part of an object.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "S3Range")]
pub(super) struct Range {
    /// Where it begins, in bytes.
    pub(super) offset: u64,
    /// How many bytes.
    #[schemars(range(min = 1))]
    pub(super) length: u64,
}

/// An object to look at.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "S3Head", extend("examples" = [
    {"key": "2026/4711.pdf"}
]))]
pub(super) struct HeadInput {
    /// Its key.
    #[schemars(length(min = 1, max = 1_024))]
    pub(super) key: String,
    /// A version of it, in buckets that keep them.
    #[schemars(length(min = 1, max = 1_024))]
    pub(super) version: Option<String>,
}

/// An object to delete.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "S3Delete", extend("examples" = [
    {"key": "2026/4711.pdf"}
]))]
pub(super) struct DeleteInput {
    /// Its key.
    #[schemars(length(min = 1, max = 1_024))]
    pub(super) key: String,
}

/// Which keys to list.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "S3List", extend("examples" = [
    {"prefix": "2026/", "delimiter": "/", "max_keys": 50}
]))]
pub(super) struct ListInput {
    /// What the keys begin with.
    #[serde(default)]
    #[schemars(length(max = 1_024))]
    pub(super) prefix: String,
    /// Keys that have this after the prefix are not listed: what they begin with, up to it, is told once. Mostly `/`.
    #[schemars(length(min = 1, max = 16))]
    pub(super) delimiter: Option<String>,
    /// The most entries of a page. 100 if absent.
    #[serde(default = "page")]
    #[schemars(range(min = 1, max = 1_000))]
    pub(super) max_keys: u16,
    /// `next_page` of the page before.
    #[schemars(length(min = 1, max = 4_096))]
    pub(super) page: Option<String>,
}

fn page() -> u16 {
    100
}

/// An object to copy within the bucket.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "S3Copy", extend("examples" = [
    {"from": "2026/4711.pdf", "to": "paid/4711.pdf"}
]))]
pub(super) struct CopyInput {
    /// The key of the object.
    #[schemars(length(min = 1, max = 1_024))]
    pub(super) from: String,
    /// The key of the copy. What is there is replaced.
    #[schemars(length(min = 1, max = 1_024))]
    pub(super) to: String,
}

/// A URL to sign, by which somebody without credentials may make one request for some time.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "S3Presign")]
pub(super) struct PresignInput {
    /// The object's key.
    #[schemars(length(min = 1, max = 1_024))]
    pub(super) key: String,
    /// What the request does. `get` if absent.
    #[serde(default)]
    pub(super) method: PresignMethod,
    /// How long the URL works, in seconds: at most 7 days. An hour if absent.
    #[serde(default = "hour")]
    #[schemars(range(min = 1, max = 604_800))]
    pub(super) expires_s: u32,
    /// With `put`: the media type that the request must say.
    #[schemars(length(min = 1, max = 255))]
    pub(super) content_type: Option<String>,
}

fn hour() -> u32 {
    3_600
}

/// What a signed request does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum PresignMethod {
    /// Gets the object.
    #[default]
    Get,
    /// Puts one.
    Put,
}

impl PutInput {
    /// Whether making it twice is as good as once: with a condition the second time would find the first's object there.
    pub(super) fn is_idempotent(&self) -> bool {
        !self.if_absent && self.if_match.is_none()
    }

    pub(super) fn problems(&self, settings: &S3Settings) -> Vec<FieldError> {
        let mut problems = key_problem(settings, "/key", &self.key);
        let given = [
            ("/text", self.text.is_some()),
            ("/content_base64", self.content_base64.is_some()),
            ("/payload_ref", self.payload_ref.is_some()),
        ];
        let mut given = given.into_iter().filter_map(|(place, is_given)| is_given.then_some(place));
        if given.next().is_none() {
            let problem = "give a content: `text`, `content_base64` or `payload_ref`";
            problems.push(FieldError::new("/text", problem));
        }
        let one = "an object has one content: `text`, `content_base64` or `payload_ref`";
        problems.extend(given.map(|place| FieldError::new(place, one)));
        if self.content_base64.as_ref().is_some_and(|encoded| BASE64.decode(encoded.as_bytes()).is_err()) {
            problems.push(FieldError::new("/content_base64", "this is not base64"));
        }
        if self.if_absent && self.if_match.is_some() {
            problems.push(FieldError::new("/if_match", "an object that is absent has no ETag: give one condition"));
        }
        for (place, value) in [
            ("/content_type", &self.content_type),
            ("/content_disposition", &self.content_disposition),
            ("/content_encoding", &self.content_encoding),
            ("/cache_control", &self.cache_control),
            ("/if_match", &self.if_match),
        ] {
            problems.extend(header_problem(place, value.as_deref()));
        }
        for (name, value) in &self.metadata {
            let fine = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
                && format!("x-amz-meta-{name}").parse::<HeaderName>().is_ok()
                && !name.is_empty();
            let place = format!("/metadata/{}", name.replace('~', "~0").replace('/', "~1"));
            if !fine {
                problems.push(FieldError::new(place, "the name of a metadata field has letters, digits and `-`"));
            } else {
                problems.extend(header_problem(&place, Some(value)));
            }
        }
        if self.metadata.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>() > METADATA_BYTES {
            problems.push(FieldError::new("/metadata", "all names and values have at most 2,048 bytes"));
        }
        problems
    }
}

impl GetInput {
    pub(super) fn problems(&self, settings: &S3Settings) -> Vec<FieldError> {
        let mut problems = key_problem(settings, "/key", &self.key);
        problems.extend(header_problem("/if_match", self.if_match.as_deref()));
        if self.range.is_some_and(|range| range.offset.checked_add(range.length).is_none()) {
            problems.push(FieldError::new("/range", "no object is as large as this"));
        }
        problems
    }
}

impl CopyInput {
    pub(super) fn problems(&self, settings: &S3Settings) -> Vec<FieldError> {
        let mut problems = key_problem(settings, "/from", &self.from);
        problems.extend(key_problem(settings, "/to", &self.to));
        problems
    }
}

impl PresignInput {
    pub(super) fn problems(&self, settings: &S3Settings) -> Vec<FieldError> {
        let mut problems = key_problem(settings, "/key", &self.key);
        problems.extend(header_problem("/content_type", self.content_type.as_deref()));
        if self.content_type.is_some() && self.method == PresignMethod::Get {
            problems.push(FieldError::new("/content_type", "only a request that puts says one"));
        }
        problems
    }
}

pub(super) fn key_problem(settings: &S3Settings, place: &str, key: &str) -> Vec<FieldError> {
    settings.prefix.path(key).err().map(|problem| FieldError::new(place, problem)).into_iter().collect()
}

pub(super) fn header_problem(place: &str, value: Option<&str>) -> Option<FieldError> {
    let value = value?;
    let fine = value.is_ascii() && HeaderValue::from_str(value).is_ok() && value.trim() == value;
    (!fine).then(|| FieldError::new(place, "the value has characters that a header cannot carry"))
}
