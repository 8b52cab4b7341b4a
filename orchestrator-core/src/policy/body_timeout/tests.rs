#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full, StreamBody};
use tokio::time::{Instant, sleep};
use tower::{BoxError, Layer, ServiceExt, service_fn};

use super::*;
use crate::policy::PolicyEvent;
use crate::policy::fixture::Recorder;

const TOTAL: Duration = Duration::from_secs(2);

/// A byte each so many milliseconds, without an end.
fn drips(millis: u64) -> impl Body<Data = Bytes, Error = BoxError> {
    StreamBody::new(Box::pin(stream::unfold((), move |()| async move {
        sleep(Duration::from_millis(millis)).await;
        Some((Ok::<_, BoxError>(Frame::data(Bytes::from_static(b"."))), ()))
    })))
}

#[tokio::test(start_paused = true)]
async fn inv_18_a_body_that_drips_without_an_end_is_left_at_the_timeout() {
    for millis in [0, 1, 300, 60_000] {
        let recorder = Recorder::default();
        let upstream = service_fn(move |_: http::Request<()>| async move {
            sleep(Duration::from_millis(500)).await;
            Ok::<_, BoxError>(http::Response::new(drips(millis)))
        });
        let service = BodyTimeoutLayer::new(TOTAL).observed_by(recorder.clone()).layer(upstream);
        let start = Instant::now();
        let mut body = Box::pin(service.oneshot(http::Request::new(())).await.unwrap().into_body());
        let mut frames = 0_u32;
        let error = loop {
            // A body that is ready each time it is asked lets no time pass: then the test does.
            if millis == 0 {
                tokio::time::advance(Duration::from_millis(1)).await;
            }
            match body.frame().await.unwrap() {
                Ok(_) => frames += 1,
                Err(error) => break error,
            }
        };
        assert!(error.is::<BodyTimedOut>());
        assert!(
            start.elapsed() >= TOTAL && start.elapsed() <= TOTAL + Duration::from_millis(2),
            "{:?}",
            start.elapsed()
        );
        assert!(body.frame().await.is_none() && body.is_end_stream());
        assert_eq!(frames > 0, millis < 1_500);
        assert!(matches!(recorder.events()[..], [PolicyEvent::DeadlineExceeded { .. }]));
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_in_time_passes_as_it_is() {
    let upstream = service_fn(|_: http::Request<()>| async {
        Ok::<_, BoxError>(http::Response::new(Full::new(Bytes::from("hello"))))
    });
    let service = BodyTimeoutLayer::new(TOTAL).layer(upstream);
    let body = service.oneshot(http::Request::new(())).await.unwrap().into_body();
    assert_eq!(body.size_hint().exact(), Some(5));
    assert_eq!(body.collect().await.unwrap().to_bytes(), "hello");
}
