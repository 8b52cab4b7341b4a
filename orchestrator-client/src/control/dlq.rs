//! Dead letters.

use orchestrator_types::{DeadLetter, DlqFilter, DlqRequest, DlqResult};

use super::workspace::Workspace;
use crate::error::Error;
use crate::list::List;
use crate::transport::Call;

impl Workspace {
    /// The dead letters.
    pub fn dlq(&self) -> List<DeadLetter> {
        List::new(&self.client, Call::get("list_dead_letters", self.path(["dlq"])))
    }

    /// The dead letters that fit every condition of `filter`.
    pub fn dlq_matching(&self, filter: &DlqFilter) -> List<DeadLetter> {
        let call = Call::get("list_dead_letters", self.path(["dlq"]))
            .query("connector", filter.connector.as_ref())
            .query("callback", filter.callback.as_ref())
            .query("died_before", filter.died_before)
            .query("died_after", filter.died_after);
        List::new(&self.client, call)
    }

    /// Gives dead letters another run.
    ///
    /// # Errors
    /// An [`Error`]; 400 without a reason.
    pub async fn replay_dlq(&self, request: &DlqRequest) -> Result<DlqResult, Error> {
        self.client.body(&Call::post("replay_dead_letters", self.path(["dlq", "replay"])).json(request)).await
    }

    /// Throws dead letters away.
    ///
    /// # Errors
    /// An [`Error`]; 400 without a reason.
    pub async fn purge_dlq(&self, request: &DlqRequest) -> Result<DlqResult, Error> {
        self.client.body(&Call::post("purge_dead_letters", self.path(["dlq", "purge"])).json(request)).await
    }
}
