//! Notices of changed configs: nodes look at the epoch at once, and not at the next poll.

use std::sync::Arc;

use async_trait::async_trait;
use orchestrator_core::queue::ConfigNotices;
use redis::{Value, cmd};

use crate::ear::{Channels, Ear};
use crate::place::Place;

/// Notices through Redis.
pub struct RedisNotices {
    place: Arc<Place>,
    channels: Channels,
    ear: Arc<Ear>,
}

impl RedisNotices {
    pub(crate) fn new(place: Arc<Place>, channels: Channels, ear: Arc<Ear>) -> Self {
        Self { place, channels, ear }
    }
}

#[async_trait]
impl ConfigNotices for RedisNotices {
    async fn tell(&self) {
        if let Err(error) = self.place.ask::<Value>(cmd("PUBLISH").arg(&self.channels.configs).arg("")).await {
            tracing::debug!(%error, "other nodes were not told of a changed config: they see it by themselves");
        }
    }

    async fn heard(&self) {
        self.ear.heard.configs.notified().await;
    }
}
