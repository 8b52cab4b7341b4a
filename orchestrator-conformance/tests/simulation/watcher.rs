//! Watches what passes the store's door, and notes at once what must never be.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use orchestrator_core::clock::Clock;
use orchestrator_core::store::{
    Cancelled, ClaimedJob, Enqueued, HeldLease, Ingested, JobState, Moved, NewJob, Outcome, Settled, Settlement,
};
use orchestrator_core::types::JobId;

use crate::time::Truth;
use crate::trace::Trace;

/// No retry waits longer, by the policies of every run.
const LONGEST: Duration = Duration::from_secs(2);
/// Nodes take turns: while one runs, the others are behind by so much at the most.
const BEHIND: Duration = Duration::from_millis(300);
/// No settlement is written later.
const SETTLING: Duration = Duration::from_secs(25);

/// The observer. Clones are the same.
#[derive(Clone)]
pub struct Watcher {
    seen: Arc<Mutex<Seen>>,
    truth: Arc<Truth>,
    trace: Trace,
}

#[derive(Default)]
struct Seen {
    /// Leases that hold: their fence, and until when.
    held: BTreeMap<JobId, (u64, i64)>,
    /// The highest fence that was handed out.
    fences: BTreeMap<JobId, u64>,
    settled: BTreeSet<(JobId, u64)>,
    ended: BTreeMap<JobId, JobState>,
    breaches: Vec<String>,
}

impl Watcher {
    pub fn new(truth: Arc<Truth>, trace: Trace) -> Self {
        Self { seen: Arc::default(), truth, trace }
    }

    /// What must never have been.
    pub fn breaches(&self) -> Vec<String> {
        self.seen.lock().unwrap().breaches.clone()
    }

    fn look(&self, job: JobId, look: impl FnOnce(&mut Seen, &str, i64) -> Option<String>) {
        let (name, now) = (self.trace.name(job), self.truth.elapsed());
        let mut seen = self.seen.lock().unwrap();
        if let Some(breach) = look(&mut seen, &name, now) {
            let breach = format!("{now} {name}: {breach}");
            self.trace.say(format_args!("BREACH {breach}"));
            seen.breaches.push(breach);
        }
    }

    pub fn enqueued(&self, jobs: &[NewJob], answer: &Enqueued) {
        for job in jobs {
            self.trace.say(format_args!("enqueue {} {}", self.trace.name(job.id), word(answer)));
        }
    }

    pub fn claimed(&self, owner: &str, claimed: &[ClaimedJob], lease: Duration) {
        for ClaimedJob { record } in claimed {
            let (id, fence) = (record.job.id, record.fence);
            self.trace.say(format_args!(
                "claim {} fence {fence} attempt {} by {}",
                self.trace.name(id),
                record.attempt,
                self.trace.name(owner)
            ));
            self.look(id, |seen, _, now| {
                let until = now + i64::try_from(lease.as_millis()).unwrap();
                let held = seen.held.insert(id, (fence, until));
                let before = seen.fences.insert(id, fence);
                if let Some((former, until)) = held
                    && until > now
                {
                    return Some(format!("handed out under fence {fence} while the lease of fence {former} holds"));
                }
                if let Some(before) = before
                    && before >= fence
                {
                    return Some(format!("fence {fence} after fence {before}"));
                }
                seen.ended.get(&id).map(|state| format!("handed out after it {}", state.as_str()))
            });
        }
    }

    pub fn renewed(&self, held: &[HeldLease], lost: &[HeldLease], lease: Duration) {
        let until = self.truth.elapsed() + i64::try_from(lease.as_millis()).unwrap();
        let mut seen = self.seen.lock().unwrap();
        for lease in held.iter().filter(|lease| !lost.contains(lease)) {
            if let Some(held) = seen.held.get_mut(&lease.job).filter(|held| held.0 == lease.fence) {
                held.1 = until;
            }
        }
    }

    pub fn rescued(&self, owner: &str, count: usize, poisoned: &[ClaimedJob], lease: Duration) {
        if count > 0 {
            self.trace.say(format_args!("rescue {count}"));
        }
        self.claimed(owner, poisoned, lease);
    }

    pub fn settled(&self, end: &Settlement, settled: &Settled) {
        let (id, fence) = (end.lease.job, end.lease.fence);
        let how = match &end.outcome {
            Outcome::Succeeded { .. } => "succeeded",
            Outcome::Retry { .. } => "retry",
            Outcome::Dead { .. } => "dead",
            Outcome::GiveBack { .. } => "given back",
        };
        self.trace.say(format_args!("settle {} fence {fence} {how} {}", self.trace.name(id), word(settled)));
        if *settled != Settled::Applied {
            return;
        }
        self.look(id, |seen, _, _| {
            if seen.held.get(&id).is_some_and(|held| held.0 == fence) {
                seen.held.remove(&id);
            }
            let ended = match end.outcome {
                Outcome::Succeeded { .. } => seen.ended.insert(id, JobState::Succeeded),
                Outcome::Dead { .. } => seen.ended.insert(id, JobState::Dead),
                _ => seen.ended.get(&id).copied(),
            };
            if let Some(state) = ended {
                return Some(format!("{how} under fence {fence} after it {}", state.as_str()));
            }
            if !seen.settled.insert((id, fence)) {
                return Some(format!("settled twice under fence {fence}"));
            }
            if seen.fences.get(&id).is_some_and(|newest| *newest != fence) {
                return Some(format!("settled under fence {fence}, and that is not the newest"));
            }
            let Outcome::Retry { run_at, .. } = &end.outcome else { return None };
            // What is written late was decided before: by as much as a settlement may take.
            let now = self.truth.now();
            let (first, last) = (now.before(SETTLING), now.after(LONGEST + BEHIND));
            (*run_at < first || *run_at > last).then(|| format!("is tried again at {run_at}, and it is {now}"))
        });
    }

    pub fn cancelled(&self, job: JobId, cancelled: &Cancelled) {
        self.trace.say(format_args!("cancel {} {}", self.trace.name(job), word(cancelled)));
        if *cancelled == Cancelled::Done {
            self.look(job, |seen, _, _| {
                seen.held.remove(&job);
                let ended = seen.ended.insert(job, JobState::Cancelled);
                ended.map(|state| format!("cancelled after it {}", state.as_str()))
            });
        }
    }

    pub fn replayed(&self, job: JobId, moved: Moved) {
        self.trace.say(format_args!("replay {} {moved:?}", self.trace.name(job)));
        if moved == Moved::Done {
            self.look(job, |seen, _, _| match seen.ended.remove(&job) {
                Some(JobState::Dead) => None,
                other => Some(format!("replayed although it {}", other.map_or("runs", JobState::as_str))),
            });
        }
    }

    pub fn ingested(&self, event: &str, answer: &Ingested) {
        self.trace.say(format_args!("ingest {event} {}", word(answer)));
    }
}

/// The first word of a value: what it says, without the ids in it.
fn word(value: &impl std::fmt::Debug) -> String {
    format!("{value:?}").split([' ', '(', '{']).next().unwrap_or_default().to_owned()
}
