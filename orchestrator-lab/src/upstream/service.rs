//! The upstream as a service, innermost under the policy's layers.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pin_project_lite::pin_project;
use tokio::time::{Sleep, sleep};
use tower::{BoxError, Service};

use super::latency::Distribution;
use super::queue::Queue;
use crate::call::{Call, UpstreamFailure};
use crate::measure::Shared;
use crate::scenario::{Failure, UpstreamState};

/// How long a refusal at the door takes.
const AT_THE_DOOR: Duration = Duration::from_millis(1);
const LIKE_NEW: Latent = Latent { failing: None, ratio: 0.0 };

#[derive(Debug, Clone)]
struct Latent {
    failing: Option<Failure>,
    ratio: f64,
}

/// What the upstream would do with a request that comes now.
#[derive(Debug)]
pub(crate) struct Answering {
    state: Latent,
    latency: Distribution,
    queue: Queue,
    random: fastrand::Rng,
}

/// What it does with one.
enum Answer {
    After(Duration, Result<(), UpstreamFailure>),
    Never,
}

impl Answering {
    pub(crate) fn new(seed: u64) -> Self {
        let well = UpstreamState::default();
        Self {
            state: LIKE_NEW,
            latency: Distribution::new(&well.latency),
            queue: Queue::default(),
            random: fastrand::Rng::with_seed(seed),
        }
    }

    /// From now on it is like this.
    pub(crate) fn becomes(&mut self, state: &UpstreamState, now: u64) {
        self.state = match &state.failing {
            Some(failing) => Latent { failing: Some(failing.failure.clone()), ratio: failing.ratio },
            None => LIKE_NEW,
        };
        self.latency = Distribution::new(&state.latency);
        self.queue.resize(state.workers, state.backlog, now);
    }

    /// How many waited when the last request came.
    pub(crate) fn waiting(&self) -> usize {
        self.queue.waiting()
    }

    fn answer(&mut self, now: u64) -> Answer {
        // Both are drawn for every request, so that policies are compared under the same luck.
        let (work, luck) = (self.latency.sample(&mut self.random), self.random.f64());
        let failure = self.state.failing.as_ref().filter(|_| luck < self.state.ratio);
        let result = match failure {
            Some(Failure::Refused {}) => return Answer::After(AT_THE_DOOR, Err(UpstreamFailure::Refused)),
            Some(Failure::Unavailable { retry_after_ms }) => {
                let retry_after = retry_after_ms.map(Duration::from_millis);
                return Answer::After(AT_THE_DOOR, Err(UpstreamFailure::Unavailable { retry_after }));
            }
            Some(Failure::Hang {}) => return Answer::Never,
            Some(Failure::Error {}) => Err(UpstreamFailure::Error),
            Some(Failure::Rejected {}) => Err(UpstreamFailure::Rejected),
            None => Ok(()),
        };
        match self.queue.admit(now, work) {
            Some(done) => Answer::After(Duration::from_nanos(done - now), result),
            None => Answer::After(AT_THE_DOOR, Err(UpstreamFailure::Overloaded)),
        }
    }
}

/// The upstream. Clones are the same one.
#[derive(Clone)]
pub(crate) struct Upstream {
    shared: Shared,
}

impl Upstream {
    pub(crate) fn new(shared: Shared) -> Self {
        Self { shared }
    }
}

pin_project! {
    /// The answer. Dropped before it is there, it was awaited in vain.
    pub(crate) struct ResponseFuture {
        #[pin]
        sleep: Option<Sleep>,
        result: Option<Result<(), UpstreamFailure>>,
        shared: Shared,
    }

    impl PinnedDrop for ResponseFuture {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            if this.result.is_some() {
                this.shared.lock().measure.abandoned();
            }
        }
    }
}

impl Future for ResponseFuture {
    type Output = Result<(), BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        // What hangs has nothing to wait for; the attempt's timeout ends it.
        let Some(sleep) = this.sleep.as_pin_mut() else { return Poll::Pending };
        ready!(sleep.poll(cx));
        match this.result.take() {
            Some(result) => Poll::Ready(result.map_err(BoxError::from)),
            None => Poll::Pending,
        }
    }
}

impl Service<Call> for Upstream {
    type Response = ();
    type Error = BoxError;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _call: Call) -> Self::Future {
        let answer = {
            let mut world = self.shared.lock();
            let now = world.measure.nanos();
            let answer = world.answering.answer(now);
            let waiting = world.answering.waiting();
            world.measure.attempt(waiting);
            answer
        };
        let (sleep, result) = match answer {
            Answer::After(after, result) => (Some(sleep(after)), result),
            Answer::Never => (None, Ok(())),
        };
        ResponseFuture { sleep, result: Some(result), shared: self.shared.clone() }
    }
}
