//! A workspace as one document.

use http::header::IF_MATCH;
use orchestrator_types::{Bundle, BundleResult};
use serde_json::Value;

use super::workspace::Workspace;
use crate::answer::Answer;
use crate::client::Client;
use crate::error::Error;
use crate::transport::Call;

impl Client {
    /// The JSON Schema of bundles. Needs no token.
    ///
    /// # Errors
    /// An [`Error`].
    pub async fn bundle_schema(&self) -> Result<Value, Error> {
        self.body(&Call::get("bundle_schema", ["schemas", "bundle.json"]).anonymous()).await
    }
}

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

    /// What an import of this document would change, and the validator for [`apply_bundle`](Self::apply_bundle). The
    /// document may be of a former format; with `rename` it may be of another workspace.
    ///
    /// # Errors
    /// An [`Error`]; with a pointer to each mistake.
    pub async fn plan_bundle(&self, document: &Value, rename: bool) -> Result<Answer<BundleResult>, Error> {
        self.client.answer(&self.import(document, rename).query("dry_run", Some(true))).await
    }

    /// Makes the workspace what the document says; with `if_match`, only if its config is still the one planned on.
    ///
    /// # Errors
    /// An [`Error`]; 412 if the config is another by now.
    pub async fn apply_bundle(
        &self,
        document: &Value,
        rename: bool,
        if_match: Option<&str>,
    ) -> Result<Answer<BundleResult>, Error> {
        let call = self.import(document, rename);
        let call = if_match.map_or_else(|| call.clone(), |etag| call.clone().header(IF_MATCH, etag));
        self.client.answer(&call).await
    }

    fn import(&self, document: &Value, rename: bool) -> Call {
        Call::put("import_bundle", self.path(["bundle"])).query("rename", rename.then_some(true)).json(document)
    }
}
