//! Operators and their roles, a workspace at a time.

use std::collections::BTreeSet;

use orchestrator_types::{BundleOperator, FieldError, OperatorView, Role, Timestamp, WorkspaceId};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::actor::Actor;
use crate::config::document::{decode, encode};
use crate::engine::Engine;
use crate::error::Error;
use crate::store::{CommitError, ControlChange, Expect, Owner, Record, RecordKind, RecordWrite};

/// The operators of workspaces.
#[derive(Clone, Copy)]
pub struct Operators<'a>(pub(crate) &'a Engine);

#[derive(Debug, Clone, Serialize, Deserialize)]
struct StoredOperator {
    role: Role,
}

const MAX: usize = 1_000;
/// Written with every change of roles, so that two of them at once cannot each leave the other as the last admin.
const GUARD: &str = " guard";

impl Operators<'_> {
    /// The role of an operator in a workspace, read anew: a revocation holds at once.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn role(&self, workspace: &WorkspaceId, sub: &str) -> Result<Option<Role>, Error> {
        if check_sub(sub, "").is_err() {
            return Ok(None);
        }
        let record = self.0.store.record(&Owner::from(workspace), RecordKind::Operator, sub).await?;
        record.map(|record| Ok(decode::<StoredOperator>(&record.body)?.role)).transpose()
    }

    /// Every operator of a workspace.
    ///
    /// # Errors
    /// No such workspace, or the store.
    pub async fn list(&self, workspace: &WorkspaceId) -> Result<Vec<OperatorView>, Error> {
        self.0.workspace(workspace).await?;
        Ok(self.all(workspace).await?.0)
    }

    /// One operator.
    ///
    /// # Errors
    /// No such workspace or operator, or the store.
    pub async fn get(&self, workspace: &WorkspaceId, sub: &str) -> Result<OperatorView, Error> {
        let operators = self.list(workspace).await?;
        operators.into_iter().find(|operator| operator.sub == sub).ok_or(Error::not_found("operator"))
    }

    /// Gives an operator a role.
    ///
    /// # Errors
    /// No such workspace, a crooked subject, it would leave no admin, or the store.
    pub async fn put(
        &self,
        actor: &Actor,
        workspace: &WorkspaceId,
        sub: &str,
        role: Role,
    ) -> Result<OperatorView, Error> {
        check_sub(sub, "/sub")?;
        self.change(actor, workspace, |operators| {
            operators.retain(|operator| operator.sub != sub);
            operators.push(BundleOperator { sub: sub.to_owned(), role });
            Ok(())
        })
        .await?;
        self.get(workspace, sub).await
    }

    /// Takes an operator's role.
    ///
    /// # Errors
    /// No such workspace or operator, it would leave no admin, or the store.
    pub async fn delete(&self, actor: &Actor, workspace: &WorkspaceId, sub: &str) -> Result<(), Error> {
        self.change(actor, workspace, |operators| {
            let before = operators.len();
            operators.retain(|operator| operator.sub != sub);
            if operators.len() == before { Err(Error::not_found("operator")) } else { Ok(()) }
        })
        .await
    }

    /// Makes these the operators.
    pub(crate) async fn replace(
        &self,
        actor: &Actor,
        workspace: &WorkspaceId,
        wanted: &[BundleOperator],
    ) -> Result<(), Error> {
        let errors = check_bundled(wanted);
        if !errors.is_empty() {
            return Err(Error::InvalidRequest(errors));
        }
        self.change(actor, workspace, |operators| {
            operators.clear();
            operators.extend_from_slice(wanted);
            Ok(())
        })
        .await
    }

    /// Whether these may become the operators of a workspace that there is.
    pub(crate) async fn check_replace(
        &self,
        actor: &Actor,
        workspace: &WorkspaceId,
        wanted: &[BundleOperator],
    ) -> Result<(), Error> {
        let (before, _) = self.all(workspace).await?;
        let had_admin = before.iter().any(|operator| operator.role == Role::Admin);
        let has_admin = wanted.iter().any(|operator| operator.role == Role::Admin);
        if had_admin && !has_admin && !actor.install_admin { Err(last_admin()) } else { Ok(()) }
    }

    async fn change(
        &self,
        actor: &Actor,
        workspace: &WorkspaceId,
        edit: impl Fn(&mut Vec<BundleOperator>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.0.workspace(workspace).await?;
        loop {
            let (before, guard) = self.all(workspace).await?;
            let before: Vec<_> =
                before.into_iter().map(|operator| BundleOperator { sub: operator.sub, role: operator.role }).collect();
            let mut after = before.clone();
            edit(&mut after)?;
            let admin = |operators: &[BundleOperator]| operators.iter().any(|operator| operator.role == Role::Admin);
            if admin(&before) && !admin(&after) && !actor.install_admin {
                return Err(last_admin());
            }
            if after.len() > MAX {
                return Err(Error::invalid("", format!("a workspace has at most {MAX} operators")));
            }
            let gone = before.iter().filter(|old| !after.iter().any(|new| new.sub == old.sub));
            let changed: Vec<_> = after.iter().filter(|new| !before.contains(new)).collect();
            let mut change = ControlChange::of(Owner::from(workspace));
            for old in gone {
                change.writes.push(RecordWrite::delete(RecordKind::Operator, &*old.sub, Expect::Any));
                let audit = actor.audit("operator.remove", &old.sub);
                change.audit.push(audit.change(Some(json!({"role": old.role})), None));
            }
            for new in changed {
                let body = encode(&StoredOperator { role: new.role })?;
                change.writes.push(RecordWrite::put(RecordKind::Operator, &*new.sub, Expect::Any, body));
                let old = before.iter().find(|old| old.sub == new.sub).map(|old| json!({"role": old.role}));
                let audit = actor.audit("operator.set", &new.sub);
                change.audit.push(audit.change(old, Some(json!({"role": new.role}))));
            }
            if change.writes.is_empty() {
                return Ok(());
            }
            let expect = guard.map_or(Expect::Absent, Expect::Version);
            change.writes.push(RecordWrite::put(RecordKind::Operator, GUARD, expect, "null"));
            match self.0.store.commit(change).await {
                Ok(_) => return Ok(()),
                Err(CommitError::Conflict { .. }) => {}
                Err(error) => return Err(self.0.commit_error(error)),
            }
        }
    }

    /// Every operator, and the version of the guard.
    async fn all(&self, workspace: &WorkspaceId) -> Result<(Vec<OperatorView>, Option<u64>), Error> {
        let records = self.0.store.records(&Owner::from(workspace), RecordKind::Operator, None, MAX + 1).await?;
        let guard = records.iter().find(|record| record.key == GUARD).map(|record| record.version);
        let view = |record: &Record| -> Result<OperatorView, Error> {
            let (role, updated_at): (_, Timestamp) = (decode::<StoredOperator>(&record.body)?.role, record.updated_at);
            Ok(OperatorView { sub: record.key.clone(), role, updated_at })
        };
        let operators = records.iter().filter(|record| record.key != GUARD).map(view).collect::<Result<_, _>>()?;
        Ok((operators, guard))
    }
}

fn last_admin() -> Error {
    let detail = "the last admin of a workspace stays: name another one first".to_owned();
    Error::WrongState { code: "last_admin", detail }
}

/// What a bundle says of operators, each once.
pub(crate) fn check_bundled(operators: &[BundleOperator]) -> Vec<FieldError> {
    let (mut known, mut errors) = (BTreeSet::new(), Vec::new());
    for (index, operator) in operators.iter().enumerate() {
        let pointer = format!("/operators/{index}/sub");
        if let Err(error) = check_sub(&operator.sub, &pointer) {
            errors.extend_from_slice(error.field_errors());
        } else if !known.insert(&operator.sub) {
            errors.push(FieldError::new(pointer, "stands here twice"));
        }
    }
    errors
}

fn check_sub(sub: &str, pointer: &str) -> Result<(), Error> {
    let sound = (1..=255).contains(&sub.len()) && sub.bytes().all(|byte| byte.is_ascii_graphic());
    if sound { Ok(()) } else { Err(Error::invalid(pointer, "a subject has 1 to 255 visible ASCII characters")) }
}
