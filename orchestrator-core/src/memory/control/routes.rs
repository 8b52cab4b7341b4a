//! The route index in memory: by what names a route, and by whose it is.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use orchestrator_types::{Name, Timestamp, WorkspaceId};

use crate::store::{CommitError, DEFAULT_WORKSPACES, Route, RouteKey, RouteOwner};

/// How long a route may be held without a verified event before it yields.
const UNVERIFIED_HELD: Duration = Duration::from_secs(24 * 3600);

#[derive(Default)]
pub(super) struct Routes {
    /// At most one holder, but for [`RouteKey::Default`].
    index: BTreeMap<(Name, RouteKey), Vec<RouteOwner>>,
    owned: BTreeMap<WorkspaceId, Vec<Route>>,
}

fn place(route: &Route) -> (Name, RouteKey) {
    (route.provider.clone(), route.key.clone())
}

impl Routes {
    pub(super) fn held(&self, provider: &Name, key: &RouteKey) -> Vec<RouteOwner> {
        let holders = self.index.get(&(provider.clone(), key.clone())).into_iter().flatten();
        holders.cloned().collect()
    }

    pub(super) fn of_provider(&self, provider: &Name, limit: usize) -> Vec<RouteOwner> {
        let all = self.index.iter().filter(|((of, _), _)| of == provider);
        all.flat_map(|(_, holders)| holders).take(limit).cloned().collect()
    }

    pub(super) fn verified(&mut self, workspace: &WorkspaceId, name: &Name) {
        let routes = self.owned.get(workspace).into_iter().flatten();
        for route in routes.filter(|route| route.name == *name) {
            let holders = self.index.get_mut(&place(route)).into_iter().flatten();
            for holder in holders.filter(|holder| holder.workspace == *workspace && holder.route == *name) {
                holder.verified = true;
            }
        }
    }

    /// Whether the workspace may have these routes.
    pub(super) fn check(
        &self,
        workspace: &WorkspaceId,
        routes: &[Route],
        take: bool,
        now: Timestamp,
    ) -> Result<(), CommitError> {
        let mut wanted = BTreeSet::new();
        for route in routes.iter().filter(|route| route.key != RouteKey::Default) {
            let holders = self.index.get(&place(route)).into_iter().flatten();
            let kept = |holder: &RouteOwner| {
                let yields = take || (!holder.verified && holder.since.after(UNVERIFIED_HELD) <= now);
                holder.workspace != *workspace && !yields
            };
            if !wanted.insert(place(route)) || holders.into_iter().any(kept) {
                return Err(CommitError::RouteTaken { route: route.name.clone() });
            }
        }
        for route in routes.iter().filter(|route| route.key == RouteKey::Default) {
            let holders = self.index.get(&place(route)).into_iter().flatten();
            let holders: BTreeSet<_> = holders.map(|holder| &holder.workspace).collect();
            if holders.len() >= DEFAULT_WORKSPACES && !holders.contains(workspace) {
                return Err(CommitError::TooManyDefaults { route: route.name.clone() });
            }
        }
        Ok(())
    }

    /// Makes these the workspace's routes, after [`check`](Self::check). One that stays keeps its standing.
    pub(super) fn replace(&mut self, workspace: &WorkspaceId, routes: Vec<Route>, now: Timestamp) {
        let mut before = Vec::new();
        for route in self.owned.remove(workspace).unwrap_or_default() {
            before.extend(self.release(workspace, &route).map(|holder| (route, holder)));
        }
        for route in &routes {
            if route.key != RouteKey::Default {
                self.take(route);
            }
            let stayed = before.iter().find(|(old, _)| {
                let same = old.provider == route.provider && old.key == route.key;
                same && (route.key != RouteKey::Default || old.name == route.name)
            });
            let (since, verified) = stayed.map_or((now, false), |(_, holder)| (holder.since, holder.verified));
            let holder = RouteOwner { workspace: workspace.clone(), route: route.name.clone(), since, verified };
            self.index.entry(place(route)).or_default().push(holder);
        }
        if !routes.is_empty() {
            self.owned.insert(workspace.clone(), routes);
        }
    }

    /// Removes a workspace's hold of a route.
    fn release(&mut self, workspace: &WorkspaceId, route: &Route) -> Option<RouteOwner> {
        let place = place(route);
        let holders = self.index.get_mut(&place)?;
        let found = holders.iter().position(|holder| holder.workspace == *workspace && holder.route == route.name)?;
        let holder = holders.remove(found);
        if holders.is_empty() {
            self.index.remove(&place);
        }
        Some(holder)
    }

    /// Takes a route from whoever holds it.
    fn take(&mut self, route: &Route) {
        for holder in self.index.remove(&place(route)).unwrap_or_default() {
            if let Some(owned) = self.owned.get_mut(&holder.workspace) {
                owned.retain(|old| place(old) != place(route));
            }
        }
    }
}
