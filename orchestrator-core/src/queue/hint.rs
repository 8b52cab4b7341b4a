//! What a queue holds of a job.

use orchestrator_types::{JobId, Name, Timestamp, WorkspaceId};

use crate::store::{JobKind, JobRecord, LaneKey, NewJob};

/// A job that may be ready: its id, and what decides when it is taken. Nothing of what it does, and not whose it is to run.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct JobHint {
    /// The tenant.
    pub workspace: WorkspaceId,
    /// The job.
    pub job: JobId,
    /// Whether it is a delivery to a callback.
    pub delivery: bool,
    /// The connector or callback, if it names one.
    pub target: Option<Name>,
    /// 0 to 9, higher first.
    pub priority: u8,
    /// Not before.
    pub run_at: Timestamp,
}

impl JobHint {
    /// Of a job that may run at `run_at`.
    #[must_use]
    pub fn new(workspace: &WorkspaceId, job: &NewJob, run_at: Timestamp) -> Self {
        let delivery = job.kind != JobKind::Call;
        let target = if delivery { &job.callback } else { &job.connector };
        Self {
            workspace: workspace.clone(),
            job: job.id,
            delivery,
            target: target.clone(),
            priority: job.priority,
            run_at,
        }
    }

    /// Of a stored job, for the next time that it may run.
    #[must_use]
    pub fn of(record: &JobRecord) -> Self {
        Self::new(&record.workspace, &record.job, record.run_at)
    }

    /// The lane that it stands in.
    #[must_use]
    pub fn lane(&self) -> Option<LaneKey> {
        let target = self.target.clone()?;
        Some(LaneKey { workspace: self.workspace.clone(), delivery: self.delivery, target })
    }
}
