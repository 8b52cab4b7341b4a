//! The outputs of operations, as documents.

use std::collections::BTreeMap;

use chrono::SecondsFormat;
use object_store::{Attribute, Attributes, ObjectMeta};
use schemars::JsonSchema;
use serde::Serialize;

use crate::payloads::PayloadReference;

/// What an object is, without its content.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "S3Object")]
pub(super) struct ObjectOutput {
    /// Its key.
    pub(super) key: String,
    /// Its size, in bytes.
    pub(super) size: u64,
    /// Its ETag, with its quotes.
    pub(super) etag: Option<String>,
    /// Its version, in buckets that keep them.
    pub(super) version: Option<String>,
    /// When it was put.
    pub(super) last_modified: String,
    /// Its media type.
    pub(super) content_type: Option<String>,
    /// How it is encoded.
    pub(super) content_encoding: Option<String>,
    /// Metadata of its own.
    pub(super) metadata: BTreeMap<String, String>,
}

impl ObjectOutput {
    pub(super) fn new(key: String, meta: &ObjectMeta, attributes: &Attributes) -> Self {
        let text = |attribute| attributes.get(attribute).map(|value| value.to_string());
        let metadata = attributes.iter().filter_map(|(attribute, value)| match attribute {
            Attribute::Metadata(name) => Some((name.to_string(), value.to_string())),
            _ => None,
        });
        Self {
            key,
            size: meta.size,
            etag: meta.e_tag.clone(),
            version: meta.version.clone(),
            last_modified: time(meta),
            content_type: text(&Attribute::ContentType),
            content_encoding: text(&Attribute::ContentEncoding),
            metadata: metadata.collect(),
        }
    }
}

fn time(meta: &ObjectMeta) -> String {
    meta.last_modified.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// An object with its content.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "S3Content")]
pub(super) struct GetOutput {
    /// What it is; its size is that of the whole, whatever part of it was asked for.
    #[serde(flatten)]
    pub(super) object: ObjectOutput,
    /// Its content, if it is text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) text: Option<String>,
    /// Its content in base64, if it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) content_base64: Option<String>,
    /// Its content as a payload, if it is larger than the settings' `max_get_bytes`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) payload_ref: Option<PayloadReference>,
}

/// An object that was put.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "S3Stored")]
pub(super) struct PutOutput {
    /// Its key.
    pub(super) key: String,
    /// Its size, in bytes.
    pub(super) size: u64,
    /// Its ETag, with its quotes.
    pub(super) etag: Option<String>,
    /// Its version, in buckets that keep them.
    pub(super) version: Option<String>,
    /// In how many parts it went; 1 if it went whole.
    pub(super) parts: u32,
}

/// One page of keys.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "S3Page")]
pub(super) struct ListOutput {
    /// Objects.
    pub(super) objects: Vec<ListedObject>,
    /// What the keys begin with that have the delimiter, up to it.
    pub(super) prefixes: Vec<String>,
    /// Where the next page begins; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next_page: Option<String>,
}

/// An object of a page.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "S3ListedObject")]
pub(super) struct ListedObject {
    /// Its key.
    pub(super) key: String,
    /// Its size, in bytes.
    pub(super) size: u64,
    /// Its ETag, with its quotes.
    pub(super) etag: Option<String>,
    /// When it was put.
    pub(super) last_modified: String,
}

impl ListedObject {
    pub(super) fn new(key: &str, meta: &ObjectMeta) -> Self {
        Self { key: key.to_owned(), size: meta.size, etag: meta.e_tag.clone(), last_modified: time(meta) }
    }
}

/// An object that is there no more.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "S3Deleted")]
pub(super) struct DeleteOutput {
    /// Its key.
    pub(super) key: String,
}

/// An object that was copied.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "S3Copied")]
pub(super) struct CopyOutput {
    /// The key of the object.
    pub(super) from: String,
    /// The key of the copy.
    pub(super) to: String,
}

/// A signed URL. Whoever has it may make the request while it works.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "S3SignedUrl")]
pub(super) struct PresignOutput {
    /// The URL.
    pub(super) url: String,
    /// The method of the request.
    pub(super) method: String,
    /// Headers that the request must have.
    pub(super) headers: BTreeMap<String, String>,
    /// How long it works from now, in seconds.
    pub(super) expires_s: u32,
}
