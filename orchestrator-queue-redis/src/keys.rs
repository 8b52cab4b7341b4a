//! The names of keys. All of one workspace share a hash tag, and so a slot of a cluster.

use orchestrator_core::policy::rate_limit::lease::LimitKey;
use orchestrator_core::store::KeyRoute;
use orchestrator_core::types::{IdempotencyKey, WorkspaceId};

/// How keys and channels are named.
#[derive(Debug, Clone)]
pub(crate) struct Keys {
    prefix: String,
    environment: String,
    shards: u16,
}

/// The keys of a shard: all hints of some of the workspaces.
#[derive(Debug, Clone)]
pub(crate) struct Shard {
    /// What the keys of its workspaces begin with.
    pub(crate) base: String,
    /// The workspaces that have hints, by whose turn it is.
    pub(crate) turn: String,
    /// Hints whose time has not come.
    pub(crate) later: String,
    /// How many turns there were.
    pub(crate) round: String,
    /// How many hints are due.
    pub(crate) count: String,
}

impl Keys {
    pub(crate) fn new(prefix: &str, environment: &str, shards: u16) -> Self {
        Self { prefix: prefix.to_owned(), environment: environment.to_owned(), shards: shards.max(1) }
    }

    pub(crate) fn shards(&self) -> Vec<Shard> {
        (0..self.shards).map(|number| self.shard(number)).collect()
    }

    fn shard(&self, number: u16) -> Shard {
        let base = format!("{}:{{{}/{number}}}:", self.prefix, self.environment);
        let name = |key: &str| format!("{base}{key}");
        Shard {
            turn: name("turn"),
            later: name("later"),
            round: name("round"),
            count: name("count"),
            base: base.clone(),
        }
    }

    /// The number of the shard that a workspace is in.
    pub(crate) fn shard_of(&self, workspace: &WorkspaceId) -> usize {
        let hash = fnv(0xcbf2_9ce4_8422_2325, workspace.as_str());
        usize::try_from(hash % u64::from(self.shards)).unwrap_or_default()
    }

    pub(crate) fn limit(&self, limit: &LimitKey) -> String {
        let kind = if limit.delivery { "delivery" } else { "call" };
        format!("{}:{{{}/{}}}:limit:{kind}:{}", self.prefix, self.environment, limit.workspace, limit.target)
    }

    /// Of an idempotency key, which is not told itself. That two have the same hash costs a read.
    pub(crate) fn seen(&self, workspace: &WorkspaceId, route: KeyRoute, key: &IdempotencyKey) -> String {
        let (one, other) = (fnv(0xcbf2_9ce4_8422_2325, key.as_str()), fnv(0x9ae1_6a3b_2f90_404f, key.as_str()));
        format!("{}:{{{}/{workspace}}}:seen:{}:{one:016x}{other:016x}", self.prefix, self.environment, route.as_str())
    }

    /// Of the install: its nodes, what is written to see whether anything can be.
    pub(crate) fn install(&self, key: &str) -> String {
        format!("{}:{{{}}}:{key}", self.prefix, self.environment)
    }
}

/// FNV-1a: the same on every node and in every version.
fn fnv(begin: u64, text: &str) -> u64 {
    text.bytes().fold(begin, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn inv_16_environments_and_prefixes_are_apart() {
        let names = [("a", "dev"), ("a", "prod"), ("b", "dev")].map(|(prefix, environment)| {
            let keys = Keys::new(prefix, environment, 2);
            (keys.shards()[0].turn.clone(), keys.shards()[1].turn.clone(), keys.install("nodes"))
        });
        assert_eq!(names[0].0, "a:{dev/0}:turn");
        let all: std::collections::BTreeSet<_> =
            names.into_iter().flat_map(|(one, two, three)| [one, two, three]).collect();
        assert_eq!(all.len(), 9);
    }

    #[test]
    fn a_workspace_stays_in_its_shard() {
        let keys = Keys::new("a", "dev", 8);
        assert_eq!(keys.shard_of(&"shop-dev".parse().unwrap()), keys.shard_of(&"shop-dev".parse().unwrap()));
        let used: std::collections::BTreeSet<_> =
            (0..100).map(|number| keys.shard_of(&format!("shop{number}-dev").parse().unwrap())).collect();
        assert_eq!(used.len(), 8);
    }
}
