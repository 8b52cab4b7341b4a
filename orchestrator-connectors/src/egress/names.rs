//! From names to addresses: one lookup at a time for a name, few at once in all, kept for seconds.
//!
//! The system's resolver blocks a thread of a pool that the whole process shares, and a lookup cannot be called off. So
//! a lookup is a task of its own that holds its place until it really ends, while those who wait for it give up in time.
//!
//! **The one rule:** nothing in here judges addresses; what is kept is judged anew by each who asks.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, timeout};

/// How long an answer is used again.
const KEPT: Duration = Duration::from_secs(5);
/// How long one waits for an answer, a place in the queue included.
const PATIENCE: Duration = Duration::from_secs(5);
/// Lookups at once; the pool they block has 512 threads.
const AT_ONCE: usize = 32;
/// Names that are kept or being looked up.
const NAMES: usize = 4_096;

/// Resolves names.
#[async_trait]
pub trait Lookup: Send + Sync + 'static {
    /// Every address of a name, in the order of preference.
    ///
    /// # Errors
    /// The name has none, or its servers do not answer.
    async fn lookup(&self, name: &str) -> io::Result<Vec<IpAddr>>;
}

/// The system's resolver.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemLookup;

#[async_trait]
impl Lookup for SystemLookup {
    async fn lookup(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        Ok(tokio::net::lookup_host((name, 0)).await?.map(|address| address.ip()).collect())
    }
}

/// Why a name gave no address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum NameError {
    #[error("the host's name could not be resolved")]
    Unknown,
    #[error("the host's name was not resolved in time")]
    Late,
    #[error("too many names are being resolved")]
    Busy,
}

type Answer = Result<Arc<[IpAddr]>, NameError>;

enum Slot {
    Kept { addresses: Arc<[IpAddr]>, until: Instant },
    UnderWay(watch::Receiver<Option<Answer>>),
}

impl Slot {
    fn is_stale(&self, now: Instant) -> bool {
        match self {
            Self::Kept { until, .. } => *until <= now,
            // The task went away without an answer: its runtime ended, or it panicked.
            Self::UnderWay(answer) => answer.has_changed().is_err(),
        }
    }
}

/// The names that were asked for. Cloning shares them.
#[derive(Clone)]
pub(super) struct Names(Arc<Shared>);

struct Shared {
    lookup: Arc<dyn Lookup>,
    places: Arc<Semaphore>,
    slots: Mutex<HashMap<String, Slot>>,
}

impl Names {
    pub(super) fn new(lookup: Arc<dyn Lookup>) -> Self {
        let places = Arc::new(Semaphore::new(AT_ONCE));
        Self(Arc::new(Shared { lookup, places, slots: Mutex::default() }))
    }

    /// Every address of a name. Dropping the future leaves the lookup to the others who wait for it.
    ///
    /// # Errors
    /// It has none, it took too long, or too many others are asked for.
    pub(super) async fn addresses(&self, name: &str) -> Answer {
        let mut answer = match self.ask(name)? {
            Ok(kept) => return Ok(kept),
            Err(under_way) => under_way,
        };
        let answered = timeout(PATIENCE, answer.wait_for(Option::is_some)).await.map_err(|_| NameError::Late)?;
        answered.ok().and_then(|answer| (*answer).clone()).unwrap_or(Err(NameError::Unknown))
    }

    /// What is kept, or the lookup under way; begins one if there is none.
    #[allow(clippy::type_complexity, reason = "either of two, used once")]
    fn ask(&self, name: &str) -> Result<Result<Arc<[IpAddr]>, watch::Receiver<Option<Answer>>>, NameError> {
        let now = Instant::now();
        let mut slots = self.0.slots();
        match slots.get(name) {
            Some(slot) if slot.is_stale(now) => {}
            Some(Slot::Kept { addresses, .. }) => return Ok(Ok(addresses.clone())),
            Some(Slot::UnderWay(answer)) => return Ok(Err(answer.clone())),
            None => {}
        }
        if slots.len() >= NAMES {
            slots.retain(|_, slot| !slot.is_stale(now));
            if slots.len() >= NAMES {
                return Err(NameError::Busy);
            }
        }
        let (tell, answer) = watch::channel(None);
        slots.insert(name.to_owned(), Slot::UnderWay(answer.clone()));
        drop(slots);
        tokio::spawn(Arc::clone(&self.0).look_up(name.to_owned(), tell));
        Ok(Err(answer))
    }
}

