//! What must be true when a run has ended, however bad the day was.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::FutureExt;
use orchestrator_core::store::{EventFilter, EventLog, InboxStore, JobRecord, JobState, JobStore};
use orchestrator_core::types::{EventType, EventView, JobId, WorkspaceId};

use crate::clients::{Clients, Known};
use crate::config::{WORKSPACES, workspace};
use crate::observed::Observed;
use crate::outside::{Delivered, Outside, Seen};

/// Everything that is left.
struct Left<'a> {
    store: &'a Observed,
    known: &'a Known,
    calls: Vec<Seen>,
    deliveries: Vec<Delivered>,
    breaches: Vec<String>,
}

/// What is not as it must be.
pub fn look(store: &Observed, clients: &Clients, outside: &Outside) -> Vec<String> {
    let known = clients.known.lock().unwrap();
    let (calls, deliveries) = (outside.calls(), outside.deliveries());
    let mut left = Left { store, known: &known, calls, deliveries, breaches: Vec::new() };
    left.acknowledged();
    left.keys();
    left.executions();
    left.bodies();
    for name in WORKSPACES {
        let workspace = workspace(name);
        let events = left.events(&workspace);
        left.webhooks(&workspace, &events);
        left.lives(&workspace, &events);
        left.order(&workspace, &events);
    }
    left.breaches
}

