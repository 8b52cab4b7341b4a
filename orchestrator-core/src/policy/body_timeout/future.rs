//! The future of a call whose body is under a timeout.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use tokio::time::Instant;

use super::TimeoutBody;

pin_project! {
    /// The response, its body under the timeout.
    pub struct ResponseFuture<F, Sc> {
        #[pin]
        call: F,
        scope: Option<Sc>,
        started: Instant,
        until: Instant,
    }
}

impl<F, Sc> ResponseFuture<F, Sc> {
    pub(super) fn new(call: F, started: Instant, until: Instant, scope: Sc) -> Self {
        Self { call, scope: Some(scope), started, until }
    }
}

impl<F, Sc, B, Err> Future for ResponseFuture<F, Sc>
where
    F: Future<Output = Result<http::Response<B>, Err>>,
{
    type Output = Result<http::Response<TimeoutBody<B, Sc>>, Err>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let response = ready!(this.call.poll(cx))?;
        let Some(scope) = this.scope.take() else { return Poll::Pending };
        Poll::Ready(Ok(response.map(|body| TimeoutBody::new(body, *this.started, *this.until, scope))))
    }
}
