#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use orchestrator_types::ConcurrencyPolicy;
use tower::{Layer, Service};

use super::*;
use crate::policy::PolicyEvent;
use crate::policy::fixture::{CALL, Call, Failure, HANG, Recorder, Upstream, drop_after, slow};

fn limited(max: u32, queue: u32, upstream: Upstream) -> (Arc<Bulkhead>, Concurrency<Upstream>) {
    let bulkhead = Arc::new(Bulkhead::new(&ConcurrencyPolicy { max, queue, adaptive: None }));
    let service = ConcurrencyLayer::new(Arc::clone(&bulkhead)).layer(upstream);
    (bulkhead, service)
}

#[tokio::test(start_paused = true)]
async fn no_more_calls_than_places_are_in_flight() {
    let upstream = Upstream::always(slow(10));
    let (bulkhead, mut service) = limited(3, 100, upstream.clone());
    let results = join_all((0..50).map(|_| service.call(CALL))).await;
    assert!(results.iter().all(Result::is_ok));
    assert_eq!(upstream.most(), 3);
    assert_eq!((bulkhead.in_flight(), bulkhead.waiting()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn places_are_given_in_the_order_of_arrival() {
    let (_, mut service) = limited(1, 100, Upstream::always(slow(10)));
    // The upstream answers with the number of the call that reached it.
    let results = join_all((0..20).map(|_| service.call(CALL))).await;
    assert_eq!(results, (1..=20).map(Ok).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn beyond_its_queue_calls_are_refused_at_once() {
    let (bulkhead, mut service) = limited(1, 1, Upstream::always(HANG));
    let _running = service.call(CALL);
    let _queued = service.call(CALL);
    assert_eq!(service.call(CALL).await, Err(Failure::ConcurrencyLimited));
    assert_eq!((bulkhead.in_flight(), bulkhead.waiting()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_may_not_wait_is_refused_though_the_queue_has_room() {
    let (_, mut service) = limited(1, 10, Upstream::always(HANG));
    let _running = service.call(CALL);
    let job = Call { may_wait: false, ..CALL };
    assert_eq!(service.call(job).await, Err(Failure::ConcurrencyLimited));
}

#[tokio::test(start_paused = true)]
async fn what_it_decided_is_told_with_its_numbers() {
    let recorder = Recorder::default();
    let bulkhead = Arc::new(Bulkhead::new(&ConcurrencyPolicy { max: 1, queue: 1, adaptive: None }));
    let mut service = ConcurrencyLayer::new(bulkhead).observed_by(recorder.clone()).layer(Upstream::always(slow(10)));
    let (first, second) = (service.call(CALL), service.call(CALL));
    assert!(service.call(CALL).await.is_err());
    let _ = futures_util::join!(first, second);
    assert_eq!(
        recorder.events(),
        [
            PolicyEvent::ConcurrencyAdmitted { in_flight: 1, max: 1 },
            PolicyEvent::ConcurrencyRejected { max: 1, waiting: 1 },
            PolicyEvent::ConcurrencyWaited { wait: Duration::from_millis(10), max: 1 },
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn inv_22_a_turn_that_is_given_up_lets_the_next_one_move_up() {
    let (bulkhead, mut service) = limited(1, 10, Upstream::always(slow(10)));
    let first = service.call(CALL);
    let given_up = service.call(CALL);
    let last = service.call(CALL);
    drop(given_up);
    assert_eq!(bulkhead.waiting(), 1);
    let (first, last) = futures_util::join!(first, last);
    assert_eq!((first, last), (Ok(1), Ok(2)));
}

#[tokio::test(start_paused = true)]
async fn inv_22_a_place_that_was_handed_over_and_not_taken_goes_to_the_next() {
    let (bulkhead, mut service) = limited(1, 10, Upstream::always(slow(10)));
    let first = service.call(CALL);
    let handed = service.call(CALL);
    let last = service.call(CALL);
    // The place of the first goes to the second, which never looks.
    drop(first);
    assert_eq!((bulkhead.in_flight(), bulkhead.waiting()), (1, 1));
    drop(handed);
    assert_eq!((bulkhead.in_flight(), bulkhead.waiting()), (1, 0));
    assert!(last.await.is_ok());
    assert_eq!(bulkhead.in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn inv_22_dropped_after_any_number_of_polls_it_holds_nothing() {
    let mut endings = Vec::new();
    for polls in 0..15 {
        let (bulkhead, mut service) = limited(1, 1, Upstream::always(slow(20)));
        let before = tokio::spawn(service.call(CALL));
        endings.push(drop_after(polls, Duration::from_millis(5), service.call(CALL)).await);
        before.await.unwrap().unwrap();
        assert_eq!((bulkhead.in_flight(), bulkhead.waiting()), (0, 0), "{polls} polls");
    }
    // From the very first moment of its wait to the end of its call.
    assert_eq!((endings.first(), endings.last()), (Some(&false), Some(&true)));
}

#[tokio::test(start_paused = true)]
async fn more_places_let_those_in_who_wait_and_fewer_throw_nobody_out() {
    let upstream = Upstream::always(slow(10));
    let (bulkhead, mut service) = limited(1, 10, upstream.clone());
    let calls: Vec<_> = (0..6).map(|_| tokio::spawn(service.call(CALL))).collect();
    tokio::task::yield_now().await;
    bulkhead.resize(&ConcurrencyPolicy { max: 3, queue: 10, adaptive: None });
    assert_eq!(bulkhead.in_flight(), 3);
    tokio::task::yield_now().await;
    assert_eq!(upstream.in_flight(), 3);
    bulkhead.resize(&ConcurrencyPolicy { max: 1, queue: 10, adaptive: None });
    assert_eq!(bulkhead.in_flight(), 3);
    for call in calls {
        call.await.unwrap().unwrap();
    }
    assert_eq!((upstream.most(), bulkhead.in_flight()), (3, 0));
}

#[tokio::test(start_paused = true)]
async fn without_a_bulkhead_every_call_passes() {
    let upstream = Upstream::always(slow(1));
    let mut service = ConcurrencyLayer::new(None).layer(upstream.clone());
    join_all((0..50).map(|_| service.call(CALL))).await;
    assert_eq!(upstream.most(), 50);
}
