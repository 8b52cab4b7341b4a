//! A timer that is set only when it is needed: most calls are answered before anybody looks at the clock twice.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use tokio::task::coop::{Unconstrained, unconstrained};
use tokio::time::{Instant, Sleep, sleep_until};

pin_project! {
    /// Ends at a moment, and is registered with the runtime when it is first polled.
    pub(crate) struct Timer {
        #[pin]
        // Unconstrained: a call that uses up its task's budget must not put its own deadline off.
        sleep: Option<Unconstrained<Sleep>>,
    }
}

impl Timer {
    pub(crate) fn unset() -> Self {
        Self { sleep: None }
    }

    /// Ready from `until` on, which is asked for at the first poll only.
    pub(crate) fn poll(self: Pin<&mut Self>, until: impl FnOnce() -> Instant, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        if this.sleep.is_none() {
            this.sleep.set(Some(unconstrained(sleep_until(until()))));
        }
        match this.sleep.as_pin_mut() {
            Some(sleep) => sleep.poll(cx),
            None => Poll::Pending,
        }
    }
}
