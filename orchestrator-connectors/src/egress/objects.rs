//! The guard as object stores want it: every request of theirs leaves through it.

use async_trait::async_trait;
use http_body_util::BodyExt;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody, HttpService,
};
use url::Url;

use super::client::EgressClient;

/// Makes clients of object stores that reach what the guard lets them reach.
#[derive(Debug, Clone)]
pub struct GuardedObjects(EgressClient);

impl EgressClient {
    /// The same guard for an object store: give it to the builder of one.
    #[must_use]
    pub fn for_objects(&self) -> GuardedObjects {
        GuardedObjects(self.clone())
    }
}

impl HttpConnector for GuardedObjects {
    /// What the options say of proxies, names and certificates is not heard: the guard has its own.
    fn connect(&self, _options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

#[async_trait]
impl HttpService for GuardedObjects {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let (parts, body) = request.into_parts();
        let url: Url = parts.uri.to_string().parse().map_err(|error| HttpError::new(HttpErrorKind::Request, error))?;
        let client = self.0.guarded(&url).map_err(|refusal| HttpError::new(HttpErrorKind::Request, refusal))?;
        let length = body.content_length();
        let mut request = client.request(parts.method, url).headers(parts.headers);
        if length > 0 {
            // Its length is announced: not every store takes a body in chunks.
            request = request.header(http::header::CONTENT_LENGTH, length).body(reqwest::Body::wrap(body));
        }
        let response = request.send().await.map_err(failed)?;
        let (parts, body) = http::Response::from(response).into_parts();
        Ok(HttpResponse::from_parts(parts, HttpResponseBody::new(body.map_err(failed))))
    }
}

/// What is worth another try. The address is left out: it may hold a signature.
fn failed(error: reqwest::Error) -> HttpError {
    let kind = if error.is_timeout() {
        HttpErrorKind::Timeout
    } else if error.is_connect() {
        HttpErrorKind::Connect
    } else if error.is_body() || error.is_decode() {
        HttpErrorKind::Interrupted
    } else {
        HttpErrorKind::Request
    };
    HttpError::new(kind, error.without_url())
}
