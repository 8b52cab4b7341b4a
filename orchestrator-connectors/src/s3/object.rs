//! What is done with objects: one function an operation.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use data_encoding::BASE64;
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use object_store::list::{PaginatedListOptions, PaginatedListStore};
use object_store::path::Path;
use object_store::signer::{SignedUrlOptions, Signer};
use object_store::{
    Attribute, Attributes, GetOptions, GetRange, ObjectStore, ObjectStoreExt, PutMode, PutMultipartOptions, PutOptions,
    PutPayload, UpdateVersion,
};
use orchestrator_core::connector::{CallContext, CallError, CallErrorKind, Sent};

use super::connector::S3Connector;
use super::content::{Content, Got};
use super::input::{CopyInput, DeleteInput, GetInput, HeadInput, ListInput, PresignInput, PresignMethod, PutInput};
use super::output::{
    CopyOutput, DeleteOutput, GetOutput, ListOutput, ListedObject, ObjectOutput, PresignOutput, PutOutput,
};
use super::upload::{Broken, Upload};

type Done<T> = Result<T, CallError>;

impl S3Connector {
    /// Puts an object: whole, or in parts if it is large and no condition is asked for.
    pub(super) async fn put(self: Arc<Self>, context: CallContext, input: PutInput) -> Done<PutOutput> {
        let path = self.path(&input.key)?;
        let mut attributes = attributes(&input);
        let (key, if_absent, if_match) = (input.key, input.if_absent, input.if_match);
        let content = Content::of(&context, input.text, input.content_base64, input.payload_ref).await?;
        if let Some(kind) = content.kind()
            && attributes.get(&Attribute::ContentType).is_none()
        {
            attributes.insert(Attribute::ContentType, kind.to_owned().into());
        }
        let size = content.size();
        let opened = self.open(&context).await?;
        let mode = match (if_absent, if_match) {
            (true, _) => PutMode::Create,
            (false, Some(etag)) => PutMode::Update(UpdateVersion { e_tag: Some(etag), version: None }),
            (false, None) => PutMode::Overwrite,
        };
        let (put, parts) = if size > self.settings.part_bytes as u64 && mode == PutMode::Overwrite {
            let options = PutMultipartOptions { attributes, ..PutMultipartOptions::default() };
            let upload = opened.told(opened.store.put_multipart_opts(&path, options).await)?;
            let put = Upload::new(upload).put(content.pieces(), self.settings.part_bytes).await;
            put.map_err(|broken| match broken {
                Broken::Store(problem) => opened.failed(problem),
                // Parts went out, and were taken back.
                Broken::Content(problem) => CallError { sent: Sent::Maybe, ..problem.into() },
            })?
        } else {
            let body = content.whole().await?;
            let options = PutOptions { mode, attributes, ..PutOptions::default() };
            (opened.told(opened.store.put_opts(&path, PutPayload::from(body), options).await)?, 1)
        };
        Ok(PutOutput { key, size, etag: put.e_tag, version: put.version, parts })
    }

    /// Gets an object, or a part of it: into the output up to the settings' bound, else into a payload.
    pub(super) async fn get(self: Arc<Self>, context: CallContext, input: GetInput) -> Done<GetOutput> {
        let path = self.path(&input.key)?;
        let range = input.range.map(|range| GetRange::Bounded(range.offset..range.offset.saturating_add(range.length)));
        let options = GetOptions { range, if_match: input.if_match, version: input.version, ..GetOptions::default() };
        let opened = self.open_to_read(&context).await?;
        let found = opened.told(opened.store.get_opts(&path, options).await)?;
        let object = ObjectOutput::new(input.key, &found.meta, &found.attributes);
        let got = Got::read(&context, &opened, found, object.content_type.as_deref(), self.settings.max_get_bytes);
        let (text, content_base64, payload_ref) = match got.await? {
            Got::Payload(reference) => (None, None, Some(reference.into())),
            Got::Bytes(bytes) => match String::from_utf8(bytes) {
                Ok(text) if !text.contains('\0') && object.content_encoding.is_none() => (Some(text), None, None),
                Ok(text) => (None, Some(BASE64.encode(text.as_bytes())), None),
                Err(bytes) => (None, Some(BASE64.encode(bytes.as_bytes())), None),
            },
        };
        Ok(GetOutput { object, text, content_base64, payload_ref })
    }

    /// Looks at an object.
    pub(super) async fn head(self: Arc<Self>, context: CallContext, input: HeadInput) -> Done<ObjectOutput> {
        let path = self.path(&input.key)?;
        let opened = self.open(&context).await?;
        let options = GetOptions { head: true, version: input.version, ..GetOptions::default() };
        let found = opened.told(opened.store.get_opts(&path, options).await)?;
        Ok(ObjectOutput::new(input.key, &found.meta, &found.attributes))
    }

