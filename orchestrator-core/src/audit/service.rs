//! Reading the audit trail.

use orchestrator_types::{AuditRecord, AuditVerification, Page, WorkspaceId};

use super::Verifier;
use crate::engine::{Engine, page, page_size};
use crate::error::Error;
use crate::store::Owner;

const CHUNK: usize = 500;

/// The audit chains: one a workspace, and the install's own.
#[derive(Clone, Copy)]
pub struct Audit<'a>(pub(crate) &'a Engine);

impl Audit<'_> {
    /// Records in order, from after `cursor`. `None` is the install's own chain.
    ///
    /// # Errors
    /// No such workspace, a crooked cursor, or the store.
    pub async fn list(
        &self,
        workspace: Option<&WorkspaceId>,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Page<AuditRecord>, Error> {
        let limit = page_size(limit);
        let owner = self.owner(workspace).await?;
        let after = crate::engine::cursor::<u64>(cursor)?.unwrap_or(0);
        let items = self.0.store.audit(&owner, after, limit + 1).await?;
        Ok(page(items, limit, |record| record.number.to_string()))
    }

    /// Walks the whole chain.
    ///
    /// # Errors
    /// No such workspace, or the store.
    pub async fn verify(&self, workspace: Option<&WorkspaceId>) -> Result<AuditVerification, Error> {
        let owner = self.owner(workspace).await?;
        let mut verifier = Verifier::default();
        let mut after = 0;
        loop {
            let records = self.0.store.audit(&owner, after, CHUNK).await?;
            records.iter().for_each(|record| verifier.take(record));
            match records.last() {
                // Numbers that do not grow are a broken chain, and must not keep us here.
                Some(last) if last.number > after => after = last.number,
                _ => return Ok(verifier.finish()),
            }
        }
    }

    async fn owner(&self, workspace: Option<&WorkspaceId>) -> Result<Owner, Error> {
        match workspace {
            Some(workspace) => {
                self.0.workspace(workspace).await?;
                Ok(Owner::from(workspace))
            }
            None => Ok(Owner::Install),
        }
    }
}
