//! What every node does about a rotation that is announced.

use std::sync::Arc;
use std::time::Duration;

use orchestrator_types::KeyRotationStatus;
use tokio::time::sleep;

use super::record::{self, Rotation};
use super::run;
use crate::engine::Engine;
use crate::error::Error;

const EVERY: Duration = Duration::from_secs(15);

/// Looks at the rotation's record: reads the keys anew if a key is announced that this node lacks, objects if it still
/// does, and seals with the new one from when it is settled that all nodes have it.
pub(crate) async fn follow(engine: &Engine) -> Result<(), Error> {
    let Some(keys) = &engine.secrets.keys else { return Ok(()) };
    let (Some(mut rotation), expect) = record::read(engine).await? else { return Ok(()) };
    if !keys.ring().has(rotation.key)
        && let Err(error) = keys.reload().await
    {
        tracing::warn!(%error, "the keys cannot be read anew");
    }
    match rotation.status {
        KeyRotationStatus::Announced if !keys.ring().has(rotation.key) => {
            let key = rotation.key;
            tracing::error!(%key, "a rotation to a key is announced that this node's key files lack: it is refused");
            rotation.fail(format!("a node lacks the key {key}: bring it to every node's key file first"));
            record::write(engine, &mut rotation, expect, None).await?;
        }
        KeyRotationStatus::Running | KeyRotationStatus::Done if !keys.promote(rotation.key).await => {
            tracing::error!(key = %rotation.key, "this node's key files lack the key that seals: what it seals does not open here");
        }
        _ => {}
    }
    Ok(())
}

/// Takes up a rotation that broke off, from time to time, until the engine stops.
pub(crate) async fn resume(engine: Arc<Engine>) {
    if engine.secrets.keys.is_none() {
        return;
    }
    loop {
        if let Err(error) = look(&engine).await {
            tracing::warn!(%error, "the rotation of the install's key was not looked at");
        }
        tokio::select! {
            biased;
            () = sleep(EVERY.mul_f64(0.5 + fastrand::f64())) => {}
            () = engine.stopping.cancelled() => return,
        }
    }
}

async fn look(engine: &Arc<Engine>) -> Result<(), Error> {
    follow(engine).await?;
    let (Some(mut rotation), expect) = record::read(engine).await? else { return Ok(()) };
    let has = engine.secrets.keys.as_ref().is_some_and(|keys| keys.ring().has(rotation.key));
    if !has || !rotation.is_abandoned(engine.clock.now()) {
        return Ok(());
    }
    // Counted anew: what was sealed again is not met again.
    rotation = Rotation { node: engine.node.clone(), seen: 0, failed: 0, ..rotation };
    if let Some(expect) = record::write(engine, &mut rotation, expect, None).await? {
        tracing::info!(key = %rotation.key, "a rotation of the install's key that broke off is taken up");
        run::run(engine.clone(), rotation, expect).await;
    }
    Ok(())
}
