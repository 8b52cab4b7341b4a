//! Who is told after a commit: everybody in this process, and by one coalesced hint the other nodes.
//!
//! A hint is sent outside of any transaction, at once if none was sent just now and at most each 50 ms: a `NOTIFY` takes a
//! lock that all of the database's commits share. It may be lost, and everybody looks by themselves from time to time.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use orchestrator_core::queue::JobHint;
use orchestrator_core::store::CommitWatch;
use orchestrator_core::types::{JobId, WorkspaceId};
use sqlx::postgres::{PgListener, PgPool, PgRow};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::rows::{Unreadable, bits, parsed, time, value};

const CHANNEL: &str = "orchestrator";
/// No node sends hints closer together.
const APART: Duration = Duration::from_millis(50);
/// A hint names no more workspaces; of more it says that there are some.
const NAMED: usize = 64;
/// How long sending one may take.
const SEND: Duration = Duration::from_secs(5);

/// What a commit is told as.
#[derive(Debug, Default)]
pub(crate) struct Told {
    touched: BTreeSet<WorkspaceId>,
    ready: bool,
    hints: Vec<JobHint>,
    control: bool,
}

impl Told {
    /// Events or jobs of the workspace changed.
    pub(crate) fn touched(&mut self, workspace: &WorkspaceId) {
        if !self.touched.contains(workspace) {
            self.touched.insert(workspace.clone());
        }
    }

    /// Some job may have become ready.
    pub(crate) fn ready(&mut self) {
        self.ready = true;
    }

    /// The job of a row of type `ready_job` may have become ready; its id is in the column `id`.
    pub(crate) fn hint(&mut self, row: &PgRow, id: &'static str) -> Result<(), Unreadable> {
        self.ready = true;
        // What lost a lease runs apart: nobody is hinted at it.
        if value::<bool>(row, "lost")? {
            self.touched(&parsed(row, "workspace")?);
        } else {
            let hint = hint_of(row, id)?;
            self.touched(&hint.workspace);
            self.hints.push(hint);
        }
        Ok(())
    }

    /// Control records changed.
    pub(crate) fn control(&mut self) {
        self.control = true;
    }

    fn is_nothing(&self) -> bool {
        !self.ready && !self.control && self.touched.is_empty()
    }

    fn tell(&self, watch: &dyn CommitWatch) {
        if self.control {
            watch.control();
        }
        for workspace in &self.touched {
            watch.touched(workspace);
        }
        if self.ready {
            watch.ready(&self.hints);
        }
    }
}

/// The hint of a row of type `ready_job`.
pub(crate) fn hint_of(row: &PgRow, id: &'static str) -> Result<JobHint, Unreadable> {
    let (delivery, target) = match value::<&str>(row, "lane")?.split_once(':') {
        Some((sort, "")) => (sort == "delivery", None),
        Some((sort, target)) => (sort == "delivery", Some(target.parse().map_err(|_| Unreadable { column: "lane" })?)),
        None => return Err(Unreadable { column: "lane" }),
    };
    Ok(JobHint {
        workspace: parsed(row, "workspace")?,
        job: JobId::from_bits(bits(row, id)?),
        delivery,
        target,
        priority: u8::try_from(value::<i16>(row, "priority")?).map_err(|_| Unreadable { column: "priority" })?,
        run_at: time(row, "run_at")?,
    })
}

/// Who listens in this process, and what the other nodes are still to be told.
#[derive(Default)]
pub(crate) struct Notices {
    watches: RwLock<Vec<Arc<dyn CommitWatch>>>,
    unsent: Mutex<Told>,
    news: Notify,
}

impl Notices {
    /// Tells `watch` of commits from now on.
    pub(crate) fn attach(&self, watch: Arc<dyn CommitWatch>) {
        self.watches.write().unwrap_or_else(PoisonError::into_inner).push(watch);
    }

