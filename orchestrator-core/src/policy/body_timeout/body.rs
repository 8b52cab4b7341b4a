//! A body under a timeout.

use std::pin::Pin;
use std::task::{Context, Poll};

use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tower::BoxError;

use crate::policy::observe::{PolicyEvent, Scope};
use crate::policy::request::Until;
use crate::policy::timer::Timer;

/// The body did not end within its timeout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the body did not end within its timeout")]
pub struct BodyTimedOut;

pin_project! {
    /// A body that fails with [`BodyTimedOut`] when it has not ended in time, and ends with that.
    pub struct TimeoutBody<B, Sc> {
        #[pin]
        body: Option<B>,
        #[pin]
        timer: Timer,
        until: Until,
        scope: Sc,
    }
}

impl<B, Sc> TimeoutBody<B, Sc> {
    pub(super) fn new(body: B, until: Until, scope: Sc) -> Self {
        Self { body: Some(body), timer: Timer::unset(), until, scope }
    }
}

impl<B, Sc> Body for TimeoutBody<B, Sc>
where
    B: Body,
    B::Error: Into<BoxError>,
    Sc: Scope,
{
    type Data = B::Data;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, BoxError>>> {
        let mut this = self.project();
        let Some(body) = this.body.as_mut().as_pin_mut() else { return Poll::Ready(None) };
        // The timer goes first: a body that drips is always ready with a little more.
        if this.timer.poll(|| this.until.moment(), cx).is_ready() {
            this.scope.event(PolicyEvent::DeadlineExceeded { total: this.until.elapsed() });
            // Whoever keeps this body does not keep the connection.
            this.body.set(None);
            return Poll::Ready(Some(Err(BodyTimedOut.into())));
        }
        body.poll_frame(cx).map_err(Into::into)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}
