//! Work that is finished whether or not its caller stays.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// Runs within its caller, at the cost of no task and no wake-up of another thread. If it is dropped before its end the rest of
/// it goes on as a task of the tracker, which counts it from the beginning.
///
/// Answers what the work panicked with, if it did. Where no runtime is left the rest is dropped.
pub struct Finish<T: Send + 'static> {
    work: Option<Pin<Box<dyn Future<Output = T> + Send>>>,
    tracker: TaskTracker,
    _counted: TaskTrackerToken,
}

impl<T: Send + 'static> Finish<T> {
    /// Work that this tracker counts.
    pub fn new(tracker: &TaskTracker, work: impl Future<Output = T> + Send + 'static) -> Self {
        Self { work: Some(Box::pin(work)), _counted: tracker.token(), tracker: tracker.clone() }
    }

    /// Whether it has come to its end.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.work.is_none()
    }

    /// Drops the rest of it.
    pub fn abandon(&mut self) {
        self.work = None;
    }
}

impl<T: Send + 'static> Future for Finish<T> {
    type Output = Result<T, Box<dyn Any + Send>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(work) = &mut self.work else { return Poll::Pending };
        // What panicked is not polled again.
        let ended = match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(done)) => Ok(done),
            Err(panic) => Err(panic),
        };
        self.work = None;
        Poll::Ready(ended)
    }
}

impl<T: Send + 'static> Drop for Finish<T> {
    fn drop(&mut self) {
        if let (Some(work), Ok(runtime)) = (self.work.take(), Handle::try_current()) {
            self.tracker.spawn_on(async move { drop(work.await) }, &runtime);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

    use std::time::Duration;

    use futures_util::FutureExt;
    use tokio::sync::oneshot;
    use tokio::task::yield_now;

    use super::*;

    #[tokio::test]
    async fn what_its_caller_left_is_finished_and_counted() {
        let (tracker, (told, heard)) = (TaskTracker::new(), oneshot::channel());
        let mut work = Finish::new(&tracker, async {
            yield_now().await;
            told.send("done").unwrap();
        });
        assert!((&mut work).now_or_never().is_none());
        assert_eq!(tracker.len(), 1);
        drop(work);
        tracker.close();
        tokio::time::timeout(Duration::from_secs(5), tracker.wait()).await.unwrap();
        assert_eq!(heard.await, Ok("done"));
    }

    #[tokio::test]
    async fn what_is_abandoned_is_not_finished() {
        let (tracker, (told, heard)) = (TaskTracker::new(), oneshot::channel::<()>());
        let mut work = Finish::new(&tracker, async {
            yield_now().await;
            told.send(()).unwrap();
        });
        assert!((&mut work).now_or_never().is_none());
        work.abandon();
        drop(work);
        assert!(tracker.is_empty());
        assert!(heard.await.is_err());
    }

    #[tokio::test]
    async fn a_panic_is_an_answer() {
        let work = Finish::<()>::new(&TaskTracker::new(), async { panic!("a fault") });
        assert_eq!(*work.await.unwrap_err().downcast::<&str>().unwrap(), "a fault");
    }

    #[test]
    fn without_a_runtime_the_rest_is_dropped() {
        let mut work = Finish::new(&TaskTracker::new(), std::future::pending::<()>());
        assert!((&mut work).now_or_never().is_none());
        drop(work);
    }
}