    /// Tells this process, and notes what the others are to be told.
    pub(crate) fn tell(&self, told: &Told) {
        if told.is_nothing() {
            return;
        }
        self.tell_here(told);
        let mut unsent = self.unsent.lock().unwrap_or_else(PoisonError::into_inner);
        unsent.control |= told.control;
        unsent.ready |= told.ready;
        for workspace in &told.touched {
            if unsent.touched.len() > NAMED {
                break;
            }
            unsent.touched(workspace);
        }
        drop(unsent);
        self.news.notify_one();
    }

    /// Tells this process only.
    pub(crate) fn tell_here(&self, told: &Told) {
        let watches = self.watches.read().unwrap_or_else(PoisonError::into_inner);
        watches.iter().for_each(|watch| told.tell(watch.as_ref()));
    }

    /// Sends hints to the other nodes until it is ended.
    pub(crate) async fn send(&self, pool: &PgPool, node: &str, ending: &CancellationToken) {
        const NOTIFY: &str = "SELECT pg_notify($1, $2)";
        loop {
            tokio::select! {
                () = self.news.notified() => {}
                () = ending.cancelled() => return,
            }
            let told = std::mem::take(&mut *self.unsent.lock().unwrap_or_else(PoisonError::into_inner));
            let hint = written(node, &told);
            let sent = sqlx::query(NOTIFY).bind(CHANNEL).bind(hint).execute(pool);
            if !matches!(timeout(SEND, sent).await, Ok(Ok(_))) {
                tracing::debug!("a hint was not sent: the other nodes look by themselves");
            }
            sleep(APART).await;
        }
    }

    /// Hears the hints of other nodes until it is ended.
    pub(crate) async fn hear(&self, pool: &PgPool, node: &str, ending: &CancellationToken) {
        let mut pause = Duration::from_millis(100);
        loop {
            if let Ok(Ok(mut listener)) = timeout(SEND, PgListener::connect_with(pool)).await
                && listener.listen(CHANNEL).await.is_ok()
            {
                pause = Duration::from_millis(100);
                // What was said meanwhile is not known.
                let mut missed = Told::default();
                missed.ready();
                missed.control();
                self.tell_here(&missed);
                loop {
                    let heard = tokio::select! {
                        heard = listener.recv() => heard,
                        () = ending.cancelled() => return,
                    };
                    let Ok(heard) = heard else { break };
                    if let Some(told) = read(node, heard.payload()) {
                        self.tell_here(&told);
                    }
                }
            }
            tokio::select! {
                () = sleep(pause.mul_f64(0.5 + fastrand::f64())) => {}
                () = ending.cancelled() => return,
            }
            pause = (pause * 2).min(Duration::from_secs(5));
        }
    }
}

/// A hint as it is sent: the node, what changed, and the workspaces, `*` if they are too many.
fn written(node: &str, told: &Told) -> String {
    let what = format!("{}{}", if told.ready { "r" } else { "" }, if told.control { "c" } else { "" });
    let names: Vec<&str> = told.touched.iter().map(WorkspaceId::as_str).take(NAMED).collect();
    format!("{node} {what} {}", names.join(","))
}

/// What a hint of another node says.
fn read(node: &str, hint: &str) -> Option<Told> {
    let mut parts = hint.splitn(3, ' ');
    let (from, what, names) = (parts.next()?, parts.next()?, parts.next()?);
    (from != node).then(|| Told {
        touched: names.split(',').filter_map(|name| name.parse().ok()).collect(),
        ready: what.contains('r'),
        hints: Vec::new(),
        control: what.contains('c'),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::{Told, read, written};

    #[test]
    fn a_hint_is_for_the_other_nodes() {
        let mut told = Told::default();
        told.ready();
        told.touched(&"shop-dev".parse().unwrap());
        let hint = written("a", &told);
        assert!(read("a", &hint).is_none());
        let heard = read("b", &hint).unwrap();
        assert!(heard.ready && !heard.control && heard.touched.len() == 1);
        assert!(read("b", "nonsense").is_none());
    }
}
