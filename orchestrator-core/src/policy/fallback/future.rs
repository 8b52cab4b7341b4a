//! The future of a call with a fallback.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

use super::Substitute;
use crate::policy::observe::{PolicyEvent, Scope};

pin_project! {
    /// The response, the fallback's, or the failure.
    pub struct ResponseFuture<F, Sub, Req, Sc> {
        #[pin]
        call: F,
        instead: Option<(Sub, Req, Sc)>,
    }
}

impl<F, Sub, Req, Sc> ResponseFuture<F, Sub, Req, Sc> {
    pub(super) fn new(call: F, instead: Option<(Sub, Req, Sc)>) -> Self {
        Self { call, instead }
    }
}

impl<F, Sub, Req, Sc, Res, Err> Future for ResponseFuture<F, Sub, Req, Sc>
where
    F: Future<Output = Result<Res, Err>>,
    Sub: Substitute<Req, Res, Err>,
    Sc: Scope,
{
    type Output = Result<Res, Err>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let result = ready!(this.call.poll(cx));
        let Err(error) = &result else { return Poll::Ready(result) };
        let Some((substitute, request, scope)) = this.instead else { return Poll::Ready(result) };
        match substitute.substitute(request, error) {
            Some(response) => {
                scope.event(PolicyEvent::FellBack);
                Poll::Ready(Ok(response))
            }
            None => Poll::Ready(result),
        }
    }
}