impl Left<'_> {
    fn breach(&mut self, breach: String) {
        self.breaches.push(breach);
    }

    fn job(&self, workspace: &WorkspaceId, id: JobId) -> Option<JobRecord> {
        self.store.job(workspace, id).now_or_never().unwrap().unwrap()
    }

    /// Invariants 1 and 2: what was acknowledged is there, has ended, and did and told what it says.
    fn acknowledged(&mut self) {
        for job in &self.known.jobs {
            let Some(record) = self.job(&job.workspace, job.id) else {
                self.breaches.push(format!("the acknowledged job {} is lost", job.id));
                continue;
            };
            let tag = job.call.input["tag"].as_str().unwrap_or_default();
            let id = job.id.to_string();
            let done = self.calls.iter().any(|call| call.tag == tag && call.subject == id && call.done);
            match record.state {
                JobState::Succeeded if !done => {
                    self.breaches.push(format!("{id} succeeded, and the upstream knows nothing of it"));
                }
                JobState::Succeeded | JobState::Dead if job.call.callback.is_some() => {
                    self.told(&job.workspace, &record);
                }
                JobState::Queued | JobState::Running => {
                    self.breaches.push(format!("{id} has not ended: {}", record.state.as_str()));
                }
                _ => {}
            }
        }
    }

    /// Invariant 11: an outcome that somebody waits for is delivered, or its delivery is dead and known to be.
    fn told(&mut self, workspace: &WorkspaceId, record: &JobRecord) {
        let delivery = record.delivery.and_then(|id| self.job(workspace, id));
        let Some(delivery) = delivery else {
            return self.breach(format!("the outcome of {} is told to nobody", record.job.id));
        };
        let id = delivery.job.delivery_id.clone().unwrap_or_default();
        let heard = self.deliveries.iter().any(|delivered| delivered.webhook_id == id && delivered.accepted);
        match delivery.state {
            JobState::Succeeded if heard => {}
            JobState::Dead => {}
            state => self.breach(format!("the delivery of {} is {} and heard: {heard}", record.job.id, state.as_str())),
        }
    }

    /// Invariant 8: one key, one answer.
    fn keys(&mut self) {
        for ((_, key), answers) in &self.known.keys {
            if answers.iter().any(|answer| *answer != answers[0]) {
                self.breaches.push(format!("{key} has {} answers that differ", answers.len()));
            }
        }
    }

    /// Invariants 8 and 32: one key, one execution; what may not be repeated reached the upstream once.
    fn executions(&mut self) {
        for ((_, key), answers) in &self.known.calls {
            let made: BTreeSet<_> = answers.iter().flatten().collect();
            if made.len() > 1 {
                self.breaches.push(format!("{key} names {} executions", made.len()));
            }
            // The tag of a call is the number in its key.
            let tag = key.trim_start_matches("call-");
            let subjects: BTreeSet<_> =
                self.calls.iter().filter(|call| call.tag == tag).map(|call| call.subject.clone()).collect();
            let unknown = answers.iter().any(Result::is_err);
            if subjects.len() > 1 && unknown {
                self.breaches.push(format!("{key} is said to be unknown, and was made {} times", subjects.len()));
            }
        }
    }

    /// Invariant 11: no `webhook-id` with two bodies.
    fn bodies(&mut self) {
        let mut bodies: BTreeMap<&str, BTreeSet<&[u8]>> = BTreeMap::new();
        for delivered in &self.deliveries {
            bodies.entry(&delivered.webhook_id).or_default().insert(&delivered.body);
            // A product refuses what is off by five minutes.
            if delivered.off.abs() > 5 {
                self.breaches.push(format!("{} is {} seconds off", delivered.webhook_id, delivered.off));
            }
        }
        for (id, bodies) in bodies {
            if bodies.len() > 1 {
                self.breaches.push(format!("{id} was delivered with {} bodies", bodies.len()));
            }
        }
    }

    /// Invariant 9: every event of a workspace, without a hole.
    fn events(&mut self, workspace: &WorkspaceId) -> Vec<EventView> {
        let (mut events, mut after) = (Vec::new(), 0);
        loop {
            let filter = EventFilter::default();
            let page = self.store.events(workspace, after, &filter, 500).now_or_never().unwrap().unwrap();
            if page.scanned_to == after {
                break;
            }
            after = page.scanned_to;
            events.extend(page.items);
        }
        for (expected, event) in (1..).zip(&events) {
            if event.id.sequence() != expected {
                self.breach(format!("{workspace}: event {} where {expected} is due", event.id.sequence()));
                break;
            }
        }
        events
    }

    /// Invariant 7: one event of the provider, one entry, one job.
    fn webhooks(&mut self, workspace: &WorkspaceId, events: &[EventView]) {
        for ((_, event), answers) in self.known.webhooks.iter().filter(|((of, _), _)| of == workspace) {
            let ids: BTreeSet<_> = answers.iter().map(|(id, _)| *id).collect();
            let new = answers.iter().filter(|(_, duplicate)| !duplicate).count();
            let received = events.iter().filter(|found| found.kind == EventType::WebhookReceived);
            let received = received.filter(|found| found.data["event_id"] == event.as_str()).count();
            if ids.len() != 1 || new > 1 || received != 1 {
                let ids = ids.len();
                self.breaches.push(format!("{event} is {ids} entries, {new} times new, and {received} times told"));
                continue;
            }
            let id = *ids.first().unwrap();
            let entry = self.store.inbox_entry(workspace, id).now_or_never().unwrap().unwrap();
            let job = entry.and_then(|entry| entry.job).and_then(|job| self.job(workspace, job));
            let Some(job) = job else {
                self.breaches.push(format!("the entry of {event} has no job"));
                continue;
            };
            let heard =
                self.deliveries.iter().any(|delivered| delivered.webhook_id == id.to_string() && delivered.accepted);
            if !(job.state == JobState::Dead || job.state == JobState::Succeeded && heard) {
                self.breaches.push(format!("the delivery of {event} is {} and heard: {heard}", job.state.as_str()));
            }
        }
    }

    /// Every job's events are a life: it is queued once, starts before it ends, ends once for each time that it was brought
    /// back, and ended as its record says.
    fn lives(&mut self, workspace: &WorkspaceId, events: &[EventView]) {
        let mut lives: BTreeMap<JobId, Vec<EventType>> = BTreeMap::new();
        for event in events {
            if let Ok(id) = event.subject.parse::<JobId>()
                && event.kind.as_str().starts_with("job.")
            {
                lives.entry(id).or_default().push(event.kind);
            }
        }
        for (id, life) in lives {
            let end = life_of(&life);
            let record = self.job(workspace, id);
            // Of the delivery of an outcome only what operators do with it is told.
            if record.as_ref().is_some_and(|record| !record.job.kind.has_events()) {
                continue;
            }
            let state = record.map(|record| record.state);
            if end.is_none() || end != state {
                let told: Vec<_> = life.iter().map(|kind| kind.as_str()).collect();
                self.breach(format!("{id} is {state:?}, and its events tell {end:?}: {}", told.join(" ")));
            }
        }
    }

    /// Invariant 10: jobs of a key start in the order of acceptance, each when those before it have ended.
    fn order(&mut self, workspace: &WorkspaceId, events: &[EventView]) {
        let (mut queues, mut brought_back) = (BTreeMap::<String, Vec<JobId>>::new(), BTreeSet::new());
        for event in events {
            let Ok(id) = event.subject.parse::<JobId>() else { continue };
            // As it was asked for; where nobody heard that it was accepted, as it was kept.
            let asked = self.known.jobs.iter().find(|job| job.id == id).map(|job| job.call.ordering_key.clone());
            let kept = || self.job(workspace, id).and_then(|record| record.job.ordering_key);
            let Some(key) = asked.unwrap_or_else(kept) else { continue };
            let queue = queues.entry(key.clone()).or_default();
            match event.kind {
                EventType::JobQueued => queue.push(id),
                EventType::JobStarted if queue.first() != Some(&id) && !brought_back.contains(&key) => {
                    self.breach(format!("{id} starts before its turn in {key}"));
                }
                EventType::JobSucceeded | EventType::JobDead | EventType::JobCancelled => {
                    queue.retain(|queued| *queued != id);
                }
                // It has its old place in the order, which others have passed.
                EventType::JobReplayed => {
                    brought_back.insert(key);
                }
                _ => {}
            }
        }
    }
}

/// Where a job stands by its events; `None` if they are no life.
fn life_of(life: &[EventType]) -> Option<JobState> {
    let mut state = None;
    for kind in life {
        state = Some(match (state, kind) {
            (None, EventType::JobQueued) => JobState::Queued,
            // Whoever gives a job back does not tell.
            (Some(JobState::Queued | JobState::Running), EventType::JobStarted) => JobState::Running,
            (Some(JobState::Running), EventType::JobRetrying) => JobState::Queued,
            (Some(JobState::Running), EventType::JobSucceeded) => JobState::Succeeded,
            (Some(JobState::Running), EventType::JobDead) => JobState::Dead,
            (Some(JobState::Queued | JobState::Running), EventType::JobCancelled) => JobState::Cancelled,
            (Some(JobState::Dead), EventType::JobReplayed) => JobState::Queued,
            _ => return None,
        });
    }
    state
}
