//! What the server knows. One lock around it all: a test has few requests.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_lc_rs::digest;
use bytes::Bytes;
use chrono::Utc;
use data_encoding::HEXLOWER;
use orchestrator_types::{
    EventId, EventType, EventView, ExecutionView, InboxId, JobId, JobRequest, JobView, Name, PayloadId, PayloadRef,
    ProductConfig, Timestamp, TraceId, WorkspaceId,
};
use serde_json::Value;
use tokio::sync::watch;

use super::answer::Answer;
use super::deliveries::{Delivery, Target};
use super::outcome::Outcome;
use super::record::{MockCall, MockRequest};
use crate::code::ErrorCode;

/// How a scripted call is answered.
#[derive(Clone)]
pub(super) enum Line {
    Outcome(Outcome),
    With(Arc<dyn Fn(&MockCall) -> Outcome + Send + Sync>),
}

/// A job, and how it was asked for.
pub(super) struct Job {
    pub(super) view: JobView,
    pub(super) request: JobRequest,
    pub(super) key: Option<String>,
}

/// What an idempotency key stands for.
pub(super) struct Kept {
    pub(super) body: Bytes,
    /// `None` while the first request runs.
    pub(super) answer: Option<Answer>,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) scripts: HashMap<(String, String), VecDeque<Line>>,
    pub(super) requests: Vec<MockRequest>,
    pub(super) calls: Vec<MockCall>,
    pub(super) executions: HashMap<String, ExecutionView>,
    pub(super) jobs: BTreeMap<JobId, Job>,
    pub(super) held: bool,
    pub(super) keys: HashMap<(String, String), Kept>,
    pub(super) events: Vec<EventView>,
    pub(super) callbacks: HashMap<Name, Target>,
    pub(super) routes: HashMap<Name, Name>,
    pub(super) inbox: HashMap<(String, String), InboxId>,
    pub(super) deliveries: Vec<Delivery>,
    pub(super) failures: VecDeque<ErrorCode>,
    pub(super) config: Option<ProductConfig>,
    pub(super) payloads: HashMap<PayloadId, (String, Bytes)>,
    /// Work that goes on by itself: jobs, deliveries.
    pub(super) under_way: usize,
    /// Grows when every open stream is to end.
    pub(super) stream_epoch: u64,
}

/// What handlers, tasks and the test share.
pub(super) struct Shared {
    pub(super) workspace: WorkspaceId,
    pub(super) http: reqwest::Client,
    state: Mutex<State>,
    changes: watch::Sender<u64>,
}

impl Shared {
    pub(super) fn new(workspace: WorkspaceId, http: reqwest::Client) -> Self {
        Self { workspace, http, state: Mutex::default(), changes: watch::Sender::new(0) }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes something, and wakes whoever waits for a change.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let outcome = change(&mut self.state());
        self.changes.send_modify(|count| *count = count.wrapping_add(1));
        outcome
    }

    /// Tells of changes from now on.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Appends an event.
    pub(super) fn emit(&self, kind: EventType, subject: &str, trace_id: TraceId, data: Value) -> EventId {
        let workspace = self.workspace.clone();
        self.change(|state| {
            let time = now();
            let sequence = state.events.len() as u64 + 1;
            let id = EventId::at(u64::try_from(time.unix_ms()).unwrap_or(0), sequence);
            state.events.push(EventView { id, kind, workspace, subject: subject.to_owned(), time, trace_id, data });
            id
        })
    }
}

/// The time of day.
#[allow(clippy::disallowed_methods, reason = "a server for tests has the clock of its machine")]
impl Shared {
    /// Keeps a payload.
    pub(super) fn keep(&self, content_type: &str, bytes: Bytes) -> PayloadRef {
        let (id, size) = (PayloadId::new(), bytes.len() as u64);
        let sha256 = HEXLOWER.encode(digest::digest(&digest::SHA256, &bytes).as_ref());
        let content_type = content_type.to_owned();
        self.change(|state| state.payloads.insert(id, (content_type.clone(), bytes)));
        PayloadRef { id, size, sha256, content_type }
    }
}

#[allow(clippy::disallowed_methods, reason = "a server for tests tells the time of day, and decides nothing by it")]
pub(super) fn now() -> Timestamp {
    Timestamp::from(Utc::now())
}
