//! A workspace as one document: export, import, dry run.

use orchestrator_types::{Bundle, BundleOperator, BundleResult, FieldError, WorkspaceConfig, WorkspaceId};

use super::{Configs, changes, validate};
use crate::access::{Operators, check_bundled};
use crate::actor::Actor;
use crate::error::Error;
use crate::workspaces::Workspaces;

/// The format that this build reads and writes.
pub const BUNDLE_FORMAT: u32 = 1;

impl Configs<'_> {
    /// The workspace as one document, without secrets.
    ///
    /// # Errors
    /// No such workspace, or the store.
    pub async fn export(&self, workspace: &WorkspaceId) -> Result<Bundle, Error> {
        let active = self.active(workspace).await?;
        let operators = Operators(self.0).list(workspace).await?;
        let operators = operators.into_iter().map(|operator| BundleOperator { sub: operator.sub, role: operator.role });
        Ok(Bundle {
            format: BUNDLE_FORMAT,
            workspace: workspace.clone(),
            config: active.version.config,
            operators: Some(operators.collect()),
        })
    }

    /// Makes the workspace what the bundle says, creating it if it is absent; or only tells what would change.
    /// Importing the same again changes nothing.
    ///
    /// # Errors
    /// The bundle is of another format, workspace or environment; its config is not valid; a route is taken; or the store.
    /// The config is changed whole or not at all.
    pub async fn import(
        &self,
        actor: &Actor,
        workspace: &WorkspaceId,
        bundle: &Bundle,
        dry_run: bool,
    ) -> Result<BundleResult, Error> {
        let warnings = self.check(workspace, bundle)?;
        let exists = self.0.workspace_exists(workspace).await?;
        let mut result = BundleResult {
            workspace: workspace.clone(),
            dry_run,
            created: !exists,
            version: 0,
            changes: Vec::new(),
            warnings,
        };
        if dry_run {
            let active = if exists { Some(self.active(workspace).await?.version) } else { None };
            result.version = active.as_ref().map_or(0, |active| active.version);
            let before = active.map(|active| active.config).unwrap_or_default();
            result.changes = changes(&before, &bundle.config);
            return Ok(result);
        }
        if exists {
            if let Some(operators) = &bundle.operators {
                Operators(self.0).check_replace(actor, workspace, operators).await?;
            }
            let saved = self
                .save(actor, workspace, None, "import of a bundle", true, |config| {
                    *config = bundle.config.clone();
                    Ok(())
                })
                .await?;
            result.version = saved.version.version;
            result.changes = saved.changes;
        } else {
            Workspaces(self.0).create_with(actor, workspace, bundle.config.clone(), "import of a bundle").await?;
            result.version = 1;
            result.changes = changes(&WorkspaceConfig::default(), &bundle.config);
        }
        if let Some(operators) = &bundle.operators {
            Operators(self.0).replace(actor, workspace, operators).await?;
        }
        Ok(result)
    }

    /// Refuses what cannot work, before anything is changed; answers what works and is likely to hurt.
    fn check(&self, workspace: &WorkspaceId, bundle: &Bundle) -> Result<Vec<FieldError>, Error> {
        if bundle.format != BUNDLE_FORMAT {
            return Err(Error::invalid("/format", format!("this server reads format {BUNDLE_FORMAT}")));
        }
        if bundle.workspace != *workspace {
            return Err(Error::invalid("/workspace", format!("the bundle is of another workspace than `{workspace}`")));
        }
        self.0.environment_of(workspace)?;
        // Before anything is changed: config and operators are two steps.
        check_bundled(bundle.operators.as_deref().unwrap_or_default())?;
        let under = |error: FieldError| FieldError::new(format!("/config{}", error.pointer), error.detail);
        let checked = validate(workspace, &bundle.config, &self.0.kinds, &self.0.secrets);
        if checked.errors.is_empty() {
            Ok(checked.warnings.into_iter().map(under).collect())
        } else {
            Err(Error::InvalidConfig(checked.errors.into_iter().map(under).collect()))
        }
    }
}
