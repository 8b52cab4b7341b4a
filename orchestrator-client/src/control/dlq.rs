//! Dead letters.

use orchestrator_types::{DeadLetter, DlqRequest, DlqResult};

use super::workspace::Workspace;
use crate::error::Error;
use crate::list::List;
use crate::transport::Call;

impl Workspace {
    /// The dead letters.
    pub fn dlq(&self) -> List<DeadLetter> {
        List::new(&self.client, Call::get(self.path(["dlq"])))
    }

    /// Gives dead letters another run.
    ///
    /// # Errors
    /// An [`Error`]; 400 without a reason.
    pub async fn replay_dlq(&self, request: &DlqRequest) -> Result<DlqResult, Error> {
        self.client.body(&Call::post(self.path(["dlq", "replay"])).json(request)).await
    }

    /// Throws dead letters away.
    ///
    /// # Errors
    /// An [`Error`]; 400 without a reason.
    pub async fn purge_dlq(&self, request: &DlqRequest) -> Result<DlqResult, Error> {
        self.client.body(&Call::post(self.path(["dlq", "purge"])).json(request)).await
    }
}
