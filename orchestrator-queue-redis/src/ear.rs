//! Hears what other nodes publish: that there are hints, that a config changed. A connection of its own, which comes back by
//! itself; what was said while it was away is missed, so that whoever waits is woken when it is back.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::StreamExt;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::keys::Keys;
use crate::place::Place;

/// A connection that is silent for so long is asked whether it lives.
const SILENT: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_secs(1);
/// It is connected again after so long, and then ever less often.
const FIRST: Duration = Duration::from_millis(50);
const LAST: Duration = Duration::from_secs(2);

/// The channels.
#[derive(Debug, Clone)]
pub(crate) struct Channels {
    /// There are hints.
    pub(crate) hints: String,
    /// A config changed.
    pub(crate) configs: String,
}

impl Channels {
    pub(crate) fn new(keys: &Keys) -> Self {
        Self { hints: keys.install("hints"), configs: keys.install("configs") }
    }
}

/// What was heard.
#[derive(Default)]
pub(crate) struct Heard {
    /// Wakes those that wait for hints.
    pub(crate) hints: Notify,
    /// Wakes the one that follows configs; a notice is kept for it.
    pub(crate) configs: Notify,
    listening: AtomicBool,
}

impl Heard {
    /// Whether anything would be heard now.
    pub(crate) fn listens(&self) -> bool {
        self.listening.load(Ordering::Relaxed)
    }

    fn may_have_missed(&self) {
        self.hints.notify_waiters();
        self.configs.notify_one();
    }
}

/// Listens until it is dropped.
pub(crate) struct Ear {
    pub(crate) heard: Arc<Heard>,
    task: AbortHandle,
}

impl Ear {
    pub(crate) fn open(place: &Arc<Place>, channels: Channels) -> Self {
        let heard = Arc::new(Heard::default());
        let task = tokio::spawn(listen(Arc::downgrade(place), channels, heard.clone())).abort_handle();
        Self { heard, task }
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn listen(place: Weak<Place>, channels: Channels, heard: Arc<Heard>) {
    let mut pause = FIRST;
    loop {
        let Some(held) = place.upgrade() else { return };
        let began = Instant::now();
        hear(&held, &channels, &heard).await;
        drop(held);
        heard.listening.store(false, Ordering::Relaxed);
        // They wait for what they would not hear.
        heard.hints.notify_waiters();
        if began.elapsed() > SILENT {
            pause = FIRST;
        }
        sleep(pause.mul_f64(0.5 + fastrand::f64())).await;
        pause = (pause * 2).min(LAST);
    }
}

/// Hears until the connection is lost.
async fn hear(place: &Place, channels: &Channels, heard: &Heard) {
    let listening = match place.listen().await {
        Ok(listening) => listening,
        Err(error) => return tracing::debug!(%error, "what other nodes say is not heard now"),
    };
    let (mut sink, mut said) = listening.split();
    let subscribed = timeout(PATIENCE, sink.subscribe(&[&channels.hints, &channels.configs])).await;
    if !matches!(subscribed, Ok(Ok(()))) {
        return;
    }
    heard.listening.store(true, Ordering::Relaxed);
    heard.may_have_missed();
    loop {
        match timeout(SILENT, said.next()).await {
            Ok(Some(message)) if message.get_channel_name() == channels.configs => heard.configs.notify_one(),
            Ok(Some(_)) => heard.hints.notify_waiters(),
            Ok(None) => return,
            Err(_) => match timeout(PATIENCE, sink.ping::<redis::Value>()).await {
                Ok(Ok(_)) => {}
                _ => return,
            },
        }
    }
}