impl Shared {
    async fn look_up(self: Arc<Self>, name: String, tell: watch::Sender<Option<Answer>>) {
        // The semaphore is never closed.
        let place = self.places.acquire().await;
        let found = self.lookup.lookup(&name).await;
        drop(place);
        let answer: Answer = match found {
            Ok(addresses) if !addresses.is_empty() => Ok(addresses.into()),
            _ => Err(NameError::Unknown),
        };
        {
            let mut slots = self.slots();
            match &answer {
                Ok(addresses) => {
                    let kept = Slot::Kept { addresses: Arc::clone(addresses), until: Instant::now() + KEPT };
                    slots.insert(name, kept);
                }
                Err(_) => {
                    slots.remove(&name);
                }
            }
        }
        tell.send_replace(Some(answer));
    }

    fn slots(&self) -> MutexGuard<'_, HashMap<String, Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

    use std::net::Ipv4Addr;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::future::join_all;
    use tokio::sync::Notify;

    use super::*;

    #[derive(Default)]
    struct Counted {
        asked: AtomicUsize,
        at_once: AtomicUsize,
        most: AtomicUsize,
        gate: Option<Notify>,
    }

    #[async_trait]
    impl Lookup for Counted {
        async fn lookup(&self, name: &str) -> io::Result<Vec<IpAddr>> {
            self.asked.fetch_add(1, Ordering::SeqCst);
            let now = self.at_once.fetch_add(1, Ordering::SeqCst) + 1;
            self.most.fetch_max(now, Ordering::SeqCst);
            match &self.gate {
                Some(gate) => gate.notified().await,
                None => tokio::task::yield_now().await,
            }
            self.at_once.fetch_sub(1, Ordering::SeqCst);
            match name {
                "gone.example" => Err(io::ErrorKind::NotFound.into()),
                "empty.example" => Ok(Vec::new()),
                "panic.example" => panic!("a lookup that panics"),
                _ => Ok(vec![Ipv4Addr::new(192, 0, 2, 1).into()]),
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn many_who_ask_for_one_name_share_one_lookup_for_some_seconds() {
        let lookup = Arc::new(Counted::default());
        let names = Names::new(lookup.clone());
        assert!(join_all((0..100).map(|_| names.addresses("a.example"))).await.iter().all(Result::is_ok));
        assert_eq!(lookup.asked.load(Ordering::SeqCst), 1);
        tokio::time::advance(KEPT).await;
        names.addresses("a.example").await.unwrap();
        assert_eq!(lookup.asked.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn a_failure_is_not_kept() {
        let lookup = Arc::new(Counted::default());
        let names = Names::new(lookup.clone());
        for name in ["gone.example", "empty.example", "panic.example"] {
            for _ in 0..2 {
                assert_eq!(names.addresses(name).await, Err(NameError::Unknown), "{name}");
            }
        }
        assert_eq!(lookup.asked.load(Ordering::SeqCst), 6);
    }

    #[tokio::test]
    async fn inv_37_lookups_at_once_are_bounded() {
        let lookup = Arc::new(Counted::default());
        let names = Names::new(lookup.clone());
        let hosts: Vec<String> = (0..500).map(|number| format!("{number}.example")).collect();
        assert!(join_all(hosts.iter().map(|host| names.addresses(host))).await.iter().all(Result::is_ok));
        assert_eq!(lookup.most.load(Ordering::SeqCst), AT_ONCE);
    }

    #[tokio::test(start_paused = true)]
    async fn inv_34_nobody_waits_for_ever_and_a_hanging_lookup_keeps_its_place() {
        let lookup = Arc::new(Counted { gate: Some(Notify::new()), ..Counted::default() });
        let names = Names::new(lookup.clone());
        let hosts: Vec<String> = (0..AT_ONCE * 2).map(|number| format!("{number}.example")).collect();
        let answers = join_all(hosts.iter().map(|host| names.addresses(host))).await;
        assert!(answers.iter().all(|answer| *answer == Err(NameError::Late)));
        assert_eq!(lookup.at_once.load(Ordering::SeqCst), AT_ONCE);
        // Once they end, those who waited behind them go on.
        while lookup.asked.load(Ordering::SeqCst) < hosts.len() {
            lookup.gate.as_ref().unwrap().notify_waiters();
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn inv_37_the_names_that_are_kept_are_bounded() {
        let names = Names::new(Arc::new(Counted::default()));
        for number in 0..NAMES {
            names.addresses(&format!("{number}.example")).await.unwrap();
        }
        assert_eq!(names.addresses("one-more.example").await, Err(NameError::Busy));
        assert_eq!(names.0.slots().len(), NAMES);
        tokio::time::advance(KEPT).await;
        names.addresses("one-more.example").await.unwrap();
        assert_eq!(names.0.slots().len(), 1);
    }
}
