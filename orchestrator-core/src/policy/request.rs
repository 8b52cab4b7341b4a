//! What the policies ask of a request.

use std::time::Duration;

use tokio::time::Instant;

use super::moment;

/// A request that the policies may hold, delay and send again.
///
/// Cloning must be cheap (share the body): the retry keeps one clone for the next attempt. For `http::Request` it is
/// implemented here; anything else says at least whether it is idempotent.
pub trait PolicyRequest: Clone {
    /// Whether sending it twice does what sending it once does. Only then is it sent again after the upstream may have
    /// seen it, unless the policy says `non_idempotent`.
    fn idempotent(&self) -> bool;

    /// Shortens the total deadline of this one call; never lengthens it.
    fn deadline_cap(&self) -> Option<Duration> {
        None
    }

    /// When the call began, if that was before it reached the stack. Deadlines count from it.
    fn started_at(&self) -> Option<Instant> {
        None
    }

    /// Whether it may be retried here. False inside a job, whose own retries must not be multiplied.
    fn retry_allowed(&self) -> bool {
        true
    }

    /// Whether it is itself a retry made elsewhere (a later attempt of a job): it then earns no retry budget.
    fn is_retry(&self) -> bool {
        false
    }

    /// Told to the copy that is sent beside a first one that takes long, so that it can be told apart.
    #[must_use]
    fn hedged(self) -> Self {
        self
    }

    /// Whether it may wait for a limit. False inside a job, which waits in the store and not in a worker's slot: a
    /// limit then refuses it at once.
    fn may_wait(&self) -> bool {
        true
    }
}

impl<B: Clone> PolicyRequest for http::Request<B> {
    fn idempotent(&self) -> bool {
        self.method().is_idempotent()
    }
}

/// Longer deadlines than this mean none at all.
const FAR: Duration = Duration::from_secs(60 * 60 * 24 * 365);

/// When a call has to have ended. What it is reckoned from is kept, and reckoned with only by who has to wait.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Until {
    started: Instant,
    limit: Duration,
}

impl Until {
    /// The deadline of a call that may take `total`, or less if the request says so.
    #[inline]
    pub(crate) fn of<R: PolicyRequest>(request: &R, total: Duration) -> Self {
        let limit = request.deadline_cap().map_or(total, |cap| cap.min(total));
        Self { started: request.started_at().unwrap_or_else(moment::now), limit }
    }

    /// The deadline itself.
    pub(crate) fn moment(&self) -> Instant {
        self.started.checked_add(self.limit.min(FAR)).unwrap_or(self.started)
    }

    /// How much of the time is left.
    pub(crate) fn left(&self) -> Duration {
        self.moment().saturating_duration_since(Instant::now())
    }

    /// How long ago the call began.
    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }
}

/// Takes a service that is ready, to be called later, and leaves a clone in its place.
pub(crate) fn taken<S: Clone>(service: &mut S) -> S {
    let clone = service.clone();
    std::mem::replace(service, clone)
}
