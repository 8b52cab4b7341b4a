#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::sync::Arc;
use std::time::Duration;

use orchestrator_types::{BreakerHold, BreakerPolicy, SlowCallPolicy};
use tokio::time::Instant;
use tower::{Layer, Service};

use super::state::{Admission, Circuit, Pass};
use super::window::BUCKETS;
use super::*;
use crate::policy::fixture::{
    ByFailure, CALL, DOWN, FAIL, Failure, HANG, OK, Recorder, Step, Upstream, drop_after, slow,
};
use crate::policy::{Class, NoObserver, PolicyEvent, Sent};

const FAILED: Class = Class::Retryable { retry_after: None, sent: Sent::Maybe };

fn policy() -> BreakerPolicy {
    BreakerPolicy {
        window_s: 10,
        min_calls: 4,
        failure_ratio: 0.5,
        open_s: 5,
        half_open_calls: 2,
        ..BreakerPolicy::default()
    }
}

fn broken_by(upstream: Upstream) -> (Arc<CircuitBreaker>, Breaker<Upstream, ByFailure, NoObserver>) {
    let state = Arc::new(CircuitBreaker::new(&policy()));
    let service = BreakerLayer::new(Arc::clone(&state), ByFailure).layer(upstream);
    (state, service)
}

#[tokio::test(start_paused = true)]
async fn inv_20_it_opens_at_its_ratio_and_minimum_of_calls_and_not_before() {
    let upstream = Upstream::plays([OK, FAIL, FAIL, OK], OK);
    let (state, mut service) = broken_by(upstream.clone());
    for _ in 0..3 {
        let _ = service.call(CALL).await;
        assert_eq!(state.snapshot().status, BreakerStatus::Closed);
    }
    // The fourth call makes the minimum, and half of them failed.
    assert!(service.call(CALL).await.is_ok());
    let snapshot = state.snapshot();
    assert_eq!((snapshot.status, snapshot.counts.calls, snapshot.counts.failures), (BreakerStatus::Open, 4, 2));
    assert_eq!(service.call(CALL).await, Err(Failure::BreakerOpen(Duration::from_secs(5))));
    assert_eq!(upstream.calls(), 4);
}

