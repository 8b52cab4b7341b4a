//! The webhook inbox.

use orchestrator_types::{InboxId, InboxView};

use super::workspace::{Workspace, because};
use crate::error::Error;
use crate::list::List;
use crate::transport::Call;

impl Workspace {
    /// What providers have sent.
    pub fn inbox(&self) -> List<InboxView> {
        List::new(&self.client, Call::get("list_inbox", self.path(["inbox"])))
    }

    /// One entry, with its headers and payload.
    ///
    /// # Errors
    /// An [`Error`]; 404 if there is none.
    pub async fn inbox_entry(&self, id: InboxId) -> Result<InboxView, Error> {
        self.client.body(&Call::get("get_inbox_entry", self.path(["inbox", &id.to_string()]))).await
    }

    /// Delivers an entry again.
    ///
    /// # Errors
    /// An [`Error`]; 404 if there is none.
    pub async fn replay_inbox_entry(&self, id: InboxId, reason: &str) -> Result<InboxView, Error> {
        self.client
            .body(
                &Call::post("replay_inbox_entry", self.path(["inbox", &id.to_string(), "replay"]))
                    .json(&because(reason)),
            )
            .await
    }
}
