//! The route index: who has a provider's account or key. The unique key over it is the judge.

use std::time::Duration;

use orchestrator_core::store::{CommitError, DEFAULT_WORKSPACES, Route, RouteKey, RouteOwner, StoreError};
use orchestrator_core::types::{Name, Timestamp, WorkspaceId};
use sqlx::sqlite::SqliteRow;

use crate::SqliteStore;
use crate::batch::Batch;
use crate::op::{Failure, Op};
use crate::rows::{Unreadable, int, number, parsed, readable, time, value};

/// A route that was never verified yields to another workspace after so long.
const YIELDS_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

fn stored(key: &RouteKey) -> (&'static str, &str) {
    match key {
        RouteKey::Account(account) => ("account", account),
        RouteKey::Key(name) => ("key", name.as_str()),
        RouteKey::Default => ("default", ""),
    }
}

struct Held {
    workspace: String,
    name: String,
    provider: String,
    kind: String,
    key: String,
    since: Timestamp,
    verified: bool,
}

fn held(row: &SqliteRow) -> Result<Held, Unreadable> {
    Ok(Held {
        workspace: value(row, "workspace")?,
        name: value(row, "name")?,
        provider: value(row, "provider")?,
        kind: value(row, "kind")?,
        key: value(row, "key")?,
        since: time(row, "since")?,
        verified: value(row, "verified")?,
    })
}

impl Held {
    fn is_for(&self, route: &Route) -> bool {
        let (kind, key) = stored(&route.key);
        // Default routes have no key of their own: they are told apart by their name.
        self.provider == route.provider.as_str()
            && self.kind == kind
            && self.key == key
            && (kind != "default" || self.name == route.name.as_str())
    }

    fn is_default_of(&self, route: &Route) -> bool {
        self.kind == "default" && self.provider == route.provider.as_str()
    }
}

/// Replaces the workspace's routes. Answers the workspaces that lost one, or why it cannot be.
pub(super) async fn replace(
    batch: &mut Batch<'_>,
    workspace: &WorkspaceId,
    wanted: &[Route],
    take: bool,
) -> Result<Result<Vec<String>, CommitError>, Failure> {
    const OWN: &str = "SELECT * FROM routes WHERE workspace = ?1";
    const CLEAR: &str = "DELETE FROM routes WHERE workspace = ?1";
    const HOLDER: &str = "SELECT * FROM routes WHERE provider = ?1 AND kind = ?2 AND key = ?3 AND kind <> 'default'";
    const OTHERS: &str = "SELECT COUNT(DISTINCT workspace) AS others FROM routes \
        WHERE provider = ?1 AND kind = 'default' AND workspace <> ?2";
    const TAKE: &str = "DELETE FROM routes WHERE workspace = ?1 AND name = ?2";
    const INSERT: &str = "INSERT INTO routes (workspace, name, provider, kind, key, since, verified) \
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    let own = sqlx::query(OWN).bind(workspace.as_str()).fetch_all(&mut *batch.conn).await?;
    let own = readable(&own, held);
    sqlx::query(CLEAR).bind(workspace.as_str()).execute(&mut *batch.conn).await?;

    let mut losers = Vec::new();
    for route in wanted {
        let (kind, key) = stored(&route.key);
        let holder = sqlx::query(HOLDER).bind(route.provider.as_str()).bind(kind).bind(key);
        if let Some(row) = holder.fetch_optional(&mut *batch.conn).await? {
            let holder = held(&row)?;
            let yields = !holder.verified && batch.now.since(holder.since) >= YIELDS_AFTER;
            if holder.workspace == workspace.as_str() || !(take || yields) {
                return Ok(Err(CommitError::RouteTaken { route: route.name.clone() }));
            }
            sqlx::query(TAKE).bind(&holder.workspace).bind(&holder.name).execute(&mut *batch.conn).await?;
            losers.push(holder.workspace);
        }
        if route.key == RouteKey::Default && !own.iter().any(|held| held.is_default_of(route)) {
            let others = sqlx::query(OTHERS).bind(route.provider.as_str()).bind(workspace.as_str());
            let row = others.fetch_one(&mut *batch.conn).await?;
            if number::<usize>(&row, "others")? >= DEFAULT_WORKSPACES {
                return Ok(Err(CommitError::TooManyDefaults { route: route.name.clone() }));
            }
        }
        let before = own.iter().find(|held| held.is_for(route));
        sqlx::query(INSERT)
            .bind(workspace.as_str())
            .bind(route.name.as_str())
            .bind(route.provider.as_str())
            .bind(kind)
            .bind(key)
            .bind(before.map_or(batch.now, |held| held.since).unix_ms())
            .bind(before.is_some_and(|held| held.verified))
            .execute(&mut *batch.conn)
            .await?;
    }
    Ok(Ok(losers))
}

