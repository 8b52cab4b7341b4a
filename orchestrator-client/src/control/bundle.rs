//! A workspace as one document.

use orchestrator_types::{Bundle, BundleResult};

use super::workspace::Workspace;
use crate::error::Error;
use crate::transport::Call;

impl Workspace {
    /// The workspace as one document, without secrets.
    ///
    /// # Errors
    /// An [`Error`].
    pub async fn export_bundle(&self) -> Result<Bundle, Error> {
        self.client.body(&Call::get("export_bundle", self.path(["bundle"]))).await
    }

    /// Makes the workspace what the document says, and makes it if it is absent. Importing the same again changes nothing.
    /// With `dry_run` nothing is changed; the answer tells what would be.
    ///
    /// # Errors
    /// An [`Error`]; 422 with a pointer to each mistake.
    pub async fn import_bundle(&self, bundle: &Bundle, dry_run: bool) -> Result<BundleResult, Error> {
        let call =
            Call::put("import_bundle", self.path(["bundle"])).query("dry_run", dry_run.then_some(true)).json(bundle);
        self.client.body(&call).await
    }
}