    /// Lists keys, a page at a time.
    pub(super) async fn list(self: Arc<Self>, context: CallContext, input: ListInput) -> Done<ListOutput> {
        let opened = self.open(&context).await?;
        let options = PaginatedListOptions {
            delimiter: input.delimiter.map(Into::into),
            max_keys: Some(input.max_keys.into()),
            page_token: input.page,
            ..PaginatedListOptions::default()
        };
        let beginning = self.settings.prefix.beginning(&input.prefix);
        let page = opened.told(opened.store.list_paginated(beginning.as_deref(), options).await)?;
        let prefix = &self.settings.prefix;
        let object = |meta: &object_store::ObjectMeta| {
            prefix.key(meta.location.as_ref()).map(|key| ListedObject::new(key, meta))
        };
        // The library takes the delimiter off their ends; with it they are what the next call's `prefix` is.
        let begin = |place: &Path| prefix.key(place.as_ref()).map(|start| format!("{start}/"));
        Ok(ListOutput {
            objects: page.result.objects.iter().filter_map(object).collect(),
            prefixes: page.result.common_prefixes.iter().filter_map(begin).collect(),
            next_page: page.page_token,
        })
    }

    /// Deletes an object. One that is not there is deleted already.
    pub(super) async fn delete(self: Arc<Self>, context: CallContext, input: DeleteInput) -> Done<DeleteOutput> {
        let path = self.path(&input.key)?;
        let opened = self.open(&context).await?;
        opened.told(opened.store.delete(&path).await)?;
        Ok(DeleteOutput { key: input.key })
    }

    /// Copies an object within the bucket; the store does it by itself.
    pub(super) async fn copy(self: Arc<Self>, context: CallContext, input: CopyInput) -> Done<CopyOutput> {
        let (from, to) = (self.path(&input.from)?, self.path(&input.to)?);
        let opened = self.open(&context).await?;
        opened.told(opened.store.copy(&from, &to).await)?;
        Ok(CopyOutput { from: input.from, to: input.to })
    }

    /// Signs a URL. Asks nobody.
    pub(super) async fn presign(self: Arc<Self>, context: CallContext, input: PresignInput) -> Done<PresignOutput> {
        let path = self.path(&input.key)?;
        let method = match input.method {
            PresignMethod::Get => http::Method::GET,
            PresignMethod::Put => http::Method::PUT,
        };
        let (mut options, mut headers) = (SignedUrlOptions::new(), BTreeMap::new());
        if let Some(kind) = input.content_type {
            let value = HeaderValue::from_str(&kind).map_err(|_| unsendable("the media type cannot be sent"))?;
            options = options.with_signed_header(CONTENT_TYPE, value);
            headers.insert(CONTENT_TYPE.to_string(), kind);
        }
        let opened = self.open(&context).await?;
        let expires = Duration::from_secs(input.expires_s.into());
        let signed = opened.store.signed_url_opts(method.clone(), &path, expires, &options).await;
        let url = signed.map_err(|_| unsendable("the URL cannot be signed"))?;
        Ok(PresignOutput { url: url.into(), method: method.to_string(), headers, expires_s: input.expires_s })
    }

    /// Asks for one key: whether the bucket is there, and we may look into it.
    pub(super) async fn health(self: Arc<Self>, context: CallContext) -> Done<()> {
        let opened = self.open(&context).await?;
        let options = PaginatedListOptions { max_keys: Some(1), ..PaginatedListOptions::default() };
        let beginning = self.settings.prefix.beginning("");
        opened.told(opened.store.list_paginated(beginning.as_deref(), options).await).map(drop)
    }

    fn path(&self, key: &str) -> Done<Path> {
        self.settings.prefix.path(key).map_err(unsendable)
    }
}

fn attributes(input: &PutInput) -> Attributes {
    let mut attributes = Attributes::new();
    for (attribute, value) in [
        (Attribute::ContentType, &input.content_type),
        (Attribute::ContentDisposition, &input.content_disposition),
        (Attribute::ContentEncoding, &input.content_encoding),
        (Attribute::CacheControl, &input.cache_control),
    ] {
        if let Some(value) = value {
            attributes.insert(attribute, value.clone().into());
        }
    }
    for (name, value) in &input.metadata {
        attributes.insert(Attribute::Metadata(name.clone().into()), value.clone().into());
    }
    attributes
}

pub(super) fn unsendable(detail: &str) -> CallError {
    CallError::new(CallErrorKind::Rejected, Sent::No, detail)
}
