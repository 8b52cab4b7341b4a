//! One `s3` connector of a workspace: its credentials, and the store of one call.

use std::time::Duration;

use http::HeaderValue;
use object_store::aws::{AmazonS3, AmazonS3Builder, S3ConditionalPut};
use object_store::{BackoffConfig, RetryConfig};
use orchestrator_core::connector::{CallContext, CallError, CallErrorKind, SecretSlots, Sent};
use orchestrator_core::secrets::Secret;
use orchestrator_types::FieldError;

use super::failure::Seen;
use super::guarded::Guarded;
use super::settings::S3Settings;
use crate::egress::EgressClient;

pub(super) struct S3Connector {
    client: EgressClient,
    pub(super) settings: S3Settings,
    secrets: SecretSlots,
}

/// The store of one call, and how its requests went.
pub(super) struct Opened {
    pub(super) store: AmazonS3,
    pub(super) seen: Seen,
}

impl Opened {
    /// The outcome of something that the store was asked, with what was seen on the way in place of the library's error,
    /// which holds URLs.
    pub(super) fn told<T>(&self, outcome: object_store::Result<T>) -> Result<T, CallError> {
        outcome.map_err(|problem| self.failed(problem))
    }

    /// What was seen on the way, in place of the library's error.
    pub(super) fn failed(&self, _: object_store::Error) -> CallError {
        self.seen.failure()
    }
}

impl S3Connector {
    /// # Errors
    /// Slots are filled that do not go together.
    pub(super) fn new(
        client: EgressClient,
        settings: S3Settings,
        secrets: SecretSlots,
    ) -> Result<Self, Vec<FieldError>> {
        let mut problems = Vec::new();
        if secrets.has("access_key_id") != secrets.has("secret_access_key") {
            let problem = "fill both of the slots `access_key_id` and `secret_access_key`, or neither";
            problems.push(FieldError::new("", problem));
        }
        if secrets.has("session_token") && !secrets.has("access_key_id") {
            problems.push(FieldError::new("", "the slot `session_token` is filled, but not `access_key_id`"));
        }
        if problems.is_empty() { Ok(Self { client, settings, secrets }) } else { Err(problems) }
    }

    pub(super) fn signs(&self) -> bool {
        self.secrets.has("access_key_id")
    }

    /// The store, as one call sees it. Nothing is sent.
    ///
    /// # Errors
    /// A secret cannot be had now, or objects would go in clear where they must not.
    pub(super) async fn open(&self, context: &CallContext) -> Result<Opened, CallError> {
        self.open_so(context, false).await
    }

    /// The same for reading an object as it comes; whoever reads it bounds it.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub(super) async fn open_to_read(&self, context: &CallContext) -> Result<Opened, CallError> {
        self.open_so(context, true).await
    }

    async fn open_so(&self, context: &CallContext, streams: bool) -> Result<Opened, CallError> {
        let settings = &self.settings;
        if let Some(endpoint) = settings.endpoint.as_ref().filter(|endpoint| endpoint.scheme() == "http")
            && !self.client.leads_inside(endpoint).await?
        {
            let detail = "objects go in clear only to addresses inside: give an `https` endpoint";
            return Err(CallError::new(CallErrorKind::DestinationForbidden, Sent::No, detail));
        }
        let seen = Seen::default();
        let guarded = Guarded {
            client: self.client.clone(),
            traceparent: HeaderValue::from_str(&context.trace_id.traceparent()).map_err(|_| unopened())?,
            streams,
            seen: seen.clone(),
        };
        let builder = AmazonS3Builder::new()
            .with_bucket_name(&settings.bucket)
            .with_region(&settings.region)
            .with_virtual_hosted_style_request(settings.virtual_host)
            .with_conditional_put(S3ConditionalPut::ETagMatch)
            .with_disable_bulk_delete(true)
            .with_retry(never())
            .with_http_connector(guarded);
        let builder = match &settings.endpoint {
            Some(endpoint) => builder.with_endpoint(endpoint.as_str().trim_end_matches('/')),
            None => builder,
        };
        let store = self.signed(builder).await?.build().map_err(|_| unopened())?;
        Ok(Opened { store, seen })
    }

    async fn signed(&self, builder: AmazonS3Builder) -> Result<AmazonS3Builder, CallError> {
        if !self.signs() {
            return Ok(builder.with_skip_signature(true));
        }
        let (id, key) = (self.secret("access_key_id").await?, self.secret("secret_access_key").await?);
        let (Some(id), Some(key)) = (id, key) else { return Err(unavailable("access_key_id")) };
        let builder = builder.with_access_key_id(id.expose()).with_secret_access_key(key.expose());
        Ok(match self.secret("session_token").await? {
            Some(token) => builder.with_token(token.expose()),
            None => builder,
        })
    }

    async fn secret(&self, slot: &str) -> Result<Option<Secret>, CallError> {
        let secret = self.secrets.get(slot).await.map_err(|_| unavailable(slot))?;
        // What a header cannot carry would be refused deep inside of the library.
        match secret {
            Some(secret) if HeaderValue::from_str(secret.expose()).is_err() => {
                let detail = format!(
                    "the secret slot `{slot}` holds characters that a header cannot carry: has it a line break at its end?"
                );
                Err(CallError::new(CallErrorKind::SecretUnavailable, Sent::No, detail))
            }
            secret => Ok(secret),
        }
    }
}

/// Attempts are the policies'.
fn never() -> RetryConfig {
    RetryConfig { backoff: BackoffConfig::default(), max_retries: 0, retry_timeout: Duration::ZERO }
}

fn unavailable(slot: &str) -> CallError {
    CallError::new(CallErrorKind::SecretUnavailable, Sent::No, format!("the secret slot `{slot}` cannot be read now"))
}

fn unopened() -> CallError {
    CallError::new(CallErrorKind::Rejected, Sent::No, "the object store cannot be addressed by these settings")
}
