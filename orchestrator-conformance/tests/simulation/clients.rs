//! Those who ask: they write down what was acknowledged, and ask again when they hear nothing or "not now".

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use orchestrator_core::clock::Clock;
use orchestrator_core::execute::Call;
use orchestrator_core::jobs::JobCall;
use orchestrator_core::secrets::Secret;
use orchestrator_core::types::{DlqFilter, DlqRequest, InboxId, JobId, TraceId, WorkspaceId};
use orchestrator_core::webhooks::Ingress;
use orchestrator_core::webhooks::signature::{Fixture, provider};
use orchestrator_core::{Actor, Error, Orchestrator};
use serde_json::{Value, json};

use crate::config::{account, provider_secret};
use crate::time::Truth;
use crate::trace::Trace;

/// What somebody wants.
#[derive(Clone)]
pub enum Wish {
    /// Jobs, under a key if it is asked for again.
    Submit { workspace: WorkspaceId, key: Option<String>, jobs: Vec<JobCall> },
    /// A call under a key.
    Execute { workspace: WorkspaceId, key: String, call: Call },
    /// An event, sent until it is taken.
    Webhook { workspace: WorkspaceId, event: String },
    /// One of the jobs that were acknowledged is not wanted any more.
    Cancel { which: usize },
    /// What is dead shall be tried again.
    Replay { workspace: WorkspaceId },
}

/// A job that was acknowledged.
#[derive(Clone)]
pub struct Acknowledged {
    pub workspace: WorkspaceId,
    pub id: JobId,
    pub call: JobCall,
}

/// What those who ask know.
#[derive(Default)]
pub struct Known {
    pub jobs: Vec<Acknowledged>,
    /// The answers to each key.
    pub keys: BTreeMap<(WorkspaceId, String), Vec<Vec<JobId>>>,
    /// The answers to each call: its execution, if it says one, or why not.
    pub calls: BTreeMap<(WorkspaceId, String), Vec<Result<String, String>>>,
    pub webhooks: BTreeMap<(WorkspaceId, String), Vec<(InboxId, bool)>>,
    /// What is to be asked again, by when and by its number: in whatever order it was found out.
    pub again: BTreeMap<(i64, usize), Wish>,
    /// How many wait for an answer.
    pub waiting: usize,
}

/// All who ask. Clones are the same.
#[derive(Clone)]
pub struct Clients {
    pub known: Arc<Mutex<Known>>,
    pub truth: Arc<Truth>,
    pub trace: Trace,
}

/// One question on its way: it is asked again unless it was answered, whatever becomes of the node.
struct Asked {
    clients: Clients,
    number: usize,
    wish: Option<Wish>,
}

impl Asked {
    fn done(&mut self) {
        self.wish = None;
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        let at = self.clients.truth.elapsed() + 700;
        let mut known = self.clients.known.lock().unwrap();
        known.waiting -= 1;
        known.again.extend(self.wish.take().map(|wish| ((at, self.number), wish)));
    }
}

