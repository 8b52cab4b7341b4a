//! A change of a workspace's config: it may be bound to what the caller has seen.

use std::future::IntoFuture;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::HeaderName;
use http::header::IF_MATCH;
use orchestrator_types::ConfigVersionSummary;

use crate::answer::{Answer, ETag};
use crate::client::Client;
use crate::error::Error;
use crate::transport::Call;

const TAKE_ROUTES: HeaderName = HeaderName::from_static("take-routes");

/// A change of the config: await it for the version that it leaves, and its new validator.
#[must_use = "nothing is sent before it is awaited"]
pub struct ConfigChange {
    client: Client,
    call: Call,
}

impl ConfigChange {
    pub(super) fn new(client: &Client, call: Call) -> Self {
        Self { client: client.clone(), call }
    }

    /// Only if the config is still the one that this validator came with; else it is refused with 412.
    pub fn if_match(self, etag: &ETag) -> Self {
        Self { call: self.call.header(IF_MATCH, etag.as_str()), ..self }
    }

    /// Takes the webhook routes that it names from the workspaces that hold them, rather than being refused with `route_taken`.
    /// For the install's administrator only.
    pub fn take_routes(self) -> Self {
        Self { call: self.call.header(TAKE_ROUTES, "true"), ..self }
    }
}

impl IntoFuture for ConfigChange {
    type Output = Result<Answer<ConfigVersionSummary>, Error>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        async move { self.client.answer(&self.call).await }.boxed()
    }
}
