//! The whole policy stack allocates nothing while all goes well, and a lane at rest takes little. Alone in its binary, because
//! the counter is the allocator of the whole process.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests, one of which tells its figure")]

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use orchestrator_core::policy::{AttemptTimedOut, BreakerOpen, ConcurrencyLimited, DeadlineExceeded, RateLimited};
use orchestrator_core::policy::{Class, NoObserver, PolicyRequest, PolicyStack, PolicyState, Sent, classify_fn, stack};
use orchestrator_types::{BreakerPolicy, ConcurrencyPolicy, OnLimit, Policy, RateLimitPolicy, RetryPolicy};
use tower::Service;

#[derive(Debug, Clone, Copy)]
struct Call;

impl PolicyRequest for Call {
    fn idempotent(&self) -> bool {
        true
    }
}

#[derive(Debug, PartialEq)]
struct Failure;

macro_rules! failure_from {
    ($($rejection:ty),*) => {
        $(impl From<$rejection> for Failure {
            fn from(_: $rejection) -> Self {
                Self
            }
        })*
    };
}

failure_from!(AttemptTimedOut, BreakerOpen, ConcurrencyLimited, DeadlineExceeded, RateLimited);

/// Answers at the `after`-th poll, so that the timers of the layers are really set.
#[derive(Clone)]
struct Upstream {
    after: u32,
}

struct Answer(u32);

impl Future for Answer {
    type Output = Result<u32, Failure>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.0 == 0 {
            return Poll::Ready(Ok(200));
        }
        self.0 -= 1;
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Service<Call> for Upstream {
    type Response = u32;
    type Error = Failure;
    type Future = Answer;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _request: Call) -> Answer {
        Answer(self.after)
    }
}

fn classify(result: Result<&u32, &Failure>) -> Class {
    if result.is_ok() { Class::Success } else { Class::Retryable { retry_after: None, sent: Sent::Maybe } }
}

fn polled_to_its_end<C>(service: &mut PolicyStack<Upstream, C, NoObserver>) -> Result<u32, Failure>
where
    C: orchestrator_core::policy::Classify<u32, Failure> + Clone,
{
    let mut call = pin!(service.call(Call));
    let mut cx = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(result) = call.as_mut().poll(&mut cx) {
            return result;
        }
    }
}

#[test]
fn a_call_that_goes_well_allocates_nothing() {
    let policy = Policy {
        retry: Some(RetryPolicy::default()),
        breaker: Some(BreakerPolicy::default()),
        rate_limit: Some(RateLimitPolicy { per_second: 1_000.0, burst: 10_000, on_limit: OnLimit::Wait }),
        concurrency: Some(ConcurrencyPolicy::default()),
        ..Policy::default()
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let _entered = runtime.enter();
    for after in [0, 1, 5] {
        let state = PolicyState::new(&policy);
        let mut service = stack(&policy, &state, classify_fn(classify), NoObserver, Upstream { after });
        println!("the future of a call: {} bytes", size_of_val(&service.call(Call)));
        // What the runtime and the thread set up once is not the stack's.
        assert_eq!(polled_to_its_end(&mut service), Ok(200));
        let counted = allocation_counter::measure(|| {
            for _ in 0..100 {
                assert_eq!(polled_to_its_end(&mut service), Ok(200));
            }
        });
        assert_eq!((counted.count_total, counted.bytes_total), (0, 0), "answered at poll {after}");
    }
    // The counter counts: a retry policy that is built is an allocation.
    let counted = allocation_counter::measure(|| drop(PolicyState::new(&policy)));
    assert!(counted.count_total > 0);
}

#[test]
fn inv_37_a_lane_at_rest_takes_less_than_a_kibibyte() {
    let policy = Policy {
        retry: Some(RetryPolicy::default()),
        breaker: Some(BreakerPolicy::default()),
        rate_limit: Some(RateLimitPolicy::default()),
        concurrency: Some(ConcurrencyPolicy::default()),
        ..Policy::default()
    };
    let lane = || {
        let state = PolicyState::new(&policy);
        let service = stack(&policy, &state, classify_fn(classify), NoObserver, Upstream { after: 0 });
        (state, service)
    };
    let mut kept = None;
    let counted = allocation_counter::measure(|| kept = Some(lane()));
    let on_the_heap = usize::try_from(counted.bytes_current).unwrap();
    let beside = kept.as_ref().map_or(0, size_of_val);
    println!("a lane at rest: {on_the_heap} bytes on the heap, {beside} beside it");
    assert!(on_the_heap > 0 && on_the_heap + beside < 1_024, "{on_the_heap} + {beside}");
}
