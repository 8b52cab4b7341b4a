//! Connections that act as the application's role, and transactions that name the workspaces they are about.
//!
//! One rule: a tenant's table is only touched in a transaction that has named the tenant. What it has not named does not
//! exist for it, whatever its statements say.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::future::Future;
use std::time::Duration;

use orchestrator_core::store::{Owner, StoreError};
use orchestrator_core::types::WorkspaceId;
use sqlx::postgres::PgPool;
use sqlx::{Postgres, Transaction};
use tokio::time::timeout;

use crate::failure::Failure;

/// The install as an owner.
const INSTALL: &str = "@install";
/// How long anybody waits for the database. Its own limit for a statement is shorter.
pub(crate) const LONGEST: Duration = Duration::from_secs(30);

/// An owner as it is stored.
pub(crate) fn owner(owner: &Owner) -> &str {
    match owner {
        Owner::Install => INSTALL,
        Owner::Workspace(workspace) => workspace.as_str(),
    }
}

/// A stored owner; `None` if it is no owner's name.
pub(crate) fn parse_owner(text: &str) -> Option<Owner> {
    match text {
        INSTALL => Some(Owner::Install),
        name => name.parse().ok().map(Owner::Workspace),
    }
}

/// The context of a transaction about several workspaces.
pub(crate) fn context<'a>(workspaces: impl IntoIterator<Item = &'a WorkspaceId>) -> String {
    context_of(workspaces.into_iter().map(WorkspaceId::as_str))
}

/// The same of owners as they are stored.
pub(crate) fn context_of<'a>(owners: impl IntoIterator<Item = &'a str>) -> String {
    let distinct: BTreeSet<&str> = owners.into_iter().collect();
    let mut names = String::with_capacity(distinct.len() * 16);
    for (place, name) in distinct.into_iter().enumerate() {
        // Writing to a string does not fail.
        let _ = write!(names, "{}{name}", if place == 0 { "" } else { "," });
    }
    names
}

/// A transaction about these workspaces.
pub(crate) async fn begin(pool: &PgPool, context: &str) -> Result<Transaction<'static, Postgres>, Failure> {
    let mut transaction = pool.begin().await?;
    name(&mut transaction, context).await?;
    Ok(transaction)
}

/// From now on the transaction is about these workspaces, and no others.
pub(crate) async fn name(transaction: &mut Transaction<'static, Postgres>, context: &str) -> Result<(), Failure> {
    const NAME: &str = "SELECT set_config('orchestrator.workspaces', $1, true)";
    sqlx::query(NAME).bind(context).execute(&mut **transaction).await?;
    Ok(())
}

/// Does something with the database on a task of its own: a caller that goes away cuts no statement off, so that no
/// connection is left inside a transaction or with an unread answer.
pub(crate) async fn owned<T: Send + 'static>(
    work: impl Future<Output = Result<T, Failure>> + Send + 'static,
) -> Result<T, StoreError> {
    match tokio::spawn(timeout(LONGEST, work)).await {
        Ok(Ok(done)) => done.map_err(Failure::into_store_error),
        Ok(Err(_)) => Err(Failure::Late.into_store_error()),
        Err(ended) => Err(StoreError::unavailable(ended)),
    }
}
