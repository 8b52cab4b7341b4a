//! What the injector knows of a caller that repeats: what it can put right, and a place for the answer that it does not hear.
//!
//! A caller that does not say is a program on its bad day: it is spared nothing.

use std::any::Any;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

/// Which faults a caller can put right by making the call again.
#[derive(Clone, Copy)]
pub(super) enum Repeat {
    /// All of them: however often the call is made, and whether or not it was done before, it answers the same.
    Freely,
    /// Those of a call that was made whole: a second one answers that it was done, so the first answer counts.
    Answered,
    /// The same, except for answers of which this says that they count each time.
    AnsweredUnless(fn(&dyn Any) -> bool),
    /// Those of a call that was not made.
    Undone,
}

/// One caller of one call, made as often as it takes.
pub(super) struct Caller {
    pub(super) repeat: Repeat,
    lost: Mutex<Option<Box<dyn Any + Send>>>,
    hung: Notify,
}

tokio::task_local! {
    static CALLER: Arc<Caller>;
}

impl Caller {
    pub(super) fn new(repeat: Repeat) -> Arc<Self> {
        Arc::new(Self { repeat, lost: Mutex::default(), hung: Notify::new() })
    }

    /// Who makes the call that is being polled, if it says so.
    pub(super) fn current() -> Option<Arc<Self>> {
        CALLER.try_with(Arc::clone).ok()
    }

    /// Makes a call in the name of this caller. `None` is a call that never answers: its deadline comes at once.
    pub(super) async fn make<T>(self: &Arc<Self>, call: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            answer = CALLER.scope(Arc::clone(self), call) => Some(answer),
            () = self.hung.notified() => None,
        }
    }

    /// Keeps the answer that the caller does not hear, the first of them; or gives it back, if it must be heard.
    pub(super) fn lose<T: Any + Send>(&self, answer: T) -> Result<(), T> {
        if let Repeat::AnsweredUnless(counts) = self.repeat
            && counts(&answer)
        {
            return Err(answer);
        }
        self.lost.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| Box::new(answer));
        Ok(())
    }

    /// The call will not answer.
    pub(super) fn hang(&self) {
        self.hung.notify_one();
    }

    /// The first answer that was lost.
    pub(super) fn found<T: 'static>(&self) -> Option<T> {
        let lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        lost.downcast().ok().map(|answer| *answer)
    }
}
