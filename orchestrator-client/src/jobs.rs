//! Durable jobs.

use std::time::Duration;

use orchestrator_types::{JobAccepted, JobBatchAccepted, JobBatchRequest, JobId, JobRequest, JobStatus, JobView, Name};
use tokio::time::Instant;

use crate::client::Client;
use crate::error::Error;
use crate::keyed::KeyedCall;
use crate::list::List;
use crate::transport::Call;

/// The longest that the server holds an answer back.
pub(crate) const LONGEST_POLL: Duration = Duration::from_secs(30);

/// Which jobs. Empty means all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobFilter {
    /// In this state.
    pub status: Option<JobStatus>,
    /// Of this connector.
    pub connector: Option<Name>,
}

impl Client {
    /// Hands a job over. When this answers, the job is durable.
    ///
    /// # Errors
    /// An [`Error`]; without an answer ([`Error::Transport`]) the job may exist: submit again with the same key.
    pub fn submit(&self, request: &JobRequest) -> KeyedCall<JobAccepted> {
        KeyedCall::new(self, Call::post("submit_job", ["jobs"]).json(request))
    }

    /// Hands up to 1,000 jobs over, all or none. When this answers, they are durable.
    ///
    /// # Errors
    /// An [`Error`]; without an answer ([`Error::Transport`]) the jobs may exist: submit again with the same key.
    pub fn submit_batch(&self, request: &JobBatchRequest) -> KeyedCall<JobBatchAccepted> {
        KeyedCall::new(self, Call::post("submit_jobs", ["jobs", "batch"]).json(request))
    }

    /// A job as it stands now.
    ///
    /// # Errors
    /// An [`Error`]; 404 if the workspace has no such job.
    pub async fn job(&self, id: JobId) -> Result<JobView, Error> {
        self.body(&Call::get("get_job", ["jobs".to_owned(), id.to_string()])).await
    }

    /// Waits until a job has ended, up to `patience`, by long polls of at most 30 s.
    ///
    /// # Errors
    /// [`Error::NotFinished`] with the job as it stands if the time is over; else as [`Client::job`].
    pub async fn wait_for_job(&self, id: JobId, patience: Duration) -> Result<JobView, Error> {
        let begun = Instant::now();
        let mut early = 0;
        loop {
            let wait = patience.saturating_sub(begun.elapsed()).min(LONGEST_POLL);
            let asked = Instant::now();
            let job = self.poll_job(id, wait).await?;
            if job.status.is_terminal() {
                return Ok(job);
            }
            let left = patience.saturating_sub(begun.elapsed());
            if left.is_zero() {
                return Err(Error::NotFinished(Box::new(job)));
            }
            // A server that drains answers before the time is over: do not ask in a tight loop.
            if asked.elapsed() < wait {
                early += 1;
                let pause = self.transport().retry().delay(early, None, &mut fastrand::Rng::new());
                tokio::time::sleep(pause.min(left)).await;
            } else {
                early = 0;
            }
        }
    }

    /// Jobs of the workspace.
    pub fn jobs(&self, filter: &JobFilter) -> List<JobView> {
        let call = Call::get("list_jobs", ["jobs"])
            .query("status", filter.status.map(JobStatus::as_str))
            .query("connector", filter.connector.as_ref());
        List::new(self, call)
    }

    /// Cancels a job that has not ended.
    ///
    /// # Errors
    /// An [`Error`]; 409 if it has ended.
    pub async fn cancel_job(&self, id: JobId) -> Result<JobView, Error> {
        self.body(&Call::post("cancel_job", ["jobs".to_owned(), id.to_string(), "cancel".to_owned()])).await
    }

    async fn poll_job(&self, id: JobId, wait: Duration) -> Result<JobView, Error> {
        let wait_ms = wait.as_millis();
        let call = Call::get("get_job", ["jobs".to_owned(), id.to_string()])
            .query("wait_ms", (wait_ms > 0).then_some(wait_ms))
            .held_back(wait);
        self.body(&call).await
    }
}
