//! The load: a client that writes down each id that was acknowledged before it asks for the next.

use std::fs::File;
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use orchestrator_client::{Client, WebhookOutcome};
use orchestrator_core::clock::{Clock, SystemClock};
use orchestrator_core::secrets::Secret;
use orchestrator_core::webhooks::signature::{Fixture, provider};
use orchestrator_types::{JobId, JobRequest};
use serde_json::json;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::install::{Install, STRIPE_SECRET, Tenant};

/// How many ask at once, for each workspace.
const WRITERS: usize = 2;
/// Between two of a writer's requests, so that the faults and not the load fill the machine.
const PAUSE: Duration = Duration::from_millis(15);

/// What was acknowledged.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    /// Workspace and job.
    pub(crate) jobs: Vec<(String, JobId)>,
    /// Workspace, the sender's id of the event, inbox entry.
    pub(crate) webhooks: Vec<(String, String, String)>,
}

/// How it goes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    /// Requests that were acknowledged.
    pub(crate) acknowledged: u64,
    /// Requests that were refused with an answer.
    pub(crate) refused: u64,
    /// Requests that had no answer: they may have been done.
    pub(crate) unanswered: u64,
}

#[derive(Default)]
struct Shared {
    journal: Mutex<Journal>,
    acknowledged: [AtomicU64; 2],
    refused: AtomicU64,
    unanswered: AtomicU64,
}

/// Writers that ask until they are told to end.
pub(crate) struct Load {
    shared: Arc<Shared>,
    ending: CancellationToken,
    writers: Vec<JoinHandle<()>>,
}

impl Load {
    pub(crate) fn start(install: &Install, tenants: &[Tenant], random: &mut fastrand::Rng) -> Self {
        let (shared, ending) = (Arc::<Shared>::default(), CancellationToken::new());
        let file = Arc::new(Mutex::new(File::create(install.folder().join("journal")).unwrap()));
        let mut writers = Vec::new();
        for tenant in tenants {
            for _ in 0..WRITERS {
                let writer = Writer {
                    workspace: tenant.workspace.clone(),
                    account: tenant.account.clone(),
                    execs: tenant.execs.clone(),
                    random: random.fork(),
                    shared: shared.clone(),
                    file: file.clone(),
                };
                writers.push(tokio::spawn(writer.write(ending.clone())));
            }
        }
        Self { shared, ending, writers }
    }

    pub(crate) fn counts(&self) -> Counts {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Counts {
            acknowledged: self.shared.acknowledged.iter().map(read).sum(),
            refused: read(&self.shared.refused),
            unanswered: read(&self.shared.unanswered),
        }
    }

    /// Waits until each API node has acknowledged something more.
    pub(crate) async fn until_it_grows(&self, patience: Duration) {
        let read = || [0, 1].map(|node| self.shared.acknowledged[node].load(Ordering::Relaxed));
        let (before, until) = (read(), Instant::now() + patience);
        while read().iter().zip(before).any(|(now, before)| *now <= before) {
            assert!(Instant::now() < until, "nothing is acknowledged any more: {before:?}, {:?}", read());
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// Ends the writers.
    pub(crate) async fn end(self) -> Journal {
        self.ending.cancel();
        for writer in self.writers {
            writer.await.unwrap();
        }
        std::mem::take(&mut *self.shared.journal.lock().unwrap())
    }
}

struct Writer {
    workspace: String,
    account: String,
    execs: Vec<Client>,
    random: fastrand::Rng,
    shared: Arc<Shared>,
    file: Arc<Mutex<File>>,
}

impl Writer {
    async fn write(mut self, ending: CancellationToken) {
        while !ending.is_cancelled() {
            self.submit().await;
            self.send().await;
            tokio::select! {
                () = sleep(PAUSE) => {}
                () = ending.cancelled() => {}
            }
        }
    }

    async fn submit(&mut self) {
        let job: JobRequest = serde_json::from_value(json!({
            "connector": "up", "operation": "request", "input": {"method": "GET", "path": "/x"}, "callback": "product",
        }))
        .unwrap();
        let node = self.random.usize(..self.execs.len());
        match self.execs[node].submit(&job).await {
            Ok(accepted) => {
                self.note(node, &format!("job {}", accepted.id));
                self.shared.journal.lock().unwrap().jobs.push((self.workspace.clone(), accepted.id));
            }
            Err(error) => self.failed(matches!(error, orchestrator_client::Error::Problem(_))),
        }
    }

    /// Sends a webhook, now and then twice: to the one node and to the other.
    async fn send(&mut self) {
        let event = format!("evt_{:016x}", self.random.u64(..));
        let body = json!({"id": event, "type": "invoice.paid", "account": self.account});
        let body = serde_json::to_vec(&body).unwrap();
        let first = self.random.usize(..self.execs.len());
        let times = if self.random.u8(..) < 32 { 2 } else { 1 };
        for turn in 0..times {
            let node = (first + turn) % self.execs.len();
            let stripe = provider("stripe").unwrap();
            let secret = Secret::new(STRIPE_SECRET.to_owned());
            let headers = stripe.sign(&Fixture::new(&body, &event), &secret, SystemClock.now()).unwrap();
            let provider = "stripe".parse().unwrap();
            let answer = self.execs[node].send_webhook(&provider, None, headers, Bytes::from(body.clone())).await;
            match answer.map(|answer| answer.outcome) {
                Ok(WebhookOutcome::Accepted(accepted)) => {
                    let inbox = accepted.id.to_string();
                    self.note(node, &format!("webhook {inbox}"));
                    let entry = (self.workspace.clone(), event.clone(), inbox);
                    self.shared.journal.lock().unwrap().webhooks.push(entry);
                }
                Ok(_) => self.failed(true),
                Err(_) => self.failed(false),
            }
        }
    }

    /// It is in the file before anything else is asked for.
    fn note(&self, node: usize, line: &str) {
        writeln!(self.file.lock().unwrap(), "{} {line}", self.workspace).unwrap();
        self.shared.acknowledged[node].fetch_add(1, Ordering::Relaxed);
    }

    fn failed(&self, answered: bool) {
        let count = if answered { &self.shared.refused } else { &self.shared.unanswered };
        count.fetch_add(1, Ordering::Relaxed);
    }
}
