//! The runtime behind the façade: one thread drives connections and timers, callers wait on their own.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, JoinHandle, Thread};

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

use crate::error::Error;

/// What tokio lets a task do before it has to yield is less than this, in steps.
const BUDGET: usize = 1_024;

/// A thread that drives a runtime, until the last clone is gone.
#[derive(Clone)]
pub(super) struct Runtime(Arc<Driver>);

struct Driver {
    handle: Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Runtime {
    pub(super) fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel();
        let drive = move || {
            // An error says that the sender is gone: the end as well.
            let _ = runtime.block_on(stopped);
        };
        let thread = thread::Builder::new().name("orchestrator-client".to_owned()).spawn(drive)?;
        Ok(Self(Arc::new(Driver { handle, stop: Some(stop), thread: Some(thread) })))
    }

    /// Waits for `future` on the caller's thread.
    pub(super) fn wait<T>(&self, future: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        if polls_futures() {
            return Err(Error::Invalid(
                "the blocking client was called from async code: use the async client, or `spawn_blocking`",
            ));
        }
        let _within = self.0.handle.enter();
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut context = Context::from_waker(&waker);
        let mut future = pin!(future);
        loop {
            match future.as_mut().poll(&mut context) {
                Poll::Ready(outcome) => return outcome,
                // Woken for something else it polls once more, and parks again.
                Poll::Pending => thread::park(),
            }
        }
    }
}

/// Whether the caller's thread polls a future for tokio just now. Where it does, tokio counts what the future does; on the threads
/// of `spawn_blocking`, which have a runtime as well, it does not.
fn polls_futures() -> bool {
    if Handle::try_current().is_err() {
        return false;
    }
    let mut context = Context::from_waker(Waker::noop());
    (0..BUDGET).any(|_| pin!(tokio::task::consume_budget()).poll(&mut context).is_pending())
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.unpark();
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Runtime")
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            // If the thread is gone already there is nothing to stop.
            let _ = stop.send(());
        }
        // Dropped by async code it must not wait there; the thread ends by itself.
        if let Some(thread) = self.thread.take().filter(|_| !polls_futures()) {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn answers(runtime: &Runtime) -> bool {
        let slept = async {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            Ok(7)
        };
        match runtime.wait(slept) {
            Ok(seven) => seven == 7,
            Err(refused) => {
                assert!(matches!(refused, Error::Invalid(why) if why.contains("spawn_blocking")), "{refused:?}");
                false
            }
        }
    }

    #[test]
    fn threads_without_a_runtime_wait() {
        let runtime = Runtime::start().unwrap();
        assert!(answers(&runtime));
        let other = runtime.clone();
        assert!(thread::spawn(move || answers(&other)).join().unwrap());
    }

    #[test]
    fn async_code_is_refused_and_its_blocking_threads_are_not() {
        let runtime = Runtime::start().unwrap();
        for threads in [Builder::new_current_thread(), Builder::new_multi_thread()].iter_mut() {
            let theirs = threads.enable_all().build().unwrap();
            let (one, two, three) = (runtime.clone(), runtime.clone(), runtime.clone());
            assert!(!theirs.block_on(async move { answers(&one) }));
            assert!(!theirs.block_on(async move { tokio::spawn(async move { answers(&two) }).await.unwrap() }));
            let blocking = async move { tokio::task::spawn_blocking(move || answers(&three)).await.unwrap() };
            assert!(theirs.block_on(blocking));
        }
    }

    #[test]
    fn the_last_clone_may_be_dropped_by_async_code() {
        let runtime = Runtime::start().unwrap();
        let theirs = Builder::new_current_thread().build().unwrap();
        theirs.block_on(async move { drop(runtime) });
    }
}
