//! A request body that must come at a minimum rate.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};

use super::limits::EdgeLimits;

/// Why a body ended before its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    /// It came too slowly.
    #[error("the body came too slowly")]
    TooSlow,
    /// The connection broke, or its framing is not sound.
    #[error("the body is broken")]
    Broken(#[source] hyper::Error),
}

/// The body: after the grace it must have brought the rate's worth of bytes for each second since it began.
pub(super) struct Paced<B> {
    inner: B,
    deadline: Pin<Box<Sleep>>,
    started: Instant,
    grace: Duration,
    rate: u32,
    received: u64,
}

impl<B> Paced<B> {
    pub(super) fn new(inner: B, limits: &EdgeLimits) -> Self {
        let started = Instant::now();
        Self {
            inner,
            deadline: Box::pin(sleep_until(started + limits.body_grace)),
            started,
            grace: limits.body_grace,
            rate: limits.body_min_rate.max(1),
            received: 0,
        }
    }

    fn received(&mut self, bytes: usize) {
        self.received = self.received.saturating_add(bytes as u64);
        let earned = Duration::from_millis(self.received.saturating_mul(1_000) / u64::from(self.rate));
        let deadline = self.started.checked_add(self.grace + earned);
        if let Some(deadline) = deadline {
            self.deadline.as_mut().reset(deadline);
        }
    }
}

impl<B: Body<Data = Bytes, Error = hyper::Error> + Unpin> Body for Paced<B> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.inner).poll_frame(cx) {
            if let Some(Ok(frame)) = &frame {
                self.received(frame.data_ref().map_or(0, Bytes::len));
            }
            return Poll::Ready(frame.map(|frame| frame.map_err(BodyError::Broken)));
        }
        ready!(self.deadline.as_mut().poll(cx));
        Poll::Ready(Some(Err(BodyError::TooSlow)))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::collections::VecDeque;

    use http_body_util::BodyExt;

    use super::*;

    /// Brings so many bytes after so many seconds each.
    struct Drip {
        pieces: VecDeque<(u64, usize)>,
        wait: Option<Pin<Box<Sleep>>>,
    }

    impl Body for Drip {
        type Data = Bytes;
        type Error = hyper::Error;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
            let Some((seconds, bytes)) = self.pieces.front().copied() else { return Poll::Ready(None) };
            let wait =
                self.wait.get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + Duration::from_secs(seconds))));
            ready!(wait.as_mut().poll(cx));
            (self.wait, _) = (None, self.pieces.pop_front());
            Poll::Ready(Some(Ok(Frame::data(vec![0; bytes].into()))))
        }
    }

    async fn outcome(pieces: &[(u64, usize)]) -> Result<usize, BodyError> {
        let drip = Drip { pieces: pieces.iter().copied().collect(), wait: None };
        let limits = EdgeLimits { body_min_rate: 1_000, ..EdgeLimits::default() };
        Paced::new(drip, &limits).collect().await.map(|body| body.to_bytes().len())
    }

    #[tokio::test(start_paused = true)]
    async fn inv_41_a_body_that_drips_is_cut_and_a_steady_one_is_not() {
        assert!(matches!(outcome(&[(1, 1); 60]).await, Err(BodyError::TooSlow)));
        assert!(matches!(outcome(&[(11, 1)]).await, Err(BodyError::TooSlow)));
        assert_eq!(outcome(&[(9, 5)]).await.unwrap(), 5);
        assert_eq!(outcome(&[(1, 1_000); 60]).await.unwrap(), 60_000);
    }
}