impl Clients {
    /// Asks a node for the wish of this number.
    pub fn ask(&self, engine: Orchestrator, number: usize, wish: Wish) -> impl Future<Output = ()> + Send + 'static {
        self.known.lock().unwrap().waiting += 1;
        let mut asked = Asked { clients: self.clone(), number, wish: Some(wish.clone()) };
        async move {
            if asked.clients.answered(&engine, wish).await {
                asked.done();
            }
        }
    }

    /// Whether there is nothing to ask again.
    async fn answered(&self, engine: &Orchestrator, wish: Wish) -> bool {
        match wish {
            Wish::Submit { workspace, key, jobs } => self.submit(engine, workspace, key, jobs).await,
            Wish::Execute { workspace, key, call } => self.execute(engine, workspace, key, call).await,
            Wish::Webhook { workspace, event } => self.webhook(engine, workspace, event).await,
            Wish::Cancel { which } => {
                let job = self.known.lock().unwrap().jobs.get(which).cloned();
                let Some(job) = job else { return true };
                let cancelled = engine.jobs().cancel(&job.workspace, job.id, TraceId::new()).await;
                !matches!(cancelled, Err(Error::Unavailable(_)))
            }
            Wish::Replay { workspace } => {
                let filter = Some(DlqFilter::default());
                let request = DlqRequest { ids: None, filter, reason: "they may do better now".to_owned() };
                let replayed = engine.dead_letters().replay(&Actor::program("ada"), &workspace, &request).await;
                !matches!(replayed, Err(Error::Unavailable(_)))
            }
        }
    }

    async fn submit(
        &self,
        engine: &Orchestrator,
        workspace: WorkspaceId,
        key: Option<String>,
        jobs: Vec<JobCall>,
    ) -> bool {
        let idempotency = key.as_ref().map(|key| (key.parse().unwrap(), hash(key)));
        let submitted = engine.jobs().submit(&workspace, jobs.clone(), idempotency, TraceId::new(), None).await;
        let Ok(submitted) = submitted else {
            self.trace.say(format_args!("not accepted {key:?}"));
            // Without a key nobody may ask twice.
            return key.is_none();
        };
        let ids: Vec<JobId> = submitted.jobs.iter().map(|job| job.id).collect();
        let names: Vec<_> = ids.iter().map(|id| self.trace.name(id)).collect();
        self.trace.say(format_args!("acknowledged {} {key:?}", names.join(" ")));
        let mut known = self.known.lock().unwrap();
        for (id, call) in ids.iter().zip(jobs) {
            known.jobs.push(Acknowledged { workspace: workspace.clone(), id: *id, call });
        }
        if let Some(key) = key {
            known.keys.entry((workspace, key)).or_default().push(ids);
        }
        true
    }

    async fn execute(&self, engine: &Orchestrator, workspace: WorkspaceId, key: String, call: Call) -> bool {
        let call = Call { idempotency: Some((key.parse().unwrap(), hash(&key))), ..call };
        let answer = match engine.execute(&workspace, call).await {
            Ok(executed) => match executed.result {
                Ok(response) => Ok(response.id.to_string()),
                Err(failure) => Ok(failure.id.to_string()),
            },
            // Nobody knows, and it is not tried again.
            Err(error @ Error::OutcomeUnknown { .. }) => Err(error.code().to_owned()),
            Err(error) => {
                self.trace.say(format_args!("not executed {key}: {}", error.code()));
                return false;
            }
        };
        let said = answer.as_ref().map_or_else(Clone::clone, |id| self.trace.name(id));
        self.trace.say(format_args!("executed {key} {said}"));
        self.known.lock().unwrap().calls.entry((workspace, key)).or_default().push(answer);
        true
    }

    async fn webhook(&self, engine: &Orchestrator, workspace: WorkspaceId, event: String) -> bool {
        let body = json!({"id": event, "type": "invoice.paid", "account": account(workspace.as_str())});
        let body = Bytes::from(serde_json::to_vec(&body).unwrap());
        let secret = Secret::new(provider_secret(workspace.as_str()));
        let now = self.truth.now();
        let headers = provider("stripe").unwrap().sign(&Fixture::new(&body, &event), &secret, now).unwrap();
        match engine.webhooks().ingest("stripe", None, &headers, body, TraceId::new()).await {
            Ok(Ingress::Accepted(taken)) => {
                self.trace.say(format_args!("taken {event} {} {}", self.trace.name(taken.id), taken.duplicate));
                let mut known = self.known.lock().unwrap();
                known.webhooks.entry((workspace, event)).or_default().push((taken.id, taken.duplicate));
                true
            }
            Ok(Ingress::Challenge(_)) => panic!("nobody asked"),
            Err(error) => {
                self.trace.say(format_args!("not taken {event}: {}", error.code()));
                false
            }
        }
    }
}

