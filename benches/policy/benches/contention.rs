//! The stack under two threads: all calls through one stack, and spread over ten thousand of them, beside one thread alone.
//! What counts is the ratio: one lane that is hot must not cost much more than a lane of one's own.

use std::future::{Ready, ready};
use std::hint::black_box;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use orchestrator_core::policy::{ClassifyErrors, NoObserver, PolicyRequest, PolicyStack, PolicyState, stack};
use orchestrator_types::{BreakerPolicy, ConcurrencyPolicy, OnLimit, Policy, RateLimitPolicy, RetryPolicy};
use tower::{BoxError, Service};

#[derive(Debug, Clone, Copy)]
struct Call;

impl PolicyRequest for Call {
    fn idempotent(&self) -> bool {
        true
    }
}

#[derive(Debug, Clone, Copy)]
struct Upstream;

impl Service<Call> for Upstream {
    type Response = u32;
    type Error = BoxError;
    type Future = Ready<Result<u32, BoxError>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _call: Call) -> Self::Future {
        ready(Ok(1))
    }
}

type Stack = PolicyStack<Upstream, ClassifyErrors, NoObserver>;

fn lane() -> Stack {
    let policy = Policy {
        retry: Some(RetryPolicy::default()),
        breaker: Some(BreakerPolicy::default()),
        rate_limit: Some(RateLimitPolicy { per_second: 100_000_000.0, burst: 1_000_000, on_limit: OnLimit::Reject }),
        concurrency: Some(ConcurrencyPolicy { max: 100, ..ConcurrencyPolicy::default() }),
        ..Policy::default()
    };
    stack(&policy, &PolicyState::new(&policy), ClassifyErrors, NoObserver, Upstream)
}

/// One call, polled to its end: the upstream is always ready.
fn call(stack: &mut Stack) {
    let mut call = pin!(stack.call(Call));
    let polled = call.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    let _ = black_box(polled.is_ready());
}

/// How long `threads` take for `calls` each, over their own clones of `stacks`.
fn timed(threads: usize, calls: u64, stacks: &Arc<Vec<Stack>>) -> Duration {
    let start = Instant::now();
    thread::scope(|scope| {
        for number in 0..threads {
            scope.spawn(move || {
                let mut mine: Vec<Stack> = stacks.to_vec();
                let mut at = number;
                for _ in 0..calls {
                    at = (at + 7_919) % mine.len();
                    call(&mut mine[at]);
                }
            });
        }
    });
    start.elapsed()
}

fn contention(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("contention");
    let one = Arc::new(vec![lane()]);
    let many = Arc::new((0..10_000).map(|_| lane()).collect::<Vec<_>>());
    for (name, threads, stacks) in [
        ("1 thread, 1 stack", 1, &one),
        ("2 threads, 1 stack", 2, &one),
        ("1 thread, 10,000 stacks", 1, &many),
        ("2 threads, 10,000 stacks", 2, &many),
    ] {
        group.bench_function(name, |bencher| {
            // Enough calls a sample that starting the threads and cloning the stacks does not show.
            bencher.iter_custom(|iterations| timed(threads, iterations * 1_000, stacks) / 1_000);
        });
    }
    group.finish();
}

criterion_group!(benches, contention);
criterion_main!(benches);
