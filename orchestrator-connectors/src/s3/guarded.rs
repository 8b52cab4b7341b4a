//! The way out for `object_store`: each of its requests is one of the guarded client's.

use async_trait::async_trait;
use http::{HeaderValue, Method, Response};
use http_body_util::BodyExt;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody, HttpService,
};
use orchestrator_core::connector::{CallError, CallErrorKind, Sent};
use url::Url;

use super::failure::Seen;
use crate::egress::{BodyLimit, EgressAnswer, EgressClient, EgressLimits};

/// A page of a thousand keys, each of the greatest length and escaped, is smaller.
const LARGEST_LIST: usize = 8 << 20;

/// Makes the requests of one call.
#[derive(Debug, Clone)]
pub(super) struct Guarded {
    pub(super) client: EgressClient,
    pub(super) traceparent: HeaderValue,
    /// Whether an object comes as it is read, and whoever reads it bounds it.
    pub(super) streams: bool,
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
        let streams = self.streams && parts.method == Method::GET;
        let answer = self.client.begin(parts.method, url, headers, body).await?;
        if streams && answer.status().is_success() {
            self.seen.went_well();
            return Ok(self.as_it_comes(answer));
        }
        let limits = EgressLimits { success: BodyLimit::Whole(LARGEST_LIST), ..EgressLimits::default() };
        let answer = EgressAnswer::read(answer, limits).await?;
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

    fn as_it_comes(&self, answer: reqwest::Response) -> HttpResponse {
        let (parts, body) = Response::from(answer).into_parts();
        let seen = self.seen.clone();
        let body = body.map_err(move |_| {
            let failed = CallError::new(CallErrorKind::Failed, Sent::Maybe, "the object broke off");
            seen.was_not_answered(failed.clone());
            HttpError::new(HttpErrorKind::Interrupted, failed)
        });
        HttpResponse::from_parts(parts, HttpResponseBody::new(body))
    }
}
