//! The periodic duties that any node may do at any time: removing what has outlived its time, and telling summaries.

use std::sync::Arc;
use std::time::Duration;

use orchestrator_types::{RetentionConfig, WorkspaceId};
use tokio::time::sleep;

use crate::clock::Clock;
use crate::engine::Engine;
use crate::error::Error;
use crate::payload;
use crate::queue::ConfigNotices;
use crate::secrets::follow as follow_keys;
use crate::store::{Owner, Sweep};

const EVERY: Duration = Duration::from_secs(10 * 60);
/// Each so many rounds, what lies in the payload store without a row is looked for.
const OBJECTS: u32 = 12;
const CHUNK: usize = 1_000;
const WORKSPACES: usize = 500;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// What deduplicates webhooks is kept at least so long, whatever the retention says: longer than providers retry.
const TOMBSTONES: Duration = Duration::from_secs(31 * 24 * 60 * 60);
/// Jobs that ended are kept like the request log, and at least so long: their answers are kept for idempotency keys.
const JOBS: Duration = Duration::from_secs(2 * 24 * 60 * 60);
const IDLE: Duration = Duration::from_secs(5 * 60);
/// Each so many rounds of the one that follows changes, the store is asked for its time.
const TIME: u32 = 10;
const SUMMARIES: Duration = Duration::from_secs(5);

/// Sweeps from time to time until the engine stops.
pub(crate) async fn sweep(engine: Arc<Engine>) {
    let mut round: u32 = 0;
    loop {
        tokio::select! {
            biased;
            () = sleep(EVERY.mul_f64(0.5 + fastrand::f64())) => {}
            () = engine.stopping.cancelled() => return,
        }
        // Listing the payload store is the dearest step, and finds only what a crash left behind.
        let objects = round.is_multiple_of(OBJECTS);
        round = round.wrapping_add(1);
        if let Err(error) = sweep_all(&engine, objects).await {
            tracing::warn!(%error, "retention did not get through");
        }
    }
}

async fn sweep_all(engine: &Engine, objects: bool) -> Result<(), Error> {
    let mut after: Option<WorkspaceId> = None;
    loop {
        let names = engine.store.workspaces(after.as_ref(), WORKSPACES).await?;
        let Some(last) = names.last() else { return Ok(()) };
        after = Some(last.clone());
        for name in names {
            // One workspace that cannot be read does not hide the others.
            if let Err(error) = sweep_one(engine, &name, objects).await {
                tracing::warn!(workspace = %name, %error, "retention passed a workspace over");
            }
        }
    }
}

async fn sweep_one(engine: &Engine, workspace: &WorkspaceId, objects: bool) -> Result<(), Error> {
    // Read, not compiled: the sweep of a workspace is no use of it.
    let kept = match engine.stored(workspace).await {
        Ok(stored) => stored.version.config.retention,
        // What a deleted workspace left behind outlives its time as well.
        Err(Error::NotFound { .. }) => RetentionConfig::default(),
        Err(error) => return Err(error),
    };
    let now = engine.store_time.now();
    let days = |days: u32| now.before(DAY * days);
    let sweep = Sweep {
        workspace: workspace.clone(),
        requests_before: days(kept.requests_days),
        events_before: days(kept.events_days),
        inbox_before: days(kept.inbox_days),
        jobs_before: now.before((DAY * kept.requests_days).max(JOBS)),
        tombstones_before: now.before(TOMBSTONES.max(DAY * kept.inbox_days)),
    };
    while engine.store.sweep(sweep.clone(), CHUNK).await? > 0 && !engine.stopping.is_cancelled() {
        tokio::task::yield_now().await;
    }
    payload::sweep(engine, workspace, DAY * kept.requests_days, objects).await
}

/// Forgets what policies remember of workspaces that nobody uses, until the engine stops: those that were not asked for in
/// two rounds, and whose limits and breakers are as good as new.
pub(crate) async fn rest(engine: Arc<Engine>) {
    loop {
        tokio::select! {
            biased;
            () = sleep(IDLE.mul_f64(0.75 + fastrand::f64() / 2.0)) => {}
            () = engine.stopping.cancelled() => return,
        }
        let gone = engine.states.drop_rested(|workspace| !engine.snapshots.used(workspace));
        gone.iter().for_each(|workspace| engine.snapshots.forget(workspace));
    }
}

/// Tells the summaries of duplicates and rejections until the engine stops.
pub(crate) async fn summaries(engine: Arc<Engine>) {
    loop {
        tokio::select! {
            biased;
            () = sleep(SUMMARIES) => {}
            () = engine.stopping.cancelled() => return,
        }
        for (workspace, event) in engine.notices.summaries() {
            if let Err(error) = engine.store.append(&workspace, vec![event]).await {
                tracing::warn!(%workspace, %error, "a summary was not written");
            }
        }
    }
}

/// Forgets what other nodes changed, within half a second, and follows the store's time, until the engine stops.
/// `epoch` is one that nothing was read before.
pub(crate) async fn follow(engine: Arc<Engine>, mut epoch: u64, notices: Option<Arc<dyn ConfigNotices>>) {
    let mut round: u32 = 0;
    loop {
        if round.is_multiple_of(TIME)
            && let Err(error) = engine.store_time.set(engine.store.as_ref()).await
        {
            tracing::debug!(%error, "the store's time cannot be had now");
        }
        round = round.wrapping_add(1);
        match engine.store.changed_since(epoch).await {
            Ok((now, owners)) => {
                epoch = now;
                owners.iter().filter_map(|owner| owner.workspace()).for_each(|owner| engine.snapshots.forget(owner));
                if owners.contains(&Owner::Install)
                    && let Err(error) = follow_keys(&engine).await
                {
                    tracing::warn!(%error, "the rotation of the install's key was not looked at");
                }
            }
            Err(error) => tracing::debug!(%error, "changes cannot be looked for now"),
        }
        tokio::select! {
            biased;
            () = sleep(Duration::from_millis(400 + fastrand::u64(..100))) => {}
            () = engine.hub.control.notified() => {}
            () = heard(notices.as_deref()) => {}
            () = engine.stopping.cancelled() => return,
        }
    }
}

async fn heard(notices: Option<&dyn ConfigNotices>) {
    match notices {
        Some(notices) => notices.heard().await,
        None => std::future::pending().await,
    }
}

/// Tells other nodes of what this one changed, until the engine stops.
pub(crate) async fn announce(engine: Arc<Engine>, notices: Arc<dyn ConfigNotices>) {
    loop {
        tokio::select! {
            biased;
            () = engine.hub.changed.notified() => {}
            () = engine.stopping.cancelled() => return,
        }
        tokio::select! {
            biased;
            () = notices.tell() => {}
            () = engine.stopping.cancelled() => return,
        }
    }
}
