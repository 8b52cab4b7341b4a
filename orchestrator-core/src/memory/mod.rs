//! A store in memory: for tests, and for embedding where losing everything with the process is acceptable.
//!
//! One rule: all state is behind one lock, and a method holds it once, so that each is a transaction. What a method may
//! refuse it checks before it changes anything; there is nothing to roll back.

mod control;
mod events;
mod inbox;
mod jobs;
mod payloads;
mod requests;
mod sweep;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use orchestrator_types::{Timestamp, WorkspaceId};

use crate::clock::Clock;
use crate::queue::JobHint;
use crate::store::{CommitWatch, NewEvent, NewJob, Store, StoreError, StoreInfo};

/// A store whose content ends with the process. Share it in an `Arc`.
pub struct MemoryStore {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    watches: Mutex<Vec<Arc<dyn CommitWatch>>>,
    /// Whether any of them wants jobs named.
    hinting: AtomicBool,
}

impl MemoryStore {
    /// An empty store that takes its time from `clock`.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, state: Mutex::default(), watches: Mutex::default(), hinting: AtomicBool::default() }
    }

    /// Looks at the state.
    fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&lock(&self.state))
    }

    /// Changes the state, and tells those that watch when the lock is free again.
    fn write<T>(&self, change: impl FnOnce(&mut Transaction<'_>) -> T) -> T {
        let (answer, told) = {
            let mut state = lock(&self.state);
            // Read under the lock: times never run against the order of transactions.
            let mut transaction = Transaction { now: self.clock.now(), state: &mut state, told: Told::default() };
            transaction.state.jobs.hinting = self.hinting.load(Ordering::Relaxed);
            let answer = change(&mut transaction);
            transaction.told.hints = transaction.state.jobs.hints();
            (answer, transaction.told)
        };
        if !told.is_empty() {
            let watches = lock(&self.watches).clone();
            watches.iter().for_each(|watch| told.tell(&**watch));
        }
        answer
    }
}

/// A panic while the lock is held would be a bug of ours; what it left behind is no worse than without the poison.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Everything.
#[derive(Default)]
struct State {
    control: control::Control,
    jobs: jobs::Jobs,
    inbox: inbox::Inbox,
    events: events::Events,
    requests: requests::Requests,
    payloads: payloads::Rows,
}

/// One method's change: the state, the moment of it, and what will be told of it.
struct Transaction<'a> {
    now: Timestamp,
    state: &'a mut State,
    told: Told,
}

impl Transaction<'_> {
    /// Appends events.
    fn tell(&mut self, workspace: &WorkspaceId, events: impl IntoIterator<Item = NewEvent>) {
        self.state.events.append(workspace, events, self.now);
        self.told.touched.insert(workspace.clone());
    }

    /// Accepts the jobs that are not there yet, each with its event.
    fn accept(&mut self, workspace: &WorkspaceId, jobs: Vec<NewJob>) {
        for mut job in jobs {
            let (event, id, links) = (job.queued_event(), job.id, std::mem::take(&mut job.payloads));
            if self.state.jobs.accept(workspace, job, self.now) {
                self.state.payloads.link(workspace, id, links, self.now);
                self.tell(workspace, event);
                self.told.ready = true;
            }
        }
    }
}

/// What those that watch are told.
#[derive(Default)]
struct Told {
    touched: BTreeSet<WorkspaceId>,
    ready: bool,
    hints: Vec<JobHint>,
    control: bool,
}

impl Told {
    fn is_empty(&self) -> bool {
        self.touched.is_empty() && !self.ready && self.hints.is_empty() && !self.control
    }

    fn tell(&self, watch: &dyn CommitWatch) {
        self.touched.iter().for_each(|workspace| watch.touched(workspace));
        if self.ready || !self.hints.is_empty() {
            watch.ready(&self.hints);
        }
        if self.control {
            watch.control();
        }
    }
}

#[async_trait]
impl Store for MemoryStore {
    fn info(&self) -> StoreInfo {
        StoreInfo { name: "memory", durable: false }
    }

    fn attach(&self, watch: Arc<dyn CommitWatch>) {
        self.hinting.fetch_or(watch.wants_hints(), Ordering::Relaxed);
        lock(&self.watches).push(watch);
    }

    async fn now(&self) -> Result<Timestamp, StoreError> {
        Ok(self.clock.now())
    }

    async fn ping(&self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn close(&self) {
        // A watch may hold the store itself: letting go of it ends the circle.
        lock(&self.watches).clear();
    }
}
