//! Config versions, and the pointer that says which is live.

use orchestrator_types::{ConfigDiff, ConfigRequest, ConfigVersion, ConfigVersionSummary, PointerRequest};

use super::change::ConfigChange;
use super::workspace::{Workspace, because};
use crate::answer::{Answer, ETag};
use crate::error::Error;
use crate::list::List;
use crate::transport::Call;

impl Workspace {
    /// The active config version, and its validator for [`ConfigChange::if_match`].
    ///
    /// # Errors
    /// An [`Error`].
    pub async fn config(&self) -> Result<Answer<ConfigVersion>, Error> {
        self.client.answer(&Call::get("get_active_config", self.path(["config"]))).await
    }

    /// The active config version if it is another than the one that `etag` came with; `None` if it is the same.
    ///
    /// # Errors
    /// An [`Error`].
    pub async fn config_if_changed(&self, etag: &ETag) -> Result<Option<Answer<ConfigVersion>>, Error> {
        self.client.changed(Call::get("get_active_config", self.path(["config"])), etag).await
    }

    /// Makes the next config version, active unless `activate` is false. The same content makes none.
    ///
    /// A config that cannot work is refused with 422 and a pointer to each mistake.
    pub fn add_config(&self, request: &ConfigRequest) -> ConfigChange {
        ConfigChange::new(&self.client, Call::post("create_config", self.path(["configs"])).json(request))
    }

    /// The versions, without their documents.
    pub fn config_versions(&self) -> List<ConfigVersionSummary> {
        List::new(&self.client, Call::get("list_configs", self.path(["configs"])))
    }

    /// One version.
    ///
    /// # Errors
    /// An [`Error`]; 404 if there is none of this number.
    pub async fn config_version(&self, version: u32) -> Result<ConfigVersion, Error> {
        self.client.body(&Call::get("get_config", self.path(["configs", &version.to_string()]))).await
    }

    /// What differs between two versions.
    ///
    /// # Errors
    /// An [`Error`]; 404 if there is none of one of the numbers.
    pub async fn diff_configs(&self, from: u32, to: u32) -> Result<ConfigDiff, Error> {
        self.client
            .body(&Call::get("diff_configs", self.path(["configs", &from.to_string(), "diff", &to.to_string()])))
            .await
    }

    /// Makes a version the active one, on every node.
    pub fn activate_config(&self, version: u32, reason: &str) -> ConfigChange {
        let request = PointerRequest { version, reason: reason.to_owned() };
        ConfigChange::new(&self.client, Call::put("activate_config", self.path(["config-pointer"])).json(&request))
    }

    /// Makes the version active that was so before the present one.
    pub fn rollback_config(&self, reason: &str) -> ConfigChange {
        ConfigChange::new(&self.client, Call::post("rollback_config", self.path(["rollback"])).json(&because(reason)))
    }
}
