//! The service of the rate limit.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tower::Service;

use super::{Limiter, ResponseFuture};
use crate::policy::moment;
use crate::policy::observe::{NoObserver, Observe, PolicyEvent, Scope};
use crate::policy::rejection::RateLimited;
use crate::policy::request::{PolicyRequest, Until, taken};

/// Bounds how often a service is called.
#[derive(Debug, Clone)]
pub struct RateLimit<S, O = NoObserver> {
    pub(super) inner: S,
    pub(super) limiter: Option<Arc<Limiter>>,
    pub(super) longest_wait: Option<Duration>,
    pub(super) observer: O,
}

impl<S, O> RateLimit<S, O> {
    /// The service inside.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The service inside, to be changed.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The service inside, without the limit.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, O, Req> Service<Req> for RateLimit<S, O>
where
    S: Service<Req> + Clone,
    S::Error: From<RateLimited>,
    Req: PolicyRequest,
    O: Observe<Req>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S, Req, O::Scope>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let Some(limiter) = &self.limiter else {
            return ResponseFuture::running(self.inner.call(request));
        };
        let scope = self.observer.scope(&request);
        let wait = match limiter.admit() {
            Ok(remaining) => {
                scope.event(PolicyEvent::RateLimitAdmitted { remaining });
                return ResponseFuture::running(self.inner.call(request));
            }
            Err(wait) => wait,
        };
        if let Some(longest) = self.longest_wait
            && request.may_wait()
        {
            let until = Until::of(&request, longest).moment();
            let now = moment::now();
            if wait <= until.saturating_duration_since(now) {
                let waiting = limiter.queue();
                return ResponseFuture::waiting(taken(&mut self.inner), request, waiting, now, until, scope);
            }
        }
        scope.event(PolicyEvent::RateLimitRejected { retry_after: wait });
        ResponseFuture::refused(RateLimited { retry_after: wait })
    }
}