#[tokio::test(start_paused = true)]
async fn inv_20_half_open_exactly_so_many_probes_pass_and_their_success_closes_it() {
    let upstream = Upstream::plays([FAIL, FAIL, FAIL, FAIL], slow(10));
    let (state, mut service) = broken_by(upstream.clone());
    for _ in 0..4 {
        assert_eq!(service.call(CALL).await, Err(DOWN));
    }
    tokio::time::advance(Duration::from_secs(5)).await;
    let probes = [service.call(CALL), service.call(CALL)];
    assert!(matches!(service.call(CALL).await, Err(Failure::BreakerOpen(_))));
    for probe in probes {
        assert!(probe.await.is_ok());
    }
    assert_eq!(upstream.calls(), 6);
    let snapshot = state.snapshot();
    assert_eq!((snapshot.status, snapshot.counts.calls, snapshot.counts.failures), (BreakerStatus::Closed, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn inv_20_one_probe_that_fails_opens_it_again() {
    let (state, mut service) = broken_by(Upstream::always(FAIL));
    for _ in 0..4 {
        assert_eq!(service.call(CALL).await, Err(DOWN));
    }
    tokio::time::advance(Duration::from_secs(5)).await;
    assert_eq!(service.call(CALL).await, Err(DOWN));
    assert_eq!(state.snapshot().retry_after, Duration::from_secs(5));
    assert!(matches!(service.call(CALL).await, Err(Failure::BreakerOpen(_))));
}

#[tokio::test(start_paused = true)]
async fn inv_20_a_result_of_an_earlier_state_counts_for_nothing() {
    let upstream = Upstream::plays([slow(5_500), FAIL, FAIL, FAIL, FAIL], slow(10));
    let (state, mut service) = broken_by(upstream);
    let late = tokio::spawn(service.call(CALL));
    tokio::task::yield_now().await;
    for _ in 0..4 {
        assert_eq!(service.call(CALL).await, Err(DOWN));
    }
    tokio::time::advance(Duration::from_secs(5)).await;
    // Half-open, with one of two probes under way when the success of the closed time arrives.
    let probe = service.call(CALL);
    assert!(late.await.unwrap().is_ok());
    assert_eq!(state.snapshot().status, BreakerStatus::HalfOpen);
    assert!(probe.await.is_ok());
    assert_eq!(state.snapshot().status, BreakerStatus::HalfOpen);
}

#[tokio::test(start_paused = true)]
async fn inv_22_a_probe_dropped_after_any_number_of_polls_can_be_used_again() {
    for polls in 0..4 {
        let upstream = Upstream::plays([FAIL, FAIL, FAIL, FAIL], HANG);
        let (state, mut service) = broken_by(upstream);
        for _ in 0..4 {
            assert_eq!(service.call(CALL).await, Err(DOWN));
        }
        tokio::time::advance(Duration::from_secs(5)).await;
        for _ in 0..20 {
            assert!(!drop_after(polls, Duration::from_millis(1), service.call(CALL)).await);
        }
        assert_eq!(state.snapshot().retry_after, Duration::ZERO);
    }
}

#[tokio::test(start_paused = true)]
async fn each_change_is_told_with_the_calls_it_was_decided_on() {
    let recorder = Recorder::default();
    let state = Arc::new(CircuitBreaker::new(&policy()));
    let upstream = Upstream::plays([FAIL, FAIL, FAIL, FAIL], OK);
    let mut service = BreakerLayer::new(state, ByFailure).observed_by(recorder.clone()).layer(upstream);
    for _ in 0..5 {
        let _ = service.call(CALL).await;
    }
    tokio::time::advance(Duration::from_secs(5)).await;
    for _ in 0..2 {
        let _ = service.call(CALL).await;
    }
    let (closed, open, half) = (BreakerStatus::Closed, BreakerStatus::Open, BreakerStatus::HalfOpen);
    let admitted = |event: &PolicyEvent| matches!(event, PolicyEvent::BreakerAdmitted { .. });
    let (admitted, told): (Vec<_>, Vec<_>) = recorder.events().into_iter().partition(admitted);
    // Each attempt that was let through, with what was in the window then.
    let windows = [(closed, 0), (closed, 1), (closed, 2), (closed, 3), (half, 4), (half, 4)];
    let counted =
        |(status, n)| PolicyEvent::BreakerAdmitted { status, counts: Counts { calls: n, failures: n, slow: 0 } };
    assert_eq!(admitted, windows.map(counted));
    assert_eq!(
        told,
        [
            PolicyEvent::BreakerTransition {
                from: closed,
                to: open,
                counts: Counts { calls: 4, failures: 4, slow: 0 }
            },
            PolicyEvent::BreakerRejected {
                status: open,
                counts: Counts { calls: 4, failures: 4, slow: 0 },
                retry_after: Duration::from_secs(5),
                held: false,
            },
            PolicyEvent::BreakerTransition { from: open, to: half, counts: Counts { calls: 4, failures: 4, slow: 0 } },
            PolicyEvent::BreakerTransition {
                from: half,
                to: closed,
                counts: Counts { calls: 4, failures: 4, slow: 0 }
            },
        ]
    );
}

/// The breaker again, written as plainly as it can be: every call is remembered, nothing is counted ahead.
struct Model {
    policy: BreakerPolicy,
    now: u128,
    status: BreakerStatus,
    since: u128,
    epoch: u32,
    log: Vec<(u128, bool)>,
    probes: Vec<u32>,
    succeeded: u32,
    next: u32,
}

impl Model {
    fn bucket(&self, at: u128) -> u128 {
        at / (u128::from(self.policy.window_s) * 1_000 / BUCKETS as u128)
    }

    fn change(&mut self, status: BreakerStatus) {
        self.status = status;
        self.since = self.now;
        self.epoch += 1;
        self.probes.clear();
        self.succeeded = 0;
    }

    fn admit(&mut self) -> Option<(u32, u32)> {
        if self.status == BreakerStatus::Open && self.now - self.since >= u128::from(self.policy.open_s) * 1_000 {
            self.change(BreakerStatus::HalfOpen);
        }
        let used = u32::try_from(self.probes.len()).unwrap() + self.succeeded;
        match self.status {
            BreakerStatus::Open => return None,
            BreakerStatus::HalfOpen if used >= self.policy.half_open_calls => return None,
            _ => {}
        }
        self.next += 1;
        self.probes.push(self.next);
        Some((self.epoch, self.next))
    }

    fn end(&mut self, (epoch, id): (u32, u32), failed: Option<bool>) {
        if epoch != self.epoch {
            return;
        }
        self.probes.retain(|probe| *probe != id);
        let Some(failed) = failed else { return };
        if self.status == BreakerStatus::Closed {
            self.log.push((self.now, failed));
            let oldest = (self.bucket(self.now) + 1).saturating_sub(BUCKETS as u128);
            let window: Vec<_> = self.log.iter().filter(|(at, _)| self.bucket(*at) >= oldest).collect();
            let failures = window.iter().filter(|(_, failed)| *failed).count();
            let enough = window.len() >= self.policy.min_calls as usize;
            if enough && failures > 0 && failures as f64 >= self.policy.failure_ratio * window.len() as f64 {
                self.change(BreakerStatus::Open);
            }
        } else if failed {
            self.change(BreakerStatus::Open);
        } else {
            self.succeeded += 1;
            if self.succeeded >= self.policy.half_open_calls {
                self.change(BreakerStatus::Closed);
                self.log.clear();
            }
        }
    }
}

#[test]
fn inv_20_through_a_thousand_cycles_with_cancellations_it_does_what_the_model_does() {
    let (mut cycles, mut seed) = (0, 0);
    while cycles < 1_000 {
        seed += 1;
        cycles += run_beside_the_model(seed);
    }
}

/// Some thousand random steps on both; how often they went all the way round from open to half-open.
fn run_beside_the_model(seed: u64) -> u32 {
    let mut random = fastrand::Rng::with_seed(seed);
    let policy = BreakerPolicy {
        window_s: random.u64(1..=10) * 2,
        min_calls: random.u32(1..=8),
        failure_ratio: f64::from(random.u32(1..=10)) / 10.0,
        open_s: random.u64(1..=5),
        half_open_calls: random.u32(1..=4),
        ..BreakerPolicy::default()
    };
    let start = Instant::now();
    let mut circuit = Circuit::new(&BreakerBuilder::from(&policy), start);
    let mut model = Model {
        policy: policy.clone(),
        now: 0,
        status: BreakerStatus::Closed,
        since: 0,
        epoch: 0,
        log: Vec::new(),
        probes: Vec::new(),
        succeeded: 0,
        next: 0,
    };
    let mut running: Vec<(Pass, (u32, u32))> = Vec::new();
    let mut cycles = 0;
    for step in 0..3_000 {
        let millis = model.now;
        let now = start + Duration::from_millis(u64::try_from(millis).unwrap());
        match random.u32(0..10) {
            0..4 => {
                let Admission { pass: admitted, transition, .. } = circuit.admit(now);
                cycles += u32::from(transition.is_some());
                let expected = model.admit();
                assert_eq!(admitted.is_ok(), expected.is_some(), "seed {seed}, step {step}");
                running.extend(admitted.ok().zip(expected));
            }
            4..8 if !running.is_empty() => {
                let (pass, id) = running.swap_remove(random.usize(..running.len()));
                let class = [Class::Success, Class::Final, Class::Ignored, FAILED, FAILED][random.usize(..5)];
                circuit.complete(pass, class, now);
                model.end(id, if class == Class::Ignored { None } else { Some(class == FAILED) });
            }
            8 if !running.is_empty() => {
                let (pass, id) = running.swap_remove(random.usize(..running.len()));
                circuit.cancel(pass, now);
                model.end(id, None);
            }
            _ => model.now += u128::from(random.u64(0..1_500)),
        }
        let now = start + Duration::from_millis(u64::try_from(model.now).unwrap());
        let over = model.now - model.since >= u128::from(policy.open_s) * 1_000;
        let expected = if model.status == BreakerStatus::Open && over { BreakerStatus::HalfOpen } else { model.status };
        assert_eq!(circuit.snapshot(now).status, expected, "seed {seed}, step {step}");
    }
    // However it stands: with everything under way cancelled and its time over, it lets a call through.
    let now = start + Duration::from_millis(u64::try_from(model.now).unwrap()) + Duration::from_secs(policy.open_s);
    for (pass, _) in running {
        assert_eq!(circuit.cancel(pass, now), None);
    }
    assert!(circuit.admit(now).pass.is_ok(), "seed {seed}");
    cycles
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_answers_too_slowly_opens_it() {
    let slow_calls = Some(SlowCallPolicy { over_ms: 100, ratio: 0.5 });
    let state = Arc::new(CircuitBreaker::new(&BreakerPolicy { slow: slow_calls, ..policy() }));
    let upstream = Upstream::plays([slow(100), slow(100), slow(101), slow(101)], OK);
    let mut service = BreakerLayer::new(Arc::clone(&state), ByFailure).layer(upstream);
    for _ in 0..4 {
        assert!(service.call(CALL).await.is_ok());
    }
    let snapshot = state.snapshot();
    assert_eq!((snapshot.status, snapshot.counts), (BreakerStatus::Open, Counts { calls: 4, failures: 0, slow: 2 }));
}

#[tokio::test(start_paused = true)]
async fn a_slow_probe_opens_it_again() {
    let slow_calls = Some(SlowCallPolicy { over_ms: 100, ratio: 1.0 });
    let state = Arc::new(CircuitBreaker::new(&BreakerPolicy { slow: slow_calls, ..policy() }));
    let upstream = Upstream::plays([FAIL, FAIL, FAIL, FAIL], slow(200));
    let mut service = BreakerLayer::new(Arc::clone(&state), ByFailure).layer(upstream);
    for _ in 0..4 {
        assert_eq!(service.call(CALL).await, Err(DOWN));
    }
    tokio::time::advance(Duration::from_secs(5)).await;
    assert!(service.call(CALL).await.is_ok());
    assert_eq!(state.snapshot().status, BreakerStatus::Open);
}

#[tokio::test(start_paused = true)]
async fn over_a_window_of_calls_time_does_not_matter() {
    let state = Arc::new(CircuitBreaker::new(&BreakerPolicy { window_calls: Some(4), ..policy() }));
    let upstream = Upstream::plays([FAIL, OK, OK, OK, FAIL], FAIL);
    let mut service = BreakerLayer::new(Arc::clone(&state), ByFailure).layer(upstream);
    for _ in 0..5 {
        let _ = service.call(CALL).await;
        tokio::time::advance(Duration::from_secs(3_600)).await;
        assert_eq!(state.snapshot().status, BreakerStatus::Closed);
    }
    // The first failure has left the window; with this one two of the last four failed.
    assert_eq!(service.call(CALL).await, Err(DOWN));
    assert_eq!(state.snapshot().status, BreakerStatus::Open);
}

#[tokio::test(start_paused = true)]
async fn held_open_nothing_is_sent_and_held_closed_everything_is() {
    let upstream = Upstream::always(FAIL);
    let (state, mut service) = broken_by(upstream.clone());
    state.hold(Some(BreakerHold::Open));
    for _ in 0..3 {
        assert!(matches!(service.call(CALL).await, Err(Failure::BreakerOpen(_))));
        tokio::time::advance(Duration::from_secs(3_600)).await;
    }
    assert_eq!(upstream.calls(), 0);
    assert!(state.snapshot().held);
    state.hold(Some(BreakerHold::Closed));
    for _ in 0..20 {
        assert_eq!(service.call(CALL).await, Err(DOWN));
    }
    // Let go, it begins anew: it takes as many failures as ever to open it.
    state.hold(None);
    for _ in 0..4 {
        assert_eq!(service.call(CALL).await, Err(DOWN));
    }
    assert!(matches!(service.call(CALL).await, Err(Failure::BreakerOpen(_))));
    assert_eq!(upstream.calls(), 24);
}

#[tokio::test(start_paused = true)]
async fn what_was_let_through_before_a_hold_counts_for_nothing_after_it() {
    let (state, mut service) = broken_by(Upstream::always(Step(Duration::from_millis(10), Err(DOWN))));
    let before: Vec<_> = (0..4).map(|_| service.call(CALL)).collect();
    state.hold(Some(BreakerHold::Closed));
    state.hold(None);
    for call in before {
        assert_eq!(call.await, Err(DOWN));
    }
    let snapshot = state.snapshot();
    assert_eq!((snapshot.status, snapshot.counts.calls), (BreakerStatus::Closed, 0));
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_is_given_up_after_it_was_slow_counts_as_slow() {
    let slow_calls = Some(SlowCallPolicy { over_ms: 100, ratio: 1.0 });
    let state = Arc::new(CircuitBreaker::new(&BreakerPolicy { slow: slow_calls, ..policy() }));
    let recorder = Recorder::default();
    let layer = BreakerLayer::new(Arc::clone(&state), ByFailure).observed_by(recorder.clone());
    let mut service = layer.layer(Upstream::always(HANG));
    // One that was given up early says nothing; four that a deadline cut late open it.
    assert!(!drop_after(1, Duration::from_millis(100), service.call(CALL)).await);
    assert_eq!(state.snapshot().counts.calls, 0);
    for _ in 0..4 {
        assert!(!drop_after(1, Duration::from_millis(101), service.call(CALL)).await);
    }
    assert_eq!(state.snapshot().status, BreakerStatus::Open);
    assert!(matches!(recorder.events().last(), Some(PolicyEvent::BreakerTransition { to: BreakerStatus::Open, .. })));
}
