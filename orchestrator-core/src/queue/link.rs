//! The way from an engine to its queue: offers go behind the commit, in batches; a queue that is away is left alone and
//! asked from time to time. Nothing here waits for long, and nothing is lost that the store does not know.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep_until, timeout};

use super::{JobHint, JobQueue, QueueAway, Take};

/// So many hints wait for being offered; further ones are the reconciler's.
const WAITING: usize = 16_384;
/// So many are offered at once.
const BATCH: usize = 512;
/// Who does not answer within this is away.
const PATIENCE: Duration = Duration::from_secs(2);
/// A queue that is away is asked after so long, and then ever less often.
const FIRST: Duration = Duration::from_millis(100);
const LAST: Duration = Duration::from_secs(2);

/// An engine's queue.
pub(crate) struct Link {
    queue: Arc<dyn JobQueue>,
    offers: mpsc::Sender<JobHint>,
    serving: AtomicBool,
    lost: Notify,
    /// It has come back: what it may have forgotten is to be offered again.
    pub(crate) returned: Notify,
}

impl Link {
    /// Over `queue`; and the future that offers, to be spawned. It does not end by itself.
    pub(crate) fn new(queue: Arc<dyn JobQueue>) -> (Arc<Self>, impl Future<Output = ()> + Send + use<>) {
        let (offers, offered) = mpsc::channel(WAITING);
        let link = Arc::new(Self {
            queue,
            offers,
            serving: AtomicBool::new(true),
            lost: Notify::new(),
            returned: Notify::new(),
        });
        (link.clone(), offer(link, offered))
    }

    /// Whether the queue answers.
    pub(crate) fn serves(&self) -> bool {
        self.serving.load(Ordering::Relaxed)
    }

    /// Has these offered soon. Never waits; what does not fit is left to the reconciler.
    pub(crate) fn offer(&self, hints: impl IntoIterator<Item = JobHint>) {
        if self.serves() {
            for hint in hints {
                if self.offers.try_send(hint).is_err() {
                    return;
                }
            }
        }
    }

    /// Offers these; `false` if the queue is away.
    pub(crate) async fn offer_now(&self, hints: &[JobHint]) -> bool {
        self.serves() && self.ask(PATIENCE, self.queue.offer(hints)).await.is_some()
    }

    /// Takes hints; `None` if the queue is away.
    pub(crate) async fn take(&self, take: &Take) -> Option<Vec<JobHint>> {
        if !self.serves() {
            return None;
        }
        self.ask(take.wait + PATIENCE, self.queue.take(take)).await
    }

    /// How many hints there are; `None` if the queue is away.
    pub(crate) async fn depth(&self) -> Option<u64> {
        if !self.serves() {
            return None;
        }
        self.ask(PATIENCE, self.queue.depth()).await
    }

    /// Whether a queue that was away answers, and takes this.
    async fn answers(&self, refused: Option<&JobHint>) -> bool {
        let answer = async {
            match refused {
                Some(hint) => self.queue.offer(std::slice::from_ref(hint)).await,
                None => self.queue.depth().await.map(drop),
            }
        };
        matches!(timeout(PATIENCE, answer).await, Ok(Ok(())))
    }

    async fn ask<T>(&self, patience: Duration, answer: impl Future<Output = Result<T, QueueAway>>) -> Option<T> {
        let failure = match timeout(patience, answer).await {
            Ok(Ok(answer)) => return Some(answer),
            Ok(Err(away)) => away,
            Err(late) => QueueAway::new(late),
        };
        if self.serving.swap(false, Ordering::Relaxed) {
            tracing::warn!(error = %failure, "the queue is away: jobs are claimed from the store alone");
            self.lost.notify_one();
        }
        None
    }
}

async fn offer(link: Arc<Link>, mut offered: mpsc::Receiver<JobHint>) {
    let mut batch = Vec::with_capacity(BATCH);
    let (mut pause, mut ask_at) = (FIRST, Instant::now());
    // What it refused: a queue that is full still answers, and is back when it takes this.
    let mut refused: Option<JobHint> = None;
    loop {
        let serves = link.serves();
        tokio::select! {
            // Offers come last: under load there is always one.
            biased;
            () = link.lost.notified() => {
                pause = FIRST;
                ask_at = Instant::now() + pause.mul_f64(0.5 + fastrand::f64());
            }
            () = sleep_until(ask_at), if !serves => {
                if link.answers(refused.as_ref()).await {
                    tracing::info!("the queue is back");
                    refused = None;
                    link.serving.store(true, Ordering::Relaxed);
                    link.returned.notify_one();
                } else {
                    pause = (pause * 2).min(LAST);
                    ask_at = Instant::now() + pause.mul_f64(0.5 + fastrand::f64() / 2.0);
                }
            }
            count = offered.recv_many(&mut batch, BATCH) => {
                if count == 0 {
                    return;
                }
                if serves && !link.offer_now(&batch).await {
                    refused = batch.first().cloned();
                }
                batch.clear();
            }
        }
    }
}
