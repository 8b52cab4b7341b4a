//! The install's keys, for its administrator.

use std::sync::Arc;

use orchestrator_types::{InstallKeyState, InstallKeyView, InstallKeysView, KeyRotationView};
use serde_json::json;

use super::record::{self, Rotation};
use super::run;
use super::usage::{Used, key_usage};
use crate::actor::{Actor, Reason};
use crate::engine::Engine;
use crate::error::Error;
use crate::secrets::KeySourceError;
use crate::secrets::keys::InstallKeys;
use crate::secrets::seal::KeyId;

/// The keys of the install.
#[derive(Clone, Copy)]
pub struct Keys<'a>(pub(crate) &'a Arc<Engine>);

impl Keys<'_> {
    /// Which key seals how much, and how the last rotation went.
    ///
    /// # Errors
    /// The install has no keys, or the store.
    pub async fn view(&self) -> Result<InstallKeysView, Error> {
        let ring = self.keys()?.ring();
        let mut usage = key_usage(self.0.store.as_ref()).await?.0;
        let view = |id: KeyId, state, used: Used| InstallKeyView {
            id: id.to_string(),
            state,
            data_keys: used.data_keys,
            install_secrets: used.install_secrets,
        };
        let mut keys = Vec::new();
        for id in ring.key_ids() {
            let state = if id == ring.current() { InstallKeyState::Sealing } else { InstallKeyState::Opening };
            keys.push(view(id, state, usage.remove(&id).unwrap_or_default()));
        }
        keys.extend(usage.into_iter().map(|(id, used)| view(id, InstallKeyState::Missing, used)));
        let rotation = record::read(self.0).await?.0.map(|rotation| rotation.view());
        Ok(InstallKeysView { keys, rotation })
    }

    /// Begins a rotation to the key that stands first in the key files, which are read anew, or to one that is drawn
    /// and written there. It goes on by itself, also when this node ends; [`view`](Self::view) tells how far it is.
    ///
    /// # Errors
    /// A rotation is under way, the keys cannot be read or written, or the store.
    pub async fn rotate(&self, actor: &Actor, reason: &Reason, generate: bool) -> Result<KeyRotationView, Error> {
        let keys = self.keys()?;
        let (last, expect) = record::read(self.0).await?;
        if last.is_some_and(|last| last.is_open() && !last.is_abandoned(self.0.clock.now())) {
            let detail = "a rotation of the install's key is under way".to_owned();
            return Err(Error::WrongState { code: "rotation_running", detail });
        }
        let before = keys.ring().current();
        let read = if generate { keys.renew().await } else { keys.reload().await };
        let key = read.map_err(|error| unreadable(&error))?;
        let mut rotation = Rotation::announced(self.0, key);
        let audit = actor.audit("secret.rotate_kek", key).because(reason);
        let audit = audit.change(Some(json!({"key": before})), Some(json!({"key": key, "generated": generate})));
        let Some(expect) = record::write(self.0, &mut rotation, expect, Some(audit)).await? else {
            return Err(Error::Stale);
        };
        let view = rotation.view();
        self.0.tasks.spawn(run::run(self.0.clone(), rotation, expect));
        Ok(view)
    }

    fn keys(&self) -> Result<&Arc<InstallKeys>, Error> {
        let none = || Error::WrongState { code: "no_install_key", detail: "this install has no keys".to_owned() };
        self.0.secrets.keys.as_ref().ok_or_else(none)
    }
}

/// Where the keys lie is told to who reads the log.
fn unreadable(error: &KeySourceError) -> Error {
    tracing::error!(%error, "the install's keys cannot be rotated");
    let detail = "the key file cannot be read or written: the server's log says why".to_owned();
    Error::WrongState { code: "key_unavailable", detail }
}
