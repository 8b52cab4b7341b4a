//! Every interleaving of what threads share, explored by loom: run by `cargo xtask interleavings`, which builds with
//! `--cfg interleavings`. Small models: two threads, a few steps each, and what must hold however they meet.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use loom::sync::atomic::{AtomicU32, Ordering};
use loom::thread;
use orchestrator_types::{BreakerHold, BreakerPolicy};

use super::breaker::{BreakerStatus, CircuitBreaker};
use super::places::{Entered, Places};
use super::rate_limit::lease::{Lease, LimitKey, SharedLimit, Stock, Taken};
use super::retry::{Budget, FLOOR_BURST};
use super::{Class, Sent};

const FAILED: Class = Class::Retryable { retry_after: None, sent: Sent::Maybe };

#[test]
fn inv_19_a_retry_that_was_earned_once_is_spent_once() {
    loom::model(|| {
        let budget = Arc::new(Budget::new(0.5));
        (0..FLOOR_BURST).for_each(|_| assert!(budget.withdraw()));
        // Two calls earn one retry between them, and both want it.
        let threads = [0, 1].map(|_| {
            let budget = Arc::clone(&budget);
            thread::spawn(move || {
                budget.deposit();
                u32::from(budget.withdraw())
            })
        });
        let spent: u32 = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
        assert!(spent <= 1, "{spent}");
        assert_eq!(spent + u32::from(budget.withdraw()), 1);
    });
}

#[test]
fn no_more_are_in_than_there_are_places_and_nobody_is_forgotten() {
    loom::model(|| {
        let places = Places::new(1, 1);
        let inside = Arc::new(AtomicU32::new(0));
        let thread = {
            let (places, inside) = (Arc::clone(&places), Arc::clone(&inside));
            thread::spawn(move || visit(&places, &inside))
        };
        visit(&places, &inside);
        thread.join().unwrap();
        assert_eq!(places.counts(), (0, 0, 1));
    });
}

/// Goes in if there is a place; else waits in the queue, looks once, and gives up.
fn visit(places: &Arc<Places>, inside: &AtomicU32) {
    let place = match places.enter(true) {
        Entered::Place(place, ..) => Some(place),
        Entered::Turn(mut turn) => match turn.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(place) => Some(place),
            Poll::Pending => None,
        },
        Entered::Full { .. } => None,
    };
    if let Some(place) = place {
        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "two in one place");
        inside.fetch_sub(1, Ordering::SeqCst);
        drop(place);
    }
}

#[test]
fn inv_22_a_place_that_is_handed_over_while_its_turn_is_given_up_is_free_again() {
    loom::model(|| {
        let places = Places::new(1, 1);
        let Entered::Place(place, ..) = places.enter(true) else { return };
        let Entered::Turn(turn) = places.enter(true) else { return };
        let thread = thread::spawn(move || drop(place));
        drop(turn);
        thread.join().unwrap();
        assert_eq!(places.counts(), (0, 0, 1));
    });
}

#[test]
fn more_places_reach_who_waits_however_they_meet() {
    loom::model(|| {
        let places = Places::new(1, 2);
        let Entered::Place(_held, ..) = places.enter(true) else { return };
        let thread = {
            let places = Arc::clone(&places);
            thread::spawn(move || places.resize(2, 2))
        };
        let entered = places.enter(true);
        thread.join().unwrap();
        let inside = match entered {
            Entered::Place(..) => true,
            Entered::Turn(mut turn) => turn.poll(&mut Context::from_waker(Waker::noop())).is_ready(),
            Entered::Full { .. } => false,
        };
        assert!(inside, "there are two places, and one is taken");
    });
}

/// One that was opened by a failure, and whose time is over.
fn half_open(probes: u32) -> Arc<CircuitBreaker> {
    let policy = BreakerPolicy { min_calls: 1, open_s: 0, half_open_calls: probes, ..BreakerPolicy::default() };
    let breaker = Arc::new(CircuitBreaker::new(&policy));
    let pass = breaker.admit().pass.unwrap();
    assert!(breaker.complete(pass, FAILED).is_some());
    breaker
}

#[test]
fn inv_20_exactly_one_probe_passes_however_many_come() {
    loom::model(|| {
        let breaker = half_open(1);
        let threads = [0, 1].map(|_| {
            let breaker = Arc::clone(&breaker);
            thread::spawn(move || u32::from(breaker.admit().pass.is_ok()))
        });
        assert_eq!(threads.into_iter().map(|thread| thread.join().unwrap()).sum::<u32>(), 1);
    });
}

#[test]
fn inv_20_a_probe_that_is_cancelled_is_never_lost() {
    loom::model(|| {
        let breaker = half_open(1);
        let probe = breaker.admit().pass.unwrap();
        let thread = {
            let breaker = Arc::clone(&breaker);
            thread::spawn(move || breaker.cancel(probe))
        };
        let passed = breaker.admit().pass.is_ok();
        thread.join().unwrap();
        assert_ne!(passed, breaker.admit().pass.is_ok(), "the probe is used, or there for the next");
    });
}

#[test]
fn inv_20_two_results_at_once_leave_it_in_one_state() {
    loom::model(|| {
        let breaker = half_open(2);
        let (one, other) = (breaker.admit().pass.unwrap(), breaker.admit().pass.unwrap());
        let thread = {
            let breaker = Arc::clone(&breaker);
            thread::spawn(move || breaker.complete(one, Class::Success).is_some())
        };
        let opened = breaker.complete(other, FAILED).is_some();
        let closed = thread.join().unwrap();
        assert!(opened && !closed);
        // Open for no time: half-open again, with both probes.
        assert_eq!(breaker.snapshot().status, BreakerStatus::HalfOpen);
    });
}

#[test]
fn a_hold_and_a_result_at_once_leave_it_held() {
    loom::model(|| {
        let breaker = half_open(1);
        let probe = breaker.admit().pass.unwrap();
        let thread = {
            let breaker = Arc::clone(&breaker);
            thread::spawn(move || breaker.hold(Some(BreakerHold::Open)))
        };
        breaker.complete(probe, Class::Success);
        thread.join().unwrap();
        assert!(breaker.snapshot().held && breaker.admit().pass.is_err());
    });
}

#[test]
fn inv_21_a_leased_token_is_taken_once_and_the_next_lot_asked_for_once() {
    loom::model(|| {
        let lane = LimitKey {
            workspace: "buildos-dev".parse().unwrap(),
            delivery: false,
            target: "billing-api".parse().unwrap(),
        };
        let stock = Arc::new(Stock::new(SharedLimit { lane, period: Duration::from_millis(100), burst: 10 }));
        stock.answered(Some(Lease { tokens: 1, retry_after: Duration::ZERO }));
        let threads = [0, 1].map(|_| {
            let stock = Arc::clone(&stock);
            thread::spawn(move || {
                let (taken, low) = stock.take();
                (u32::from(matches!(taken, Taken::Token(_))), u32::from(low))
            })
        });
        let (taken, asked) = threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .fold((0, 0), |(taken, asked), (token, low)| (taken + token, asked + low));
        assert_eq!((taken, asked), (1, 1));
    });
}
