//! A counted number of places with a bounded queue before them, first come first served. A place that becomes free is
//! handed to who waits longest, so nobody overtakes. Its one rule: whatever is dropped gives back what it held.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::policy::sync::{Mutex, MutexGuard, PoisonError};

/// What [`Core::enter`] decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entry {
    /// A place was taken; so many are taken now.
    Taken(u32),
    /// In the queue, under this ticket.
    Queued(u64),
    /// Neither: so many wait already.
    Full(u32),
}

/// The decisions, without a lock or a runtime.
#[derive(Debug)]
pub(crate) struct Core {
    max: u32,
    queue: u32,
    taken: u32,
    next_ticket: u64,
    waiting: VecDeque<(u64, Option<Waker>)>,
}

impl Core {
    pub(crate) fn new(max: u32, queue: u32) -> Self {
        Self { max: max.max(1), queue, taken: 0, next_ticket: 0, waiting: VecDeque::new() }
    }

    fn waiting(&self) -> u32 {
        u32::try_from(self.waiting.len()).unwrap_or(u32::MAX)
    }

    /// Takes a place, or a ticket of the queue.
    #[inline]
    pub(crate) fn enter(&mut self, may_wait: bool) -> Entry {
        if self.taken < self.max && self.waiting.is_empty() {
            self.taken += 1;
            return Entry::Taken(self.taken);
        }
        let waiting = self.waiting();
        if !may_wait || waiting >= self.queue {
            return Entry::Full(waiting);
        }
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.waiting.push_back((ticket, None));
        Entry::Queued(ticket)
    }

    /// Whether the ticket has been given its place; leaves `waker` to be woken if not. The waker that it replaces is
    /// handed out, because dropping one may run foreign code, which must not happen under the lock.
    pub(crate) fn poll(&mut self, ticket: u64, waker: &Waker) -> (bool, Option<Waker>) {
        let Some((_, slot)) = self.position(ticket).and_then(|at| self.waiting.get_mut(at)) else {
            return (true, None);
        };
        match slot {
            Some(known) if known.will_wake(waker) => (false, None),
            _ => (false, slot.replace(waker.clone())),
        }
    }

    /// Gives a place back; who gets it is to be woken.
    #[inline]
    pub(crate) fn leave(&mut self) -> Option<Waker> {
        self.taken = self.taken.saturating_sub(1);
        self.grant()
    }

    /// Gives up a ticket, and the place if it was already given one. Hands out whom to wake, and the ticket's own waker
    /// to be dropped outside of the lock.
    pub(crate) fn abandon(&mut self, ticket: u64) -> (Option<Waker>, Option<Waker>) {
        match self.position(ticket).and_then(|at| self.waiting.remove(at)) {
            Some((_, own)) => (None, own),
            None => (self.leave(), None),
        }
    }

    /// Changes the limits. Who is in stays in; call [`Core::grant`] until it has nobody to wake.
    pub(crate) fn resize(&mut self, max: u32, queue: u32) {
        self.max = max.max(1);
        self.queue = queue;
    }

    /// Hands one free place to who waits longest.
    #[inline]
    fn grant(&mut self) -> Option<Waker> {
        while self.taken < self.max {
            let (_, waker) = self.waiting.pop_front()?;
            self.taken += 1;
            if waker.is_some() {
                return waker;
            }
            // Never polled since it queued: it will find its place when it is.
        }
        None
    }

    // Tickets only grow, so the queue is sorted; one that is not in it has been given its place.
    fn position(&self, ticket: u64) -> Option<usize> {
        self.waiting.binary_search_by_key(&ticket, |(ticket, _)| *ticket).ok()
    }
}

/// The places, shared by all who use them.
pub(crate) struct Places {
    core: Mutex<Core>,
}

/// What [`Places::enter`] gave.
pub(crate) enum Entered {
    /// A place; so many are taken now, of so many.
    Place(Place, u32, u32),
    /// A turn in the queue.
    Turn(Turn),
    /// Nothing.
    Full {
        /// So many wait.
        waiting: u32,
        /// So many places there are.
        max: u32,
    },
}

impl Places {
    pub(crate) fn new(max: u32, queue: u32) -> Arc<Self> {
        Arc::new(Self { core: Mutex::new(Core::new(max, queue)) })
    }

    #[inline]
    fn lock(&self) -> MutexGuard<'_, Core> {
        // Nothing in `Core` panics halfway through a change, so a poisoned lock still guards a sound value.
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place, or a turn in the queue.
    #[inline]
    pub(crate) fn enter(self: &Arc<Self>, may_wait: bool) -> Entered {
        let (entry, max) = {
            let mut core = self.lock();
            (core.enter(may_wait), core.max)
        };
        match entry {
            Entry::Taken(taken) => Entered::Place(Place { places: Arc::clone(self) }, taken, max),
            Entry::Queued(ticket) => Entered::Turn(Turn { places: Some(Arc::clone(self)), ticket }),
            Entry::Full(waiting) => Entered::Full { waiting, max },
        }
    }

    /// Changes the limits for all who use these places.
    pub(crate) fn resize(&self, max: u32, queue: u32) {
        self.lock().resize(max, queue);
        loop {
            // Not in the loop's head: the lock must be free when the waker runs.
            let woken = self.lock().grant();
            let Some(waker) = woken else { return };
            waker.wake();
        }
    }

    /// How many are taken, how many wait, how many there are.
    pub(crate) fn counts(&self) -> (u32, u32, u32) {
        let core = self.lock();
        (core.taken, core.waiting(), core.max)
    }
}

impl fmt::Debug for Places {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (taken, waiting, max) = self.counts();
        f.debug_struct("Places").field("taken", &taken).field("waiting", &waiting).field("max", &max).finish()
    }
}

/// A place. Dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Places>,
}

impl Place {
    /// How many are taken, this one included, and how many there are.
    pub(crate) fn counts(&self) -> (u32, u32) {
        let (taken, _, max) = self.places.counts();
        (taken, max)
    }
}

impl Drop for Place {
    #[inline]
    fn drop(&mut self) {
        let woken = self.places.lock().leave();
        if let Some(waker) = woken {
            waker.wake();
        }
    }
}

/// A turn in the queue. Dropping it gives it up.
#[derive(Debug)]
pub(crate) struct Turn {
    places: Option<Arc<Places>>,
    ticket: u64,
}

impl Turn {
    /// The place, once it is this turn's. Not to be polled again after that.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Place> {
        let Some(places) = self.places.take() else { return Poll::Pending };
        let (granted, _replaced) = places.lock().poll(self.ticket, cx.waker());
        if granted {
            return Poll::Ready(Place { places });
        }
        self.places = Some(places);
        Poll::Pending
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let Some(places) = self.places.take() else { return };
        let (woken, _own) = places.lock().abandon(self.ticket);
        if let Some(waker) = woken {
            waker.wake();
        }
    }
}
