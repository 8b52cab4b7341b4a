//! One transaction, and what is gathered in it: events that are numbered at its end, and who is to be told.

use std::collections::{BTreeMap, BTreeSet};

use orchestrator_core::queue::JobHint;
use orchestrator_core::store::{CommitWatch, NewEvent};
use orchestrator_core::types::{Timestamp, WorkspaceId};
use sqlx::{Row, SqliteConnection};

use crate::jobs::{Turn, hints};
use crate::op::Failure;
use crate::rows::{number, to_json};

/// A transaction that is open on the writer's connection.
pub(crate) struct Batch<'c> {
    /// The connection.
    pub(crate) conn: &'c mut SqliteConnection,
    /// The store's time, the same for all that is written together.
    pub(crate) now: Timestamp,
    /// Whether an operation that has several parts must guard each by a savepoint: set when the plain way was refused.
    pub(crate) guarded: bool,
    /// Whose turn it is at the next claim.
    pub(crate) turn: &'c mut Turn,
    events: Vec<(WorkspaceId, NewEvent)>,
    told: Told,
    /// Whether jobs that become ready are to be named.
    hinting: bool,
    /// Those that may have: each is looked at again at the end.
    hinted: BTreeSet<i64>,
}

/// Who is told after the commit.
#[derive(Debug, Default)]
pub(crate) struct Told {
    touched: BTreeSet<WorkspaceId>,
    ready: bool,
    hints: Vec<JobHint>,
    control: bool,
}

impl Told {
    /// Whether anything was changed that anybody is told of.
    pub(crate) fn is_news(&self) -> bool {
        self.control || self.ready || !self.touched.is_empty()
    }

    /// Tells them.
    pub(crate) fn tell(&self, watch: &dyn CommitWatch) {
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

const SAVEPOINT: &str = "SAVEPOINT part";
const ROLLBACK_TO: &str = "ROLLBACK TO part";
const RELEASE: &str = "RELEASE part";

impl<'c> Batch<'c> {
    /// A transaction that has just begun.
    pub(crate) fn new(
        conn: &'c mut SqliteConnection,
        now: Timestamp,
        guarded: bool,
        turn: &'c mut Turn,
        hinting: bool,
    ) -> Self {
        let (events, told, hinted) = (Vec::new(), Told::default(), BTreeSet::new());
        Self { conn, now, guarded, turn, events, told, hinting, hinted }
    }

    /// Appends an event. Its number is given at the end of the transaction.
    pub(crate) fn event(&mut self, workspace: &WorkspaceId, event: NewEvent) {
        self.touched(workspace);
        self.events.push((workspace.clone(), event));
    }

    /// Appends events, in their order.
    pub(crate) fn events(&mut self, workspace: &WorkspaceId, events: &[NewEvent]) {
        for event in events {
            self.event(workspace, event.clone());
        }
    }

    /// Jobs of the workspace changed.
    pub(crate) fn touched(&mut self, workspace: &WorkspaceId) {
        if !self.told.touched.contains(workspace) {
            self.told.touched.insert(workspace.clone());
        }
    }

    /// A job may have become ready.
    pub(crate) fn ready(&mut self) {
        self.told.ready = true;
    }

    /// This job may have become ready, or has a time now.
    pub(crate) fn ready_is(&mut self, seq: i64) {
        self.told.ready = true;
        if self.hinting {
            self.hinted.insert(seq);
        }
    }

    /// Control records changed.
    pub(crate) fn control(&mut self) {
        self.told.control = true;
    }

    /// Begins a part that can be undone by itself.
    pub(crate) async fn begin_part(&mut self) -> Result<Part, Failure> {
        sqlx::query(SAVEPOINT).execute(&mut *self.conn).await?;
        Ok(Part { events: self.events.len() })
    }

    /// Keeps a part.
    pub(crate) async fn keep(&mut self, _part: Part) -> Result<(), Failure> {
        sqlx::query(RELEASE).execute(&mut *self.conn).await?;
        Ok(())
    }

    /// Undoes a part.
    pub(crate) async fn undo(&mut self, part: Part) -> Result<(), Failure> {
        sqlx::query(ROLLBACK_TO).execute(&mut *self.conn).await?;
        sqlx::query(RELEASE).execute(&mut *self.conn).await?;
        self.events.truncate(part.events);
        Ok(())
    }

    /// Gives the gathered events their numbers and writes them: the last thing before the commit.
    pub(crate) async fn finish(mut self) -> Result<Told, Failure> {
        if !self.events.is_empty() {
            self.write_events().await?;
        }
        if !self.hinted.is_empty() {
            self.told.hints = hints(self.conn, &self.hinted).await?;
        }
        Ok(self.told)
    }

    async fn write_events(&mut self) -> Result<(), Failure> {
        const NUMBERS: &str = "INSERT INTO counters (workspace, events) \
            SELECT value ->> 0, value ->> 1 FROM json_each(?1) WHERE true \
            ON CONFLICT (workspace) DO UPDATE SET events = events + excluded.events \
            RETURNING workspace, events";
        const INSERT: &str = "INSERT INTO events (workspace, number, time, kind, subject, trace, data) \
            SELECT value ->> 0, value ->> 1, ?2, value ->> 2, value ->> 3, unhex(value ->> 4), value ->> 5 \
            FROM json_each(?1)";
        let mut by_workspace: BTreeMap<WorkspaceId, Vec<NewEvent>> = BTreeMap::new();
        for (workspace, event) in self.events.drain(..) {
            by_workspace.entry(workspace).or_default().push(event);
        }
        let counts: Vec<_> =
            by_workspace.iter().map(|(workspace, events)| (workspace.as_str(), events.len())).collect();
        let rows = sqlx::query(NUMBERS).bind(to_json(&counts)?).fetch_all(&mut *self.conn).await?;
        let mut last: BTreeMap<String, u64> = BTreeMap::new();
        for row in &rows {
            last.insert(row.try_get("workspace")?, number(row, "events")?);
        }
        let mut values = Vec::new();
        for (workspace, events) in &by_workspace {
            let end = last.get(workspace.as_str()).copied().unwrap_or_default();
            let first = end + 1 - events.len() as u64;
            for (number, event) in (first..).zip(events) {
                let data = to_json(&event.data)?;
                let trace = event.trace_id.to_string();
                values.push((workspace.as_str(), number, event.kind.as_str(), event.subject.as_str(), trace, data));
            }
        }
        sqlx::query(INSERT).bind(to_json(&values)?).bind(self.now.unix_ms()).execute(&mut *self.conn).await?;
        Ok(())
    }
}

/// Where a part of a transaction began.
#[derive(Debug)]
#[must_use]
pub(crate) struct Part {
    events: usize,
}
