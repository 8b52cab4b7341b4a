//! The way out for `object_store`: each of its requests is one of the guarded client's.

use async_trait::async_trait;
use http::{HeaderValue, Response};
use http_body_util::BodyExt;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService,
};
use orchestrator_core::connector::{CallError, CallErrorKind, Sent};
use url::Url;

use super::failure::Seen;
use crate::egress::{BodyLimit, EgressClient, EgressLimits};

/// Makes the requests of one call.
#[derive(Debug, Clone)]
pub(super) struct Guarded {
    pub(super) client: EgressClient,
    pub(super) traceparent: HeaderValue,
    /// The most that is read of an answer that is a success.
    pub(super) most: usize,
    pub(super) seen: Seen,
}

impl HttpConnector for Guarded {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

#[async_trait]
impl HttpService for Guarded {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        self.exchange(request).await.map_err(|error| {
            let kind = if error.sent == Sent::No { HttpErrorKind::Connect } else { HttpErrorKind::Unknown };
            self.seen.was_not_answered(error.clone());
            HttpError::new(kind, error)
        })
    }
}

impl Guarded {
    async fn exchange(&self, request: HttpRequest) -> Result<HttpResponse, CallError> {
        let unsendable = || CallError::new(CallErrorKind::Rejected, Sent::No, "the request cannot be sent over HTTP");
        let (parts, body) = request.into_parts();
        let url = Url::parse(&parts.uri.to_string()).map_err(|_| unsendable())?;
        let body = body.collect().await.map_err(|_| unsendable())?.to_bytes();
        let mut headers = parts.headers;
        headers.insert("traceparent", self.traceparent.clone());
        let limits = EgressLimits { success: BodyLimit::Whole(self.most), ..EgressLimits::default() };
        let answer = self.client.send(parts.method, url, headers, body, limits).await?;
        if answer.status.is_success() {
            self.seen.went_well();
        } else {
            self.seen.was_refused(&answer);
        }
        let mut response = Response::new(answer.body.into());
        *response.status_mut() = answer.status;
        *response.headers_mut() = answer.headers;
        Ok(response)
    }
}
