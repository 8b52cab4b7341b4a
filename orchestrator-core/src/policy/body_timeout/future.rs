//! The future of a call whose body is under a timeout.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

use super::TimeoutBody;
use crate::policy::request::Until;

pin_project! {
    /// The response, its body under the timeout.
    pub struct ResponseFuture<F, Sc> {
        #[pin]
        call: F,
        scope: Option<Sc>,
        until: Until,
    }
}

impl<F, Sc> ResponseFuture<F, Sc> {
    pub(super) fn new(call: F, until: Until, scope: Sc) -> Self {
        Self { call, scope: Some(scope), until }
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
        Poll::Ready(Ok(response.map(|body| TimeoutBody::new(body, *this.until, scope))))
    }
}
