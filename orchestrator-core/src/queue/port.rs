//! [`JobQueue`], and what its methods take and answer.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use orchestrator_types::WorkspaceId;

use super::JobHint;
use crate::store::LaneKey;

/// Says which jobs may be ready. Holds hints, never truth and never ownership: losing all of it delays work by one
/// reconcile, and loses none.
///
/// Every method answers or fails within a few seconds, whatever the place behind it does, and works again by itself when
/// that is back.
#[async_trait]
pub trait JobQueue: Send + Sync + 'static {
    /// Makes jobs takeable from their `run_at`. Offering one twice is harmless: the later offer counts. A queue that is full
    /// may forget what is new.
    ///
    /// # Errors
    /// The queue is away; some may be offered.
    async fn offer(&self, hints: &[JobHint]) -> Result<(), QueueAway>;

    /// Takes hints whose time has come, and forgets them; waits for one if there is none. Workspaces take turns, as many at a
    /// turn as their weight; in one, priority comes before time. What `take` names as paused or full is passed over and stays.
    ///
    /// Dropping the future loses hints at the worst, which come back by the reconciler; never a job.
    ///
    /// # Errors
    /// The queue is away.
    async fn take(&self, take: &Take) -> Result<Vec<JobHint>, QueueAway>;

    /// Forgets everything of a workspace.
    ///
    /// # Errors
    /// The queue is away.
    async fn forget(&self, workspace: &WorkspaceId) -> Result<(), QueueAway>;

    /// How many hints there are, also of jobs whose time has not come.
    ///
    /// # Errors
    /// The queue is away.
    async fn depth(&self) -> Result<u64, QueueAway>;

    /// Looks whether all is as it should be: a line for each thing that was looked at.
    ///
    /// # Errors
    /// The queue is away, and why, in a line that names no secret.
    async fn check(&self) -> Result<Vec<Finding>, QueueAway>;
}

/// What a worker wants to have hints of.
#[derive(Debug, Clone, Default)]
pub struct Take {
    /// At most so many.
    pub max: usize,
    /// At most so many of one workspace.
    pub per_workspace: usize,
    /// Waits so long for the first one.
    pub wait: Duration,
    /// Lanes that would not admit a call now.
    pub paused: Vec<LaneKey>,
    /// Lanes that would admit only so many.
    pub limited: Vec<(LaneKey, usize)>,
    /// Workspaces that have as many running as they may.
    pub full: Vec<WorkspaceId>,
    /// How many each workspace gives at a turn, if not one.
    pub weights: Arc<BTreeMap<WorkspaceId, u32>>,
}

/// How something stands that [`JobQueue::check`] looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// As it should be.
    Good,
    /// It works, and not as well or as long as it should.
    Warning,
    /// It does not work.
    Bad,
}

/// What [`JobQueue::check`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How it stands.
    pub level: Level,
    /// One line; of what is not good it says what to do.
    pub line: String,
}

/// The queue does not answer now. What it was asked for may have happened.
#[derive(Debug, thiserror::Error)]
#[error("the queue is away: {0}")]
pub struct QueueAway(#[source] Box<dyn Error + Send + Sync>);

impl QueueAway {
    /// A queue that does not answer, because of `source`.
    pub fn new(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(source.into())
    }
}
