//! From names to addresses: one lookup at a time for a name, few at once in all, kept for seconds.
//!
//! The system's resolver blocks a thread of a pool that the whole process shares, and a lookup cannot be called off. So
//! a lookup is a task of its own that holds its place until it really ends, while those who wait for it give up in time.
//! Names that have resolved before have places of their own: servers that never answer for one tenant's names do not
//! hold up those of the others.
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
/// Lookups at once of names that resolved when they were last asked for; the pool they block has 512 threads.
const PROVEN_AT_ONCE: usize = 32;
/// Lookups at once of all other names.
const UNPROVEN_AT_ONCE: usize = 32;
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

type Pending = watch::Receiver<Option<Answer>>;

/// What is known of a name.
#[derive(Default)]
struct Slot {
    /// What it last resolved to, and until when that is used again.
    known: Option<(Arc<[IpAddr]>, Instant)>,
    under_way: Option<Pending>,
}

impl Slot {
    fn fresh(&self, now: Instant) -> Option<&Arc<[IpAddr]>> {
        self.known.as_ref().filter(|(_, until)| now < *until).map(|(addresses, _)| addresses)
    }

    /// The lookup under way, unless its task went away without an answer: its runtime ended, or it panicked.
    fn pending(&self) -> Option<&Pending> {
        self.under_way.as_ref().filter(|answer| answer.has_changed().is_ok())
    }
}

/// The names that were asked for. Cloning shares them.
#[derive(Clone)]
pub(super) struct Names(Arc<Shared>);

struct Shared {
    lookup: Arc<dyn Lookup>,
    proven: Semaphore,
    unproven: Semaphore,
    slots: Mutex<HashMap<String, Slot>>,
}

impl Names {
    pub(super) fn new(lookup: Arc<dyn Lookup>) -> Self {
        Self(Arc::new(Shared {
            lookup,
            proven: Semaphore::new(PROVEN_AT_ONCE),
            unproven: Semaphore::new(UNPROVEN_AT_ONCE),
            slots: Mutex::default(),
        }))
    }

    /// Every address of a name. Dropping the future leaves the lookup to the others who wait for it.
    ///
    /// # Errors
    /// It has none, it took too long, or too many others are asked for.
    pub(super) async fn addresses(&self, name: &str) -> Answer {
        let mut answer = match self.ask(name)? {
            Asked::Known(addresses) => return Ok(addresses),
            Asked::Pending(answer) => answer,
        };
        let answered = timeout(PATIENCE, answer.wait_for(Option::is_some)).await.map_err(|_| NameError::Late)?;
        answered.ok().and_then(|answer| (*answer).clone()).unwrap_or(Err(NameError::Unknown))
    }

    /// What is kept, or the lookup under way; begins one if there is none.
    fn ask(&self, name: &str) -> Result<Asked, NameError> {
        let now = Instant::now();
        let mut slots = self.0.slots();
        if let Some(slot) = slots.get(name) {
            if let Some(addresses) = slot.fresh(now) {
                return Ok(Asked::Known(Arc::clone(addresses)));
            }
            if let Some(answer) = slot.pending() {
                return Ok(Asked::Pending(answer.clone()));
            }
        } else if slots.len() >= NAMES {
            make_room(&mut slots, now)?;
        }
        let (tell, answer) = watch::channel(None);
        let slot = slots.entry(name.to_owned()).or_default();
        slot.under_way = Some(answer.clone());
        let proven = slot.known.is_some();
        drop(slots);
        tokio::spawn(Arc::clone(&self.0).look_up(name.to_owned(), proven, tell));
        Ok(Asked::Pending(answer))
    }
}

enum Asked {
    Known(Arc<[IpAddr]>),
    Pending(Pending),
}

/// Forgets what is stale; if that is not enough, all that nobody waits for.
fn make_room(slots: &mut HashMap<String, Slot>, now: Instant) -> Result<(), NameError> {
    slots.retain(|_, slot| slot.pending().is_some() || slot.fresh(now).is_some());
    if slots.len() >= NAMES {
        slots.retain(|_, slot| slot.pending().is_some());
    }
    if slots.len() < NAMES { Ok(()) } else { Err(NameError::Busy) }
}

