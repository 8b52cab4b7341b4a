//! Decides about each call, does it, and keeps the log.

use std::collections::HashMap;
use std::future::{Future, pending, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;

use super::caller::{Caller, Repeat};
use super::plan::{Fault, FaultPlan};

/// A fault that was injected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Injected {
    /// The method, as it is named in the port.
    pub method: &'static str,
    /// Which call of it, counted from 0.
    pub number: u64,
    /// What happened to it.
    pub fault: Fault,
}

/// The faults of one plan, for any number of ports. Clones are the same: they count together, and stop together.
#[derive(Clone)]
pub struct Faults(Arc<Inner>);

struct Inner {
    plan: FaultPlan,
    stopped: AtomicBool,
    numbers: Mutex<HashMap<&'static str, u64>>,
    log: Mutex<Vec<Injected>>,
}

impl Faults {
    /// Faults by this plan, from now on.
    #[must_use]
    pub fn new(plan: FaultPlan) -> Self {
        let inner = Inner { plan, stopped: AtomicBool::new(false), numbers: Mutex::default(), log: Mutex::default() };
        Self(Arc::new(inner))
    }

    /// The seed of the plan.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.0.plan.seed()
    }

    /// Ends the bad day: calls from now on meet no fault. What hangs goes on hanging.
    pub fn stop(&self) {
        self.0.stopped.store(true, Ordering::SeqCst);
    }

    /// Goes on with it.
    pub fn go_on(&self) {
        self.0.stopped.store(false, Ordering::SeqCst);
    }

    /// What was injected so far, in the order of the calls.
    #[must_use]
    pub fn log(&self) -> Vec<Injected> {
        self.0.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Makes a call of this method, or what its fate makes of it; `failed` is what a caller hears of a call that failed.
    ///
    /// This is what each decorator does with each method. Dropping the future drops the call.
    ///
    /// # Errors
    /// What the call answers, or `failed`.
    pub async fn strike<T, E>(
        &self,
        method: &'static str,
        call: impl Future<Output = Result<T, E>>,
        failed: impl FnOnce() -> E,
    ) -> Result<T, E>
    where
        T: Send + 'static,
    {
        let caller = Caller::current();
        let fault = self.next(method, caller.as_deref());
        let lose = |answer: T| caller.as_ref().map_or(Ok(()), |caller| caller.lose(answer));
        match fault {
            None => call.await,
            Some(Fault::Before) => Err(failed()),
            Some(Fault::After) => match lose(call.await?) {
                Ok(()) => Err(failed()),
                Err(answer) => Ok(answer),
            },
            Some(Fault::Late(wait)) => {
                tokio::time::sleep(wait).await;
                call.await
            }
            Some(Fault::Never { done }) => {
                if done {
                    if let Err(answer) = lose(call.await?) {
                        return Ok(answer);
                    }
                } else {
                    drop(call);
                }
                if let Some(caller) = &caller {
                    caller.hang();
                }
                pending().await
            }
            Some(Fault::Cancelled { polls }) => match polled(call, polls).await {
                Some(answer) => match lose(answer?) {
                    Ok(()) => Err(failed()),
                    Err(answer) => Ok(answer),
                },
                None => Err(failed()),
            },
        }
    }

    /// Whether this chance falls, for a port whose methods do not answer. Counts as a call of the method.
    pub fn falls(&self, method: &'static str) -> bool {
        self.next(method, None).is_some()
    }

    /// What becomes of a call of a port that cannot wait: `None` if it is made, else whether it was made before it fails.
    pub(super) fn sync(&self, method: &'static str) -> Option<bool> {
        self.next(method, None).map(|fault| !matches!(fault, Fault::Before | Fault::Never { done: false }))
    }

    fn next(&self, method: &'static str, caller: Option<&Caller>) -> Option<Fault> {
        if self.0.stopped.load(Ordering::SeqCst) {
            return None;
        }
        let number = {
            let mut numbers = self.0.numbers.lock().unwrap_or_else(PoisonError::into_inner);
            let next = numbers.entry(method).or_default();
            *next += 1;
            *next - 1
        };
        let fault = self.0.plan.fate(method, number)?;
        let fault = caller.map_or(fault, |caller| bearable(fault, caller.repeat));
        let mut log = self.0.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.push(Injected { method, number, fault });
        Some(fault)
    }
}

