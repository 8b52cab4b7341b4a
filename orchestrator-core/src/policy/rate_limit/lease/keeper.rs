//! Fetches the next lots of tokens: one task for all lanes of a node.

use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::{SharedLimit, Stock, TokenLeases};

/// So many lanes may wait for a lot at once; further ones ask again with their next call.
const WAITING: usize = 4_096;
/// So many are asked for at once.
const AT_ONCE: usize = 64;
/// Who does not answer within this is away.
const PATIENCE: Duration = Duration::from_secs(1);

/// The way to the shared limits, for all lanes of a node. Clones share it.
#[derive(Clone)]
pub struct Keeper {
    leases: Arc<dyn TokenLeases>,
    wanted: mpsc::Sender<Weak<Stock>>,
}

impl Keeper {
    /// Over `leases`; and the future that fetches, to be spawned. It ends when every keeper and every limit that was made
    /// with it is gone.
    pub fn new(leases: Arc<dyn TokenLeases>) -> (Self, impl Future<Output = ()> + Send + use<>) {
        let (wanted, asked) = mpsc::channel(WAITING);
        (Self { leases: Arc::clone(&leases), wanted }, fetch(leases, asked))
    }

    /// How many nodes share the limits.
    pub(crate) fn nodes(&self) -> u32 {
        self.leases.nodes().max(1)
    }

    pub(crate) fn stock(&self, limit: SharedLimit) -> Arc<Stock> {
        Arc::new(Stock::new(limit))
    }

    /// Has the next lot fetched. Never waits.
    pub(crate) fn want(&self, stock: &Arc<Stock>) {
        if self.wanted.try_send(Arc::downgrade(stock)).is_err() {
            // The next call asks again.
            stock.answered(None);
        }
    }
}

impl std::fmt::Debug for Keeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keeper").field("nodes", &self.nodes()).finish_non_exhaustive()
    }
}

async fn fetch(leases: Arc<dyn TokenLeases>, mut asked: mpsc::Receiver<Weak<Stock>>) {
    let mut fetching = FuturesUnordered::new();
    loop {
        tokio::select! {
            biased;
            // One slow lane does not hold the others up.
            Some(()) = fetching.next(), if !fetching.is_empty() => {}
            stock = asked.recv(), if fetching.len() < AT_ONCE => match stock {
                Some(stock) => fetching.push(one(&*leases, stock)),
                None => break,
            },
        }
    }
}

async fn one(leases: &dyn TokenLeases, stock: Weak<Stock>) {
    // A lane that is gone needs no tokens.
    let Some(stock) = stock.upgrade() else { return };
    let answer = timeout(PATIENCE, leases.lease(&stock.limit, stock.wanted())).await;
    stock.answered(answer.ok().and_then(Result::ok));
}
