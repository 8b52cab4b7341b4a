//! The tokens that a node holds of a shared limit: pure, and the lock around them.

use std::time::Duration;

use tokio::time::Instant;

use super::{Lease, LimitKey, SharedLimit};
use crate::policy::moment;
use crate::policy::sync::{Mutex, MutexGuard, PoisonError};

/// A lot lasts about so long at the full rate.
const LOT: Duration = Duration::from_millis(100);
/// A lot that was not used within this is given up: it was spent for nothing, which is on the safe side.
const STALE: Duration = Duration::from_secs(2);
/// Who finds nothing comes back after this at the earliest: the next lot is being fetched.
const SOON: Duration = Duration::from_millis(2);

/// What [`Stock::take`] gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    /// A token; so many are left.
    Token(u32),
    /// None: so long until there may be one.
    Empty(Duration),
    /// The shared limit is away: the node's share decides.
    Away,
}

/// The decisions, without a lock or a clock.
#[derive(Debug)]
pub(super) struct Core {
    lot: u32,
    tokens: u32,
    leased_at: Instant,
    /// Nothing is to be had before this.
    dry_until: Instant,
    away: bool,
    asking: Option<Instant>,
    /// Somebody wanted a token since the last lot went stale unused.
    wanted: bool,
    /// Somebody took of this lot.
    used: bool,
}

/// What [`Stock::room`] says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Room {
    /// So many calls would be admitted now.
    Tokens(u32),
    /// Nobody has wanted any for a while: who wants one has to ask.
    Unknown,
    /// The shared limit is away: the node's share decides.
    Away,
}

impl Core {
    pub(super) fn new(limit: &SharedLimit, now: Instant) -> Self {
        let period = limit.period.as_nanos().max(1);
        let lot = u32::try_from(LOT.as_nanos() / period).unwrap_or(u32::MAX).clamp(1, limit.burst.max(1));
        let (wanted, used) = (false, false);
        Self { lot, tokens: 0, leased_at: now, dry_until: now, away: false, asking: None, wanted, used }
    }

    /// Takes a token; and says whether the next lot is to be fetched now.
    pub(super) fn take(&mut self, now: Instant) -> (Taken, bool) {
        self.refresh(now);
        self.wanted = true;
        let taken = if self.tokens > 0 {
            self.tokens -= 1;
            self.used = true;
            Taken::Token(self.tokens)
        } else if self.away {
            Taken::Away
        } else {
            Taken::Empty(self.dry_until.saturating_duration_since(now).max(SOON))
        };
        (taken, self.ask(self.lot / 2, now))
    }

    /// How many tokens there are; and says whether the next lot is to be fetched now: if there are none, and somebody wanted
    /// some not long ago. Who only takes what is there would otherwise never have more.
    pub(super) fn room(&mut self, now: Instant) -> (Room, bool) {
        self.refresh(now);
        let room = match self.tokens {
            0 if self.away => Room::Away,
            0 if !self.wanted => Room::Unknown,
            tokens => Room::Tokens(tokens),
        };
        (room, self.wanted && self.ask(0, now))
    }

    /// Whether the next lot is to be fetched now, if there are no more than `low`.
    fn ask(&mut self, low: u32, now: Instant) -> bool {
        let ask = self.tokens <= low && self.asking.is_none() && now >= self.dry_until;
        if ask {
            self.asking = Some(now);
        }
        ask
    }

    /// Gives up what was leased too long ago, and a question that nobody answers.
    fn refresh(&mut self, now: Instant) {
        if self.stale(now) && self.tokens > 0 {
            self.tokens = 0;
            self.wanted = self.used;
        }
        if self.asking.is_some_and(|asked| now.saturating_duration_since(asked) > STALE) {
            // Nobody fetches any more: the share decides, and the next call asks again.
            (self.asking, self.away) = (None, true);
        }
    }

    /// Whether what is there was leased too long ago.
    fn stale(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.leased_at) > STALE
    }

    /// How many tokens to ask for.
    pub(super) fn wanted(&self) -> u32 {
        self.lot
    }

    /// Takes what came of asking.
    pub(super) fn answered(&mut self, answer: Option<Lease>, now: Instant) {
        self.asking = None;
        match answer {
            Some(lease) => {
                self.away = false;
                if lease.tokens > 0 {
                    // Never more than two lots, however late an answer comes.
                    self.tokens = self.tokens.saturating_add(lease.tokens).min(self.lot.saturating_mul(2));
                    (self.leased_at, self.dry_until) = (now, now);
                    self.used = false;
                } else {
                    // A little later than the first token comes: so that there is more than one to be fetched.
                    self.dry_until = now + lease.retry_after.max(LOT / 4);
                }
            }
            None => {
                self.away = true;
                // Not at every call: who is away is asked ten times a second.
                self.dry_until = now + LOT;
            }
        }
    }
}

/// The tokens that a node holds of one limit, shared by all calls of a lane.
#[derive(Debug)]
pub(crate) struct Stock {
    pub(super) limit: SharedLimit,
    core: Mutex<Core>,
}

impl Stock {
    pub(crate) fn new(limit: SharedLimit) -> Self {
        let core = Mutex::new(Core::new(&limit, Instant::now()));
        Self { limit, core }
    }

    /// Takes a token; and says whether the next lot is to be fetched now.
    pub(crate) fn take(&self) -> (Taken, bool) {
        let now = moment::now();
        self.lock().take(now)
    }

    /// How many tokens there are; and says whether the next lot is to be fetched now.
    pub(crate) fn room(&self) -> (Room, bool) {
        let now = moment::now();
        self.lock().room(now)
    }

    /// Whose limit it is.
    pub(crate) fn lane(&self) -> &LimitKey {
        &self.limit.lane
    }

    /// Whether nothing was leased for a while.
    pub(crate) fn stale(&self) -> bool {
        let now = Instant::now();
        self.lock().stale(now)
    }

    /// How many tokens there are.
    pub(crate) fn tokens(&self) -> u32 {
        self.lock().tokens
    }

    /// How long until there may be a token; zero if there is one, `None` if the node's share decides.
    pub(crate) fn wait(&self) -> Option<Duration> {
        let core = self.lock();
        if core.tokens > 0 {
            return Some(Duration::ZERO);
        }
        if core.away {
            return None;
        }
        let soonest = if core.asking.is_some() { SOON } else { Duration::ZERO };
        Some(core.dry_until.saturating_duration_since(Instant::now()).max(soonest))
    }

    pub(super) fn wanted(&self) -> u32 {
        self.lock().wanted()
    }

    pub(crate) fn answered(&self, answer: Option<Lease>) {
        let now = Instant::now();
        self.lock().answered(answer, now);
    }

    fn lock(&self) -> MutexGuard<'_, Core> {
        // Nothing in `Core` panics halfway through a change, so a poisoned lock still guards a sound value.
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