fn hash(key: &str) -> [u8; 32] {
    let mut hash = [7; 32];
    hash.iter_mut().zip(key.bytes()).for_each(|(hash, byte)| *hash = byte);
    hash
}

/// Draws what is wanted in a run, and when.
pub struct Draw<'a>(pub &'a mut fastrand::Rng);

impl Draw<'_> {
    pub fn wishes(&mut self, until: i64) -> Vec<(i64, Wish)> {
        let count = self.0.usize(10..24);
        let mut wishes: Vec<_> = (0..count).map(|number| (self.0.i64(0..until), self.wish(number))).collect();
        // Somebody else asks the same at the same time, or later.
        for place in 0..count {
            let (at, wish) = wishes[place].clone();
            let twice = match &wish {
                Wish::Webhook { .. } => self.0.u32(0..2) == 0,
                Wish::Submit { key, .. } => key.is_some() && self.0.u32(0..3) == 0,
                Wish::Execute { .. } => self.0.u32(0..3) == 0,
                Wish::Cancel { .. } | Wish::Replay { .. } => false,
            };
            if twice {
                wishes.push((at + self.0.i64(0..3) * self.0.i64(1..1_500), wish));
            }
        }
        wishes
    }

    fn wish(&mut self, number: usize) -> Wish {
        let workspace: WorkspaceId = crate::config::WORKSPACES[self.0.usize(0..2)].parse().unwrap();
        match self.0.u32(0..20) {
            0..=9 => {
                let count = self.0.usize(1..4);
                let jobs = (0..count).map(|part| self.job(&format!("{number}.{part}"))).collect();
                let key = (self.0.u32(0..3) > 0).then(|| format!("key-{number}"));
                Wish::Submit { workspace, key, jobs }
            }
            10..=11 => {
                let operation = ["read", "write"][self.0.usize(0..2)].to_owned();
                let call = Call {
                    connector: "crm".parse().unwrap(),
                    operation,
                    input: self.input(&format!("{number}")),
                    timeout: None,
                    idempotency: None,
                    trace_id: TraceId::new(),
                };
                Wish::Execute { workspace, key: format!("call-{number}"), call }
            }
            12..=16 => Wish::Webhook { workspace, event: format!("evt_{}", self.0.u32(0..6)) },
            17..=18 => Wish::Cancel { which: self.0.usize(0..12) },
            _ => Wish::Replay { workspace },
        }
    }

    fn job(&mut self, tag: &str) -> JobCall {
        JobCall {
            connector: if self.0.u32(0..4) == 0 { "slow" } else { "crm" }.parse().unwrap(),
            operation: ["read", "write"][self.0.usize(0..2)].to_owned(),
            input: self.input(tag),
            timeout: None,
            run_at: None,
            delay: (self.0.u32(0..5) == 0).then(|| Duration::from_millis(self.0.u64(100..4_000))),
            priority: (self.0.u32(0..3) == 0).then(|| self.0.u8(0..10)),
            callback: (self.0.u32(0..3) == 0).then(|| "product".parse().unwrap()),
            ordering_key: (self.0.u32(0..3) == 0).then(|| format!("order-{}", self.0.u32(0..2))),
            max_attempts: None,
            metadata: BTreeMap::new(),
        }
    }

    /// What the upstream will do at each try.
    fn input(&mut self, tag: &str) -> Value {
        let steps: Vec<String> = (0..self.0.usize(1..4)).map(|_| self.step()).collect();
        json!({"tag": tag, "steps": steps})
    }

    fn step(&mut self) -> String {
        match self.0.u32(0..20) {
            0..=7 => "ok".to_owned(),
            8..=11 => format!("slow:{}", self.0.u32(20..600)),
            12 => "hang".to_owned(),
            13..=14 => "fail".to_owned(),
            15 => "later:1".to_owned(),
            16 => "refuse".to_owned(),
            17 => "unreachable".to_owned(),
            _ => "lost".to_owned(),
        }
    }
}