/// Who holds a route.
pub(super) async fn holders(
    store: &SqliteStore,
    provider: &Name,
    key: &RouteKey,
) -> Result<Vec<RouteOwner>, StoreError> {
    const ONE: &str = "SELECT * FROM routes WHERE provider = ?1 AND kind = ?2 AND key = ?3 AND kind <> 'default'";
    const DEFAULT: &str = "SELECT * FROM routes WHERE provider = ?1 AND kind = 'default' ORDER BY workspace, name";
    let query = match key {
        RouteKey::Default => sqlx::query(DEFAULT).bind(provider.as_str()),
        key => {
            let (kind, key) = stored(key);
            sqlx::query(ONE).bind(provider.as_str()).bind(kind).bind(key)
        }
    };
    let rows = store.read(query.fetch_all(store.readers())).await?;
    Ok(readable(&rows, owner))
}

/// The routes of a provider, whatever names them.
pub(super) async fn of_provider(
    store: &SqliteStore,
    provider: &Name,
    limit: usize,
) -> Result<Vec<RouteOwner>, StoreError> {
    // Each half by its own index.
    const ALL: &str = "SELECT * FROM routes WHERE provider = ?1 AND kind = 'default' \
        UNION ALL SELECT * FROM routes WHERE provider = ?1 AND kind <> 'default' LIMIT ?2";
    let query = sqlx::query(ALL).bind(provider.as_str()).bind(int(limit));
    let rows = store.read(query.fetch_all(store.readers())).await?;
    Ok(readable(&rows, owner))
}

fn owner(row: &SqliteRow) -> Result<RouteOwner, Unreadable> {
    Ok(RouteOwner {
        workspace: parsed(row, "workspace")?,
        route: parsed(row, "name")?,
        since: time(row, "since")?,
        verified: value(row, "verified")?,
    })
}

/// Notes that a route has verified an event. Most of the time it has been noted, and nothing is written.
pub(super) async fn verified(store: &SqliteStore, workspace: &WorkspaceId, route: &Name) -> Result<(), StoreError> {
    const NEW: &str = "SELECT 1 FROM routes WHERE workspace = ?1 AND name = ?2 AND verified = 0";
    let new = sqlx::query(NEW).bind(workspace.as_str()).bind(route.as_str()).fetch_optional(store.readers());
    match store.read(new).await? {
        Some(_) => store.write(Verified { workspace: workspace.clone(), route: route.clone() }).await,
        None => Ok(()),
    }
}

struct Verified {
    workspace: WorkspaceId,
    route: Name,
}

impl Op for Verified {
    type Answer = ();

    async fn apply(&self, batch: &mut Batch<'_>) -> Result<(), Failure> {
        const VERIFY: &str = "UPDATE routes SET verified = 1 WHERE workspace = ?1 AND name = ?2";
        sqlx::query(VERIFY).bind(self.workspace.as_str()).bind(self.route.as_str()).execute(&mut *batch.conn).await?;
        Ok(())
    }
}
