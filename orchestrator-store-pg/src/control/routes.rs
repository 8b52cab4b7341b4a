//! The route index: who has a provider's account or key. The unique key over it is the judge.

use std::time::Duration;

use orchestrator_core::store::{CommitError, DEFAULT_WORKSPACES, Route, RouteKey, RouteOwner};
use orchestrator_core::types::{Name, Timestamp, WorkspaceId};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Postgres, Transaction};

use crate::committer::Write;
use crate::failure::Failure;
use crate::notices::Told;
use crate::rows::{Unreadable, int, parsed, place, readable, text, time, value};
use crate::shared::Shared;
use crate::text;

/// A route that was never verified yields to another workspace after so long.
const YIELDS_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

fn stored(key: &RouteKey) -> (&'static str, String) {
    match key {
        RouteKey::Account(account) => ("account", text::stored(account).into_owned()),
        RouteKey::Key(name) => ("key", name.as_str().to_owned()),
        RouteKey::Default => ("default", String::new()),
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

fn held(row: &PgRow) -> Result<Held, Unreadable> {
    Ok(Held {
        workspace: value(row, "workspace")?,
        name: value(row, "name")?,
        provider: value(row, "provider")?,
        kind: value(row, "kind")?,
        key: text(row, "key")?,
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
            && text::stored(&self.key) == key
            && (kind != "default" || self.name == route.name.as_str())
    }

    fn is_default_of(&self, route: &Route) -> bool {
        self.kind == "default" && self.provider == route.provider.as_str()
    }
}

/// Replaces the workspace's routes. Answers the workspaces that lost one, or why it cannot be.
pub(super) async fn replace(
    shared: &Shared,
    transaction: &mut Transaction<'static, Postgres>,
    workspace: &WorkspaceId,
    wanted: &[Route],
    take: bool,
) -> Result<Result<Vec<String>, CommitError>, Failure> {
    const OWN: &str = "DELETE FROM routes WHERE workspace = $1 RETURNING *";
    const NOW: &str = "SELECT now_ms($1)";
    const HOLDERS: &str = "SELECT * FROM route_holders($1, $2, $3)";
    const TAKE: &str = "SELECT take_route($1, $2)";
    const INSERT: &str = "INSERT INTO routes (workspace, name, provider, kind, key, since, verified) \
        VALUES ($1, $2, $3, $4, $5, $6, $7)";
    let name = workspace.as_str();
    let own = sqlx::query(OWN).bind(name).fetch_all(&mut **transaction).await?;
    let own = readable(&own, held);
    let now: i64 = sqlx::query_scalar(NOW).bind(shared.now()).fetch_one(&mut **transaction).await?;
    let now = Timestamp::from_unix_ms(now);

    let mut losers = Vec::new();
    for route in wanted {
        let (kind, key) = stored(&route.key);
        let holders = sqlx::query(HOLDERS).bind(route.provider.as_str()).bind(kind).bind(&key);
        let holders = readable(&holders.fetch_all(&mut **transaction).await?, held);
        if route.key == RouteKey::Default {
            let mut others: Vec<_> =
                holders.iter().map(|held| &held.workspace).filter(|other| *other != name).collect();
            others.dedup();
            if others.len() >= DEFAULT_WORKSPACES && !own.iter().any(|held| held.is_default_of(route)) {
                return Ok(Err(CommitError::TooManyDefaults { route: route.name.clone() }));
            }
        } else if let Some(holder) = holders.first() {
            let yields = !holder.verified && now.since(holder.since) >= YIELDS_AFTER;
            if holder.workspace == name || !(take || yields) {
                return Ok(Err(CommitError::RouteTaken { route: route.name.clone() }));
            }
            sqlx::query(TAKE).bind(&holder.workspace).bind(&holder.name).execute(&mut **transaction).await?;
            losers.push(holder.workspace.clone());
        }
        let before = own.iter().find(|held| held.is_for(route));
        sqlx::query(INSERT)
            .bind(name)
            .bind(route.name.as_str())
            .bind(route.provider.as_str())
            .bind(kind)
            .bind(&key)
            .bind(before.map_or(now, |held| held.since).unix_ms())
            .bind(before.is_some_and(|held| held.verified))
            .execute(&mut **transaction)
            .await?;
    }
    Ok(Ok(losers))
}

/// Who holds a route: asked for each webhook, so many who ask share one statement.
pub(crate) struct Holders;

impl Write for Holders {
    const WRITES: bool = false;

    type Item = (Name, RouteKey);
    type Answer = Vec<RouteOwner>;

    fn weight(_: &Self::Item) -> usize {
        256
    }

    fn keys(_: &Self::Item, _: &mut Vec<u64>) {}

    async fn write(
        _: &Shared,
        conn: &mut PgConnection,
        items: &[&Self::Item],
        _: &mut Told,
    ) -> Result<Vec<Vec<RouteOwner>>, Failure> {
        const FIND: &str = "SELECT op, workspace, name, since, verified FROM find_routes($1, $2, $3)";
        let (kinds, keys): (Vec<_>, Vec<_>) = items.iter().map(|(_, key)| stored(key)).unzip();
        let rows = sqlx::query(FIND)
            .bind(items.iter().map(|(provider, _)| provider.as_str()).collect::<Vec<_>>())
            .bind(kinds)
            .bind(keys)
            .fetch_all(conn)
            .await?;
        let mut found: Vec<Vec<RouteOwner>> = items.iter().map(|_| Vec::new()).collect();
        for row in &rows {
            if let Some(found) = found.get_mut(place(row)?) {
                found.extend(readable(std::slice::from_ref(row), owner));
            }
        }
        Ok(found)
    }
}

/// The routes of a provider, whatever names them.
pub(super) async fn of_provider(shared: &Shared, provider: &Name, limit: usize) -> Result<Vec<RouteOwner>, Failure> {
    const ALL: &str = "SELECT * FROM provider_routes($1, $2)";
    let rows = sqlx::query(ALL).bind(provider.as_str()).bind(int(limit)).fetch_all(&shared.pool).await?;
    Ok(readable(&rows, owner))
}

fn owner(row: &PgRow) -> Result<RouteOwner, Unreadable> {
    Ok(RouteOwner {
        workspace: parsed(row, "workspace")?,
        route: parsed(row, "name")?,
        since: time(row, "since")?,
        verified: value(row, "verified")?,
    })
}

/// Notes that a route has verified an event. Most of the time it has been noted, and nothing is written.
pub(super) async fn verified(shared: &Shared, workspace: &WorkspaceId, route: &Name) -> Result<(), Failure> {
    const VERIFY: &str = "UPDATE routes SET verified = true WHERE workspace = $1 AND name = $2 AND NOT verified";
    let mut transaction = shared.begin(workspace.as_str()).await?;
    sqlx::query(VERIFY).bind(workspace.as_str()).bind(route.as_str()).execute(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(())
}