/// The fault that comes nearest to this one and that such a caller can put right.
fn bearable(fault: Fault, repeat: Repeat) -> Fault {
    match (repeat, fault) {
        (Repeat::Answered | Repeat::AnsweredUnless(_), Fault::Cancelled { .. }) => Fault::After,
        (Repeat::Undone, Fault::After | Fault::Cancelled { .. }) => Fault::Before,
        (Repeat::Undone, Fault::Never { .. }) => Fault::Never { done: false },
        (_, fault) => fault,
    }
}

/// Polls a call so often, and drops it; its answer, if it had ended by then.
async fn polled<F: Future>(call: F, polls: u32) -> Option<F::Output> {
    let mut call = pin!(call);
    let mut left = polls;
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match Pin::as_mut(&mut call).poll(context) {
            Poll::Ready(answer) => Poll::Ready(Some(answer)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;
    use std::time::Duration;

    use super::super::plan::Rates;
    use super::*;

    /// One call under one fault: how often it was done, and what was heard within a second.
    async fn call(rates: Rates, polls: u32) -> (u32, Option<Result<u32, &'static str>>) {
        let faults = Faults::new(FaultPlan::new(1, rates).polls(polls));
        let done = AtomicU32::new(0);
        let work = async {
            tokio::task::yield_now().await;
            Ok(done.fetch_add(1, Ordering::SeqCst) + 1)
        };
        let heard = tokio::time::timeout(Duration::from_secs(1), faults.strike("work", work, || "not now")).await;
        (done.load(Ordering::SeqCst), heard.ok())
    }

    #[tokio::test(start_paused = true)]
    async fn each_fault_does_and_says_what_it_is() {
        assert_eq!(call(Rates::NONE, 0).await, (1, Some(Ok(1))));
        assert_eq!(call(Rates { before: 1.0, ..Rates::NONE }, 0).await, (0, Some(Err("not now"))));
        assert_eq!(call(Rates { after: 1.0, ..Rates::NONE }, 0).await, (1, Some(Err("not now"))));
        assert_eq!(call(Rates { late: 1.0, ..Rates::NONE }, 0).await, (1, Some(Ok(1))));
        let (done, heard) = call(Rates { never: 1.0, ..Rates::NONE }, 0).await;
        assert!(done <= 1 && heard.is_none());
        assert_eq!(call(Rates { cancelled: 1.0, ..Rates::NONE }, 0).await, (0, Some(Err("not now"))));
    }

    #[tokio::test]
    async fn a_dropped_call_is_polled_so_often_and_no_more() {
        for (polls, done) in [(0, 0), (1, 0), (2, 1), (3, 1)] {
            let count = AtomicU32::new(0);
            let work = async {
                tokio::task::yield_now().await;
                count.fetch_add(1, Ordering::SeqCst);
            };
            assert_eq!(polled(work, polls).await.is_some(), done == 1);
            assert_eq!(count.load(Ordering::SeqCst), done, "{polls} polls");
        }
    }

    #[tokio::test]
    async fn the_log_tells_what_was_injected_and_a_stop_ends_it() {
        let faults = Faults::new(FaultPlan::new(3, Rates { before: 1.0, ..Rates::NONE }));
        let strike = async || faults.strike("ping", async { Ok::<_, ()>(()) }, || ()).await;
        assert_eq!((strike().await, strike().await), (Err(()), Err(())));
        faults.stop();
        assert_eq!(strike().await, Ok(()));
        faults.go_on();
        assert_eq!(strike().await, Err(()));
        let injected = |number| Injected { method: "ping", number, fault: Fault::Before };
        assert_eq!(faults.log(), [injected(0), injected(1), injected(2)]);
    }
}
