//! Makes a service ready at any time: what it waits for becomes part of its calls.
//!
//! The layers are ready when the service inside is, as tower's are, and nothing bounds that wait. Around this one they are
//! always ready, and the deadline, the timeout and the breaker see the wait as a part of the attempt. [`stack`](super::stack)
//! puts it next to the service.

use std::task::{Context, Poll};

use tower::Service;
use tower::util::Oneshot;

use super::moment::Section;

/// A service that is always ready. Each call is made on a clone, once that is ready; dropping its future drops the clone,
/// and the place that it waited for.
#[derive(Debug, Clone, Copy)]
pub struct OnCall<S>(S);

impl<S> OnCall<S> {
    /// Around `service`.
    pub fn new(service: S) -> Self {
        Self(service)
    }

    /// The service inside.
    pub fn get_ref(&self) -> &S {
        &self.0
    }

    /// The service inside, to be changed.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.0
    }

    /// The service inside.
    pub fn into_inner(self) -> S {
        self.0
    }
}

impl<S, Req> Service<Req> for OnCall<S>
where
    S: Service<Req> + Clone,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Oneshot<S, Req>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Req) -> Self::Future {
        // A clone may be anything: what it looks at is not ours to hold still.
        let _anew = Section::suspend();
        Oneshot::new(self.0.clone(), request)
    }
}
