//! What the policies of each workspace remember, kept across config versions and for as long as it says anything.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use orchestrator_types::{Name, Policy, WorkspaceId};

use crate::policy::PolicyState;
use crate::policy::rate_limit::lease::{Keeper, LimitKey};

/// A connector (false) or callback (true) of a workspace.
type Lane = (bool, Name);
type Lanes = BTreeMap<Lane, Arc<PolicyState>>;

/// The states of the lanes of each workspace.
#[derive(Default)]
pub(crate) struct PolicyStates {
    lanes: Mutex<HashMap<WorkspaceId, Lanes>>,
    /// Where limits are shared with other nodes.
    keeper: Option<Keeper>,
}

impl PolicyStates {
    /// States whose rate limits are shared through `keeper`, if there is one.
    pub(crate) fn new(keeper: Option<Keeper>) -> Self {
        Self { lanes: Mutex::default(), keeper }
    }

    /// The states for a new version: what has the same numbers is kept, what is not named any more is dropped.
    pub(crate) fn adapt(&self, workspace: &WorkspaceId, wanted: &BTreeMap<Lane, &Policy>) -> Lanes {
        let mut all = self.lock();
        let known = all.get(workspace);
        let states: Lanes = wanted
            .iter()
            .map(|(lane, policy)| {
                let state = match known.and_then(|known| known.get(lane)) {
                    Some(state) => state.adapt(policy),
                    None => self.fresh(workspace, lane, policy),
                };
                (lane.clone(), state)
            })
            .collect();
        if states.is_empty() {
            all.remove(workspace);
        } else {
            all.insert(workspace.clone(), states.clone());
        }
        states
    }

    /// Forgets a workspace that is gone.
    pub(crate) fn drop_all(&self, workspace: &WorkspaceId) {
        self.lock().remove(workspace);
    }

    /// Forgets the workspaces that are idle, as `idle` says, and of which nothing is to be remembered: made anew, their states
    /// would be the same. Says which.
    pub(crate) fn drop_rested(&self, idle: impl Fn(&WorkspaceId) -> bool) -> Vec<WorkspaceId> {
        let mut all = self.lock();
        let rested = |lanes: &Lanes| lanes.values().all(|state| state.rested());
        let gone: Vec<_> = all
            .iter()
            .filter(|(workspace, lanes)| idle(workspace) && rested(lanes))
            .map(|(workspace, _)| workspace.clone())
            .collect();
        gone.iter().for_each(|workspace| drop(all.remove(workspace)));
        gone
    }

    /// How many lanes are remembered.
    pub(crate) fn len(&self) -> usize {
        self.lock().values().map(BTreeMap::len).sum()
    }

    fn fresh(&self, workspace: &WorkspaceId, (delivery, target): &Lane, policy: &Policy) -> Arc<PolicyState> {
        match &self.keeper {
            Some(keeper) => {
                let lane = LimitKey { workspace: workspace.clone(), delivery: *delivery, target: target.clone() };
                PolicyState::shared(policy, keeper.clone(), lane)
            }
            None => PolicyState::new(policy),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<WorkspaceId, Lanes>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use orchestrator_types::{BreakerPolicy, RateLimitPolicy};

    use super::*;

    fn policy() -> Policy {
        Policy {
            rate_limit: Some(RateLimitPolicy { per_second: 1.0, burst: 2, ..RateLimitPolicy::default() }),
            breaker: Some(BreakerPolicy::default()),
            ..Policy::default()
        }
    }

    fn lane() -> Lane {
        (false, "billing-api".parse().unwrap())
    }

    fn in_use(states: &PolicyStates, workspace: &str) -> Arc<PolicyState> {
        let policy = policy();
        let states = states.adapt(&workspace.parse().unwrap(), &BTreeMap::from([(lane(), &policy)]));
        states.values().next().unwrap().clone()
    }

    #[tokio::test(start_paused = true)]
    async fn inv_37_what_is_idle_and_says_nothing_any_more_is_dropped() {
        let states = PolicyStates::default();
        let (spent, _fresh) = (in_use(&states, "buildos-dev"), in_use(&states, "beauty-dev"));
        assert!(spent.limiter().unwrap().admit().is_ok());
        // What is used stays, and so does a limit that is not rested: dropping it would give its burst again.
        assert_eq!(states.drop_rested(|_| false), []);
        assert_eq!(states.drop_rested(|_| true), ["beauty-dev".parse().unwrap()]);
        assert_eq!(states.len(), 1);
        tokio::time::advance(std::time::Duration::from_secs(60)).await;
        assert_eq!(states.drop_rested(|_| true), ["buildos-dev".parse().unwrap()]);
        assert_eq!(states.len(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn inv_15_the_same_name_in_another_workspace_is_another_lane() {
        let states = PolicyStates::default();
        let (one, other) = (in_use(&states, "buildos-dev"), in_use(&states, "beauty-dev"));
        while one.limiter().unwrap().admit().is_ok() {}
        assert!(other.limiter().unwrap().admit().is_ok());
    }
}
