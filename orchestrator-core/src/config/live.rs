//! The live config of a workspace, compiled: stacks built, routes by name. Swapped whole; a request pins one at its start.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use orchestrator_types::{
    CallbackConfig, ConnectorConfig, Name, Policy, SecretRef, WorkspaceConfig, WorkspaceId, WorkspaceStatus,
};
use quick_cache::sync::Cache;

use crate::connector::{Connector, SecretSlots, SecretSource};
use crate::execute::{CallStack, call_stack};
use crate::policy::PolicyState;
use crate::secrets::{Reference, SecretResolver};

const CACHED: usize = 16_384;

/// The active version of a workspace, ready to be used.
pub(crate) struct LiveConfig {
    pub(crate) workspace: WorkspaceId,
    pub(crate) status: WorkspaceStatus,
    pub(crate) version: u32,
    pub(crate) etag: String,
    pub(crate) config: WorkspaceConfig,
    pub(crate) connectors: BTreeMap<Name, Arc<LiveConnector>>,
    pub(crate) callbacks: BTreeMap<Name, Arc<LiveCallback>>,
    /// Whether it was asked for since it was last looked at.
    used: AtomicBool,
}

/// A connector under its policy.
pub(crate) struct LiveConnector {
    pub(crate) name: Name,
    pub(crate) connector: Arc<dyn Connector>,
    pub(crate) policy: Policy,
    pub(crate) state: Arc<PolicyState>,
    pub(crate) stack: CallStack,
    pub(crate) secrets: SecretSlots,
}

/// A callback under its policy.
pub(crate) struct LiveCallback {
    pub(crate) name: Name,
    pub(crate) config: CallbackConfig,
    pub(crate) policy: Policy,
    pub(crate) state: Arc<PolicyState>,
    pub(crate) stack: CallStack,
    pub(crate) signing_secret: SecretRef,
}

impl LiveConfig {
    /// A secret reference of the config, as connectors see it.
    pub(crate) fn source(&self, resolver: &Arc<SecretResolver>, reference: &Name) -> Option<Arc<dyn SecretSource>> {
        source(&self.workspace, &self.config, resolver, reference)
    }
}

/// A secret reference of a config, as connectors see it.
pub(crate) fn source(
    workspace: &WorkspaceId,
    config: &WorkspaceConfig,
    resolver: &Arc<SecretResolver>,
    reference: &Name,
) -> Option<Arc<dyn SecretSource>> {
    let reference = config.secret_refs.get(reference)?.clone();
    Some(Arc::new(Reference { resolver: resolver.clone(), workspace: workspace.clone(), reference }))
}

/// The secret slots of a connector of a config.
pub(super) fn slots(
    workspace: &WorkspaceId,
    config: &WorkspaceConfig,
    resolver: &Arc<SecretResolver>,
    connector: &ConnectorConfig,
) -> SecretSlots {
    let sources = connector
        .secrets
        .iter()
        .filter_map(|(slot, reference)| Some((slot.clone(), source(workspace, config, resolver, reference)?)));
    SecretSlots::new(sources.collect())
}

/// Builds the live config of a version.
#[allow(clippy::too_many_arguments, reason = "it takes the parts of a version and the engine's own")]
pub(crate) fn compile(
    engine: &crate::engine::Engine,
    workspace: &WorkspaceId,
    status: WorkspaceStatus,
    version: u32,
    etag: String,
    config: WorkspaceConfig,
) -> LiveConfig {
    let mut wanted: BTreeMap<(bool, Name), &Policy> = BTreeMap::new();
    for (name, connector) in &config.connectors {
        wanted.extend(config.policies.get(&connector.policy).map(|policy| ((false, name.clone()), policy)));
    }
    for (name, callback) in &config.callbacks {
        wanted.extend(config.policies.get(&callback.policy).map(|policy| ((true, name.clone()), policy)));
    }
    let states = engine.states.adapt(workspace, &wanted);
    let mut connectors = BTreeMap::new();
    for (name, connector) in &config.connectors {
        let lane = (false, name.clone());
        let (Some(policy), Some(state)) = (wanted.get(&lane), states.get(&lane)) else { continue };
        state.hold(connector.breaker_hold);
        let secrets = slots(workspace, &config, &engine.secrets, connector);
        // Both were checked before the version was made; a kind that this build does not have is not found when called.
        let Some(Ok(built)) = engine.kinds.build(&connector.kind, &connector.settings, secrets.clone()) else {
            continue;
        };
        let live = LiveConnector {
            name: name.clone(),
            connector: built,
            policy: (*policy).clone(),
            stack: call_stack(policy, state),
            state: state.clone(),
            secrets,
        };
        connectors.insert(name.clone(), Arc::new(live));
    }
    let mut callbacks = BTreeMap::new();
    for (name, callback) in &config.callbacks {
        let lane = (true, name.clone());
        let (Some(policy), Some(state)) = (wanted.get(&lane), states.get(&lane)) else { continue };
        let Some(signing_secret) = config.secret_refs.get(&callback.signing_secret).cloned() else { continue };
        state.hold(callback.breaker_hold);
        let live = LiveCallback {
            name: name.clone(),
            config: callback.clone(),
            policy: (*policy).clone(),
            stack: call_stack(policy, state),
            state: state.clone(),
            signing_secret,
        };
        callbacks.insert(name.clone(), Arc::new(live));
    }
    let (workspace, used) = (workspace.clone(), AtomicBool::new(true));
    LiveConfig { workspace, status, version, etag, config, connectors, callbacks, used }
}

/// The live configs of the workspaces in use, bounded.
pub(crate) struct Snapshots {
    cache: Cache<WorkspaceId, Arc<LiveConfig>>,
    /// Grows when something is forgotten: what was read before is then not kept.
    generation: AtomicU64,
}

impl Default for Snapshots {
    fn default() -> Self {
        Self { cache: Cache::new(CACHED), generation: AtomicU64::new(0) }
    }
}

impl Snapshots {
    pub(crate) fn get(&self, workspace: &WorkspaceId) -> Option<Arc<LiveConfig>> {
        let live = self.cache.get(workspace)?;
        // Written only when it changes: all calls of a workspace read this line.
        if !live.used.load(Ordering::Relaxed) {
            live.used.store(true, Ordering::Relaxed);
        }
        Some(live)
    }

    /// Whether the workspace was asked for since this was last asked about it.
    pub(crate) fn used(&self, workspace: &WorkspaceId) -> bool {
        self.cache.get(workspace).is_some_and(|live| live.used.swap(false, Ordering::Relaxed))
    }

    /// To be asked before the store is read.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Keeps what was read under `generation`, unless something was forgotten meanwhile.
    pub(crate) fn keep(&self, live: &Arc<LiveConfig>, generation: u64) {
        self.cache.insert(live.workspace.clone(), live.clone());
        if self.generation() != generation {
            self.cache.remove(&live.workspace);
        }
    }

    pub(crate) fn forget(&self, workspace: &WorkspaceId) {
        self.generation.fetch_add(1, Ordering::AcqRel);
        self.cache.remove(workspace);
    }
}