impl Shared {
    async fn look_up(self: Arc<Self>, name: String, proven: bool, tell: watch::Sender<Option<Answer>>) {
        // The semaphores are never closed.
        let place = if proven { &self.proven } else { &self.unproven }.acquire().await;
        let found = self.lookup.lookup(&name).await;
        drop(place);
        let answer: Answer = match found {
            Ok(addresses) if !addresses.is_empty() => Ok(addresses.into()),
            _ => Err(NameError::Unknown),
        };
        match &answer {
            Ok(addresses) => {
                let known = Some((Arc::clone(addresses), Instant::now() + KEPT));
                self.slots().insert(name, Slot { known, under_way: None });
            }
            Err(_) => {
                self.slots().remove(&name);
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
        /// Holds the lookups of `*.hangs.example`.
        gate: Option<Notify>,
    }

    #[async_trait]
    impl Lookup for Counted {
        async fn lookup(&self, name: &str) -> io::Result<Vec<IpAddr>> {
            self.asked.fetch_add(1, Ordering::SeqCst);
            let now = self.at_once.fetch_add(1, Ordering::SeqCst) + 1;
            self.most.fetch_max(now, Ordering::SeqCst);
            match &self.gate {
                Some(gate) if name.ends_with(".hangs.example") => gate.notified().await,
                _ => tokio::task::yield_now().await,
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
        assert_eq!(lookup.most.load(Ordering::SeqCst), UNPROVEN_AT_ONCE);
    }

    #[tokio::test(start_paused = true)]
    async fn inv_34_nobody_waits_for_ever_and_a_hanging_lookup_keeps_its_place() {
        let lookup = Arc::new(Counted { gate: Some(Notify::new()), ..Counted::default() });
        let names = Names::new(lookup.clone());
        let hosts: Vec<String> = (0..UNPROVEN_AT_ONCE * 2).map(|number| format!("{number}.hangs.example")).collect();
        let answers = join_all(hosts.iter().map(|host| names.addresses(host))).await;
        assert!(answers.iter().all(|answer| *answer == Err(NameError::Late)));
        assert_eq!(lookup.at_once.load(Ordering::SeqCst), UNPROVEN_AT_ONCE);
        // Once they end, those who waited behind them go on.
        while lookup.asked.load(Ordering::SeqCst) < hosts.len() {
            lookup.gate.as_ref().unwrap().notify_waiters();
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn inv_14_names_that_never_resolve_do_not_hold_up_those_that_did() {
        let lookup = Arc::new(Counted { gate: Some(Notify::new()), ..Counted::default() });
        let names = Names::new(lookup.clone());
        names.addresses("proven.example").await.unwrap();
        let hosts: Vec<String> = (0..500).map(|number| format!("{number}.hangs.example")).collect();
        let answers = join_all(hosts.iter().map(|host| names.addresses(host))).await;
        assert!(answers.iter().all(|answer| *answer == Err(NameError::Late)));
        // By now what was kept is stale, and every place of the unproven is taken.
        assert_eq!(names.addresses("unproven.example").await, Err(NameError::Late));
        names.addresses("proven.example").await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn inv_37_the_names_that_are_kept_are_bounded() {
        let names = Names::new(Arc::new(Counted::default()));
        for number in 0..NAMES * 2 {
            names.addresses(&format!("{number}.example")).await.unwrap();
            assert!(names.0.slots().len() <= NAMES);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn inv_37_the_names_that_are_being_looked_up_are_bounded() {
        let names = Names::new(Arc::new(Counted { gate: Some(Notify::new()), ..Counted::default() }));
        for number in 0..NAMES {
            assert!(names.ask(&format!("{number}.hangs.example")).is_ok());
        }
        assert_eq!(names.addresses("one-more.example").await, Err(NameError::Busy));
    }
}
