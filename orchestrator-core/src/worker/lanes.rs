//! Lanes that would not admit a call now: their jobs stay in the store, so that they take no slot and hold up nobody.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::store::LaneKey;

/// A claim names at most so many; the others are given back when they are met.
const NAMED: usize = 256;

/// The lanes that are paused, and until when.
#[derive(Default)]
pub(super) struct Lanes(Mutex<HashMap<LaneKey, Instant>>);

impl Lanes {
    pub(super) fn pause(&self, lane: LaneKey, wait: Duration) {
        let until = Instant::now() + wait;
        let mut paused = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if paused.len() < NAMED || paused.contains_key(&lane) {
            paused.insert(lane, until);
        }
    }

    /// The lanes that are paused now.
    pub(super) fn paused(&self) -> Vec<LaneKey> {
        let now = Instant::now();
        let mut paused = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        paused.retain(|_, until| *until > now);
        paused.keys().cloned().collect()
    }

    /// How long until the first of them opens.
    pub(super) fn next(&self) -> Option<Duration> {
        let now = Instant::now();
        let paused = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        paused.values().map(|until| until.saturating_duration_since(now)).min()
    }
}
