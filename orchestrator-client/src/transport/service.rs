//! What stands between a call and the network: a tower service, so that anybody's layers fit around it.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http_body::{Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyDataStream, BodyExt};
use tower::util::BoxCloneSyncService;
use tower::{Layer, Service, ServiceExt};

/// An error of a layer or of the connection.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Which operation of the contract a request is: its `operationId` in the OpenAPI document. Every request carries it in its
/// extensions, so that a layer can count and name requests without looking at their paths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Operation(pub &'static str);

/// The body of a request or an answer as layers see it: bytes that are there, or a stream of them.
pub struct Body(Content);

enum Content {
    Whole(Bytes),
    Stream(UnsyncBoxBody<Bytes, BoxError>),
}

impl Body {
    /// No bytes.
    #[must_use]
    pub const fn empty() -> Self {
        Self(Content::Whole(Bytes::new()))
    }

    /// Any other body: what a layer made of ours.
    pub fn wrap<B>(body: B) -> Self
    where
        B: http_body::Body + Send + 'static,
        B::Data: Into<Bytes>,
        B::Error: Into<BoxError>,
    {
        Self(Content::Stream(body.map_frame(|frame| frame.map_data(Into::into)).map_err(Into::into).boxed_unsync()))
    }

    /// Its bytes, if they are all there; the body of each request that this client makes is.
    #[must_use]
    pub const fn as_bytes(&self) -> Option<&Bytes> {
        match &self.0 {
            Content::Whole(bytes) => Some(bytes),
            Content::Stream(_) => None,
        }
    }

    /// The same body once more, if its bytes are all there.
    #[must_use]
    pub fn try_clone(&self) -> Option<Self> {
        self.as_bytes().cloned().map(Self::from)
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self(Content::Whole(bytes))
    }
}

impl Default for Body {
    fn default() -> Self {
        Self::empty()
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut self.0 {
            Content::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Content::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Content::Stream(stream) => Pin::new(stream).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Content::Whole(bytes) => bytes.is_empty(),
            Content::Stream(stream) => stream.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Content::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Content::Stream(stream) => stream.size_hint(),
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not its bytes: they may hold a secret.
        out.debug_struct("Body").field("bytes", &self.as_bytes().map(Bytes::len)).finish_non_exhaustive()
    }
}

/// The service that each try of a call goes through: what [`ClientBuilder::layer`](crate::ClientBuilder::layer) wraps. It is always
/// ready, and a clone shares the connections.
#[derive(Clone)]
pub struct HttpService(BoxCloneSyncService<http::Request<Body>, http::Response<Body>, BoxError>);

impl HttpService {
    /// The innermost: the connections themselves.
    pub(crate) fn over(http: reqwest::Client) -> Self {
        Self(BoxCloneSyncService::new(tower::service_fn(move |request: http::Request<Body>| {
            let http = http.clone();
            async move {
                let request = request.map(|body| match body.0 {
                    Content::Whole(bytes) => reqwest::Body::from(bytes),
                    Content::Stream(stream) => reqwest::Body::wrap_stream(BodyDataStream::new(stream)),
                });
                let answer = http.execute(request.try_into()?).await?;
                Ok(http::Response::from(answer).map(Body::wrap))
            }
        })))
    }

    /// Itself within `layer`.
    pub(crate) fn within<L, B>(self, layer: &L) -> Self
    where
        L: Layer<Self>,
        L::Service: Service<http::Request<Body>, Response = http::Response<B>> + Clone + Send + Sync + 'static,
        <L::Service as Service<http::Request<Body>>>::Error: Into<BoxError>,
        <L::Service as Service<http::Request<Body>>>::Future: Send + 'static,
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let service = layer.layer(self).map_response(|answer: http::Response<B>| answer.map(Body::wrap));
        Self(BoxCloneSyncService::new(service.map_err(Into::into)))
    }

    /// Sends a request, once every layer is ready for it.
    pub(crate) async fn send(&self, request: http::Request<Body>) -> Result<http::Response<Body>, BoxError> {
        self.0.clone().oneshot(request).await
    }
}

impl Service<http::Request<Body>> for HttpService {
    type Response = http::Response<Body>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<http::Response<Body>, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        self.0.call(request)
    }
}

impl fmt::Debug for HttpService {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("HttpService")
    }
}
