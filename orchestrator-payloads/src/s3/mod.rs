//! Objects in a bucket of S3, or of a service that speaks as it does: `{prefix}/{environment}/{workspace}/{id}`.
//!
//! How requests leave is the caller's to give: the server gives a connector that goes through its egress guard.

mod settings;
mod upload;

use std::future::Future;
use std::ops::Range;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{StreamExt, TryStreamExt};
use object_store::aws::{AmazonS3, AmazonS3Builder, S3ConditionalPut};
use object_store::client::HttpConnector;
use object_store::path::Path;
use object_store::{
    BackoffConfig, Error as StoreError, GetOptions, GetRange, ObjectStore, ObjectStoreExt, RetryConfig,
};
use orchestrator_core::payload::{Broken, ByteStream, Object, ObjectError, PayloadKey, PayloadScope, PayloadStore};
use orchestrator_types::PayloadId;
use tokio::time::timeout;

pub use settings::{S3Settings, SettingsError};

/// How long one request may take, its repetitions included.
const REQUEST: Duration = Duration::from_secs(60);
const RETRIES: usize = 3;

/// Objects in a bucket.
#[derive(Debug)]
pub struct S3Payloads {
    bucket: AmazonS3,
    prefix: Path,
}

impl S3Payloads {
    /// The bucket of these settings, reached by `http`. Nothing is sent yet.
    ///
    /// # Errors
    /// A setting cannot work.
    pub fn new(settings: &S3Settings, http: impl HttpConnector) -> Result<Self, SettingsError> {
        // What is not set here is taken from AWS's own variables: credentials above all.
        let mut builder = AmazonS3Builder::from_env()
            .with_bucket_name(&settings.bucket)
            .with_conditional_put(S3ConditionalPut::ETagMatch)
            .with_http_connector(http)
            .with_retry(RetryConfig {
                max_retries: RETRIES,
                retry_timeout: REQUEST,
                backoff: BackoffConfig::default(),
            });
        if let Some(region) = &settings.region {
            builder = builder.with_region(region);
        }
        if let Some(endpoint) = &settings.endpoint {
            builder = builder.with_endpoint(endpoint).with_allow_http(endpoint.starts_with("http://"));
        }
        if let Some((id, secret)) = &settings.credentials {
            builder = builder.with_access_key_id(id).with_secret_access_key(secret.expose());
        }
        // The builder's own words may hold what was set.
        let bucket = builder.build().map_err(|_| SettingsError::Client)?;
        let prefix = Path::parse(&settings.prefix).map_err(|_| SettingsError::Prefix)?;
        Ok(Self { bucket, prefix })
    }

    fn scope(&self, scope: &PayloadScope) -> Path {
        self.prefix.clone().join(scope.environment.as_str()).join(scope.workspace.as_str())
    }

    fn place(&self, key: &PayloadKey) -> Path {
        self.scope(&key.scope).join(key.id.to_string())
    }

    /// The part of an object that there is, when a range was refused.
    async fn nothing_of(&self, place: &Path, range: &Range<u64>, refused: StoreError) -> Result<Object, ObjectError> {
        let about = timely(self.bucket.head(place)).await?;
        if range.start >= about.size || range.is_empty() {
            return Ok(Object { size: about.size, body: futures_util::stream::empty().boxed() });
        }
        Err(failed(refused))
    }
}

/// Does a request, but not for ever.
async fn timely<T>(request: impl Future<Output = object_store::Result<T>>) -> Result<T, ObjectError> {
    match timeout(REQUEST, request).await {
        Ok(done) => done.map_err(failed),
        Err(late) => Err(ObjectError::unavailable(late)),
    }
}

fn failed(error: StoreError) -> ObjectError {
    match error {
        StoreError::NotFound { .. } => ObjectError::NotFound,
        StoreError::AlreadyExists { .. } | StoreError::Precondition { .. } => ObjectError::Exists,
        other => ObjectError::unavailable(other),
    }
}

#[async_trait]
impl PayloadStore for S3Payloads {
    fn name(&self) -> &'static str {
        "s3"
    }

    async fn put(&self, key: &PayloadKey, body: ByteStream) -> Result<u64, ObjectError> {
        upload::put(&self.bucket, &self.place(key), body).await
    }

    async fn get(&self, key: &PayloadKey, range: Option<Range<u64>>) -> Result<Object, ObjectError> {
        let place = self.place(key);
        if let Some(range) = range.as_ref().filter(|range| range.is_empty()) {
            return self
                .nothing_of(
                    &place,
                    range,
                    StoreError::NotImplemented { operation: "an empty range".to_owned(), implementer: "S3".to_owned() },
                )
                .await;
        }
        let options = GetOptions { range: range.clone().map(GetRange::Bounded), ..GetOptions::default() };
        let found = match (timeout(REQUEST, self.bucket.get_opts(&place, options)).await, range) {
            (Ok(Ok(found)), _) => found,
            (Ok(Err(StoreError::NotFound { .. })), _) => return Err(ObjectError::NotFound),
            (Ok(Err(error)), Some(range)) => return self.nothing_of(&place, &range, error).await,
            (Ok(Err(error)), None) => return Err(failed(error)),
            (Err(late), _) => return Err(ObjectError::unavailable(late)),
        };
        let size = found.meta.size;
        Ok(Object { size, body: found.into_stream().map_err(Broken::from).boxed() })
    }

    async fn delete(&self, key: &PayloadKey) -> Result<(), ObjectError> {
        match timely(self.bucket.delete(&self.place(key))).await {
            Err(ObjectError::NotFound) => Ok(()),
            done => done,
        }
    }

    async fn list(
        &self,
        scope: &PayloadScope,
        after: Option<PayloadId>,
        limit: usize,
    ) -> Result<Vec<PayloadId>, ObjectError> {
        let folder = self.scope(scope);
        let found = match after {
            Some(after) => self.bucket.list_with_offset(Some(&folder), &folder.clone().join(after.to_string())),
            None => self.bucket.list(Some(&folder)),
        };
        let ids = found.try_filter_map(|about| {
            let own =
                about.location.prefix_matches(&folder) && about.location.parts_count() == folder.parts_count() + 1;
            let id: Option<PayloadId> = about.location.filename().filter(|_| own).and_then(|name| name.parse().ok());
            futures_util::future::ready(Ok(id))
        });
        timely(ids.take(limit).try_collect()).await
    }

    async fn ping(&self) -> Result<(), ObjectError> {
        let probe = self.prefix.clone().join(format!("probe-{}", PayloadId::new()));
        timely(self.bucket.put(&probe, Vec::from(&b"probe"[..]).into())).await?;
        timely(self.bucket.delete(&probe)).await
    }
}
