//! Export and import.

use std::collections::BTreeMap;

use orchestrator_types::{
    Bundle, BundleOperator, BundleResult, Change, FieldError, Role, WorkspaceConfig, WorkspaceId,
};

use super::format::BUNDLE_FORMAT;
use crate::access::{Operators, check_bundled};
use crate::actor::Actor;
use crate::config::{Configs, changes, validate};
use crate::error::Error;
use crate::workspaces::Workspaces;

/// How to import.
#[derive(Debug, Clone, Copy, Default)]
pub struct Import<'a> {
    /// Only tell what would change.
    pub dry_run: bool,
    /// The `ETag` of the active config that the change was planned on.
    pub if_match: Option<&'a str>,
}

/// What an import did, or would do.
#[derive(Debug, Clone, PartialEq)]
pub struct Imported {
    /// What is, or would be, different.
    pub result: BundleResult,
    /// The `ETag` of the active config now; none if there is no workspace.
    pub etag: Option<String>,
}

impl Configs<'_> {
    /// The workspace as one document, without secrets.
    ///
    /// # Errors
    /// No such workspace, or the store.
    pub async fn export(&self, workspace: &WorkspaceId) -> Result<Bundle, Error> {
        Ok(self.export_with_etag(workspace).await?.0)
    }

    /// The same, and the `ETag` of the active config.
    ///
    /// # Errors
    /// No such workspace, or the store.
    pub async fn export_with_etag(&self, workspace: &WorkspaceId) -> Result<(Bundle, String), Error> {
        let active = self.active(workspace).await?;
        let mut operators: Vec<_> = Operators(self.0)
            .list(workspace)
            .await?
            .into_iter()
            .map(|operator| BundleOperator { sub: operator.sub, role: operator.role })
            .collect();
        operators.sort_by(|one, other| one.sub.cmp(&other.sub));
        let bundle = Bundle {
            format: BUNDLE_FORMAT,
            workspace: workspace.clone(),
            config: active.version.config,
            operators: Some(operators),
        };
        Ok((bundle, active.etag))
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
        let import = Import { dry_run, if_match: None };
        Ok(self.import_on(actor, workspace, bundle, import).await?.result)
    }

    /// The same, on what was planned.
    ///
    /// # Errors
    /// As [`import`](Self::import); and the active config is another than the one planned on.
    pub async fn import_on(
        &self,
        actor: &Actor,
        workspace: &WorkspaceId,
        bundle: &Bundle,
        import: Import<'_>,
    ) -> Result<Imported, Error> {
        let warnings = self.check(workspace, bundle)?;
        let active = match self.0.workspace_exists(workspace).await? {
            true => Some(self.active(workspace).await?),
            false => None,
        };
        if active.is_none() && import.if_match.is_some_and(|wanted| wanted.trim() != "*") {
            return Err(Error::Stale);
        }
        let operators = match &bundle.operators {
            Some(wanted) => self.operator_changes(workspace, active.is_some(), wanted).await?,
            None => Vec::new(),
        };
        let mut result = BundleResult {
            workspace: workspace.clone(),
            dry_run: import.dry_run,
            created: active.is_none(),
            version: 0,
            changes: Vec::new(),
            operators,
            renamed: Vec::new(),
            warnings,
        };
        if import.dry_run {
            let (before, etag) = match active {
                Some(active) => {
                    result.version = active.version.version;
                    (active.version.config, Some(active.etag))
                }
                None => (WorkspaceConfig::default(), None),
            };
            result.changes = changes(&before, &bundle.config);
            return Ok(Imported { result, etag });
        }
        let etag = if active.is_some() {
            if let Some(operators) = &bundle.operators {
                Operators(self.0).check_replace(actor, workspace, operators).await?;
            }
            let saved = self
                .save(actor, workspace, import.if_match, "import of a bundle", true, |config| {
                    *config = bundle.config.clone();
                    Ok(())
                })
                .await?;
            result.version = saved.version.version;
            result.changes = saved.changes;
            saved.etag
        } else {
            Workspaces(self.0).create_with(actor, workspace, bundle.config.clone(), "import of a bundle").await?;
            result.version = 1;
            result.changes = changes(&WorkspaceConfig::default(), &bundle.config);
            self.active(workspace).await?.etag
        };
        if let Some(operators) = &bundle.operators {
            Operators(self.0).replace(actor, workspace, operators).await?;
        }
        Ok(Imported { result, etag: Some(etag) })
    }

    /// Whose role is, or would be, another.
    async fn operator_changes(
        &self,
        workspace: &WorkspaceId,
        exists: bool,
        wanted: &[BundleOperator],
    ) -> Result<Vec<Change>, Error> {
        let before: BTreeMap<String, Role> = match exists {
            true => {
                let listed = Operators(self.0).list(workspace).await?;
                listed.into_iter().map(|operator| (operator.sub, operator.role)).collect()
            }
            false => BTreeMap::new(),
        };
        let after: BTreeMap<&str, Role> = wanted.iter().map(|operator| (&*operator.sub, operator.role)).collect();
        let under = |change: Change| Change { pointer: format!("/operators{}", change.pointer), ..change };
        Ok(changes(&before, &after).into_iter().map(under).collect())
    }

    /// Refuses what cannot work, before anything is changed; answers what works and is likely to hurt.
    fn check(&self, workspace: &WorkspaceId, bundle: &Bundle) -> Result<Vec<FieldError>, Error> {
        if bundle.format != BUNDLE_FORMAT {
            return Err(Error::invalid("/format", format!("this server reads format {BUNDLE_FORMAT}")));
        }
        self.0.environment_of(workspace)?;
        let mut errors = Vec::new();
        if bundle.workspace != *workspace {
            errors
                .push(FieldError::new("/workspace", format!("the bundle is of another workspace than `{workspace}`")));
        }
        // Before anything is changed: config and operators are two steps.
        errors.extend(check_bundled(bundle.operators.as_deref().unwrap_or_default()));
        let under = |error: FieldError| FieldError::new(format!("/config{}", error.pointer), error.detail);
        let checked = validate(workspace, &bundle.config, &self.0.kinds, &self.0.secrets);
        let sound = checked.errors.is_empty();
        errors.extend(checked.errors.into_iter().map(under));
        match (errors.is_empty(), sound) {
            (true, _) => Ok(checked.warnings.into_iter().map(under).collect()),
            (false, true) => Err(Error::InvalidRequest(errors)),
            (false, false) => Err(Error::InvalidConfig(errors)),
        }
    }
}
