//! A run: three nodes on one store, the work and the bad day of a seed, then calm, and what is left to be looked at.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use futures_util::FutureExt;
use orchestrator_conformance::faults::Rates;
use orchestrator_core::Actor;
use orchestrator_core::memory::MemoryStore;
use orchestrator_core::queue::{JobQueue, MemoryQueue};
use orchestrator_core::store::{QueueStats, Store};

use crate::clients::{Clients, Draw, Wish};
use crate::config::{WORKSPACES, bundle, workspace};
use crate::flaws::{Flaw, Flaws};
use crate::node::{Node, World};
use crate::observed::Observed;
use crate::oracle;
use crate::outside::Outside;
use crate::time::Truth;
use crate::trace::Trace;
use crate::watcher::Watcher;

/// How long the bad day is, in milliseconds.
const BAD: i64 = 12_000;
/// How long all that was accepted may take to end once it is over.
const PATIENCE: i64 = 120_000;
const RATES: Rates = Rates { before: 0.03, after: 0.03, late: 0.04, never: 0.005, cancelled: 0.02 };
const HOUR: i64 = 3_600_000;

/// What is left of a run.
pub struct Outcome {
    pub seed: u64,
    pub trace: String,
    /// What must never have been; empty if all promises were kept.
    pub breaches: Vec<String>,
    pub faults: usize,
}

/// What happens to a node.
#[derive(Debug, Clone, Copy)]
enum Blow {
    /// It ends at once.
    Crash,
    /// It ends in the middle of a call of the store, so many calls from now.
    Doom(i64),
    /// It stands still for so long.
    Pause(i64),
    /// Its clock jumps.
    Jump(i64),
    /// It is told to stop.
    Drain,
    /// The queue forgets everything.
    Forget,
}

struct Run {
    seed: u64,
    random: fastrand::Rng,
    now: i64,
    truth: Arc<Truth>,
    trace: Trace,
    shared: Arc<Observed>,
    /// Every other run has a queue, which forgets everything now and then.
    queue: Option<Arc<MemoryQueue>>,
    outside: Outside,
    clients: Clients,
    nodes: Vec<Option<Node>>,
    starts: u64,
    /// When each node that is down comes back, and each that drains is gone.
    changes: Vec<(i64, usize, bool)>,
    faults: usize,
}

/// The run of a seed, on a store with this flaw or none.
pub fn run(seed: u64, flaw: Option<Flaw>) -> Outcome {
    // What the engine draws by itself is drawn from this.
    fastrand::seed(seed);
    let truth = Arc::new(Truth::default());
    let trace = Trace::new(truth.clone());
    let watcher = Watcher::new(truth.clone(), trace.clone());
    let inner: Arc<dyn Store> = Arc::new(MemoryStore::new(truth.clone()));
    let shared = Arc::new(Observed { inner, flaws: Flaws::new(flaw), watcher });
    let queue = seed.is_multiple_of(2).then(|| Arc::new(MemoryQueue::new(truth.clone())));
    let outside = Outside::new(seed ^ 0x5eed, trace.clone(), truth.clone());
    let clients = Clients { known: Arc::default(), truth: truth.clone(), trace: trace.clone() };
    let random = fastrand::Rng::with_seed(seed);
    let mut run = Run {
        seed,
        random,
        now: 0,
        truth,
        trace,
        shared,
        queue,
        outside,
        clients,
        nodes: Vec::new(),
        starts: 0,
        changes: Vec::new(),
        faults: 0,
    };
    run.begin();
    run.bad_day();
    let ended = run.calm();
    let mut breaches = run.shared.watcher.breaches();
    breaches.extend(ended.map(|stats| format!("not all ended: {stats:?}")));
    breaches.extend(oracle::look(&run.shared, &run.clients, &run.outside));
    Outcome { seed, trace: run.trace.text(), breaches, faults: run.faults }
}

impl Run {
    fn begin(&mut self) {
        for place in 0..3 {
            let node = self.start(place);
            self.nodes.push(Some(node));
        }
        let first = self.nodes[0].as_ref().unwrap();
        let (engine, imported) = (first.engine.clone(), Arc::new(Mutex::new(0)));
        let done = imported.clone();
        first.spawn(async move {
            for name in WORKSPACES {
                let (admin, workspace, bundle) = (Actor::program("admin"), workspace(name), bundle(name));
                engine.configs().import(&admin, &workspace, &bundle, false).await.unwrap();
                *done.lock().unwrap() += 1;
            }
        });
        while *imported.lock().unwrap() < WORKSPACES.len() {
            self.step(20);
        }
        self.nodes.iter().flatten().for_each(|node| node.faults.go_on());
    }

    fn start(&mut self, place: usize) -> Node {
        self.starts += 1;
        let off = [0, 600_000, -600_000][place] * self.random.i64(0..2);
        self.trace.say(format_args!("node {place} starts, {off} ms off"));
        let world = World {
            store: self.shared.clone(),
            queue: self.queue.clone().map(|queue| queue as Arc<dyn JobQueue>),
            outside: self.outside.clone(),
            truth: self.truth.clone(),
        };
        Node::start(world, self.now, off, self.seed.wrapping_mul(31).wrapping_add(self.starts), RATES)
    }

    /// Lets every node that can run for so long, in any order.
    fn step(&mut self, millis: i64) {
        let until = self.now + millis;
        let mut order: Vec<usize> = (0..self.nodes.len()).collect();
        self.random.shuffle(&mut order);
        for place in order {
            let Some(node) = &mut self.nodes[place] else { continue };
            if node.paused_until > until {
                continue;
            }
            if node.paused_until > 0 {
                node.paused_until = 0;
                self.trace.say(format_args!("node {place} goes on"));
                node.wake(self.now);
            }
            if !node.run(until) {
                self.trace.say(format_args!("node {place} crashes in a call"));
                self.end(place);
            }
        }
        self.now = until;
        self.truth.leave(until);
    }

    fn end(&mut self, place: usize) {
        if let Some(node) = self.nodes[place].take() {
            self.faults += node.faults.log().len();
            let back = self.now + self.random.i64(200..4_000);
            self.changes.push((back, place, true));
        }
    }

    fn bad_day(&mut self) {
        let wishes = Draw(&mut self.random).wishes(BAD).into_iter();
        let mut wishes = wishes.enumerate().map(|(number, (at, wish))| ((at, number), wish)).collect();
        let mut blows: Vec<_> = (0..self.random.usize(2..7)).map(|_| self.blow()).collect();
        let end = self.now + BAD;
        let began = self.now;
        while self.now < end {
            let at = self.now - began;
            self.ask_due(&mut wishes, at);
            let due: Vec<_> = blows.iter().filter(|(when, ..)| *when <= at).copied().collect();
            blows.retain(|(when, ..)| *when > at);
            for (_, place, blow) in due {
                self.strike(place, blow);
            }
            self.change();
            let millis = if self.random.u32(0..6) == 0 { self.random.i64(1..10) } else { self.random.i64(20..250) };
            self.step(millis);
        }
        self.ask_due(&mut wishes, i64::MAX - 1);
    }

    fn blow(&mut self) -> (i64, usize, Blow) {
        let blow = match self.random.u32(0..12) {
            0..=1 => Blow::Crash,
            2..=4 => Blow::Doom(self.random.i64(1..120)),
            5..=6 => Blow::Pause(self.random.i64(500..9_000)),
            7..=8 => Blow::Jump(if self.random.bool() { HOUR } else { -HOUR }),
            9 => Blow::Drain,
            _ => Blow::Forget,
        };
        (self.random.i64(0..BAD), self.random.usize(0..3), blow)
    }

    fn strike(&mut self, place: usize, blow: Blow) {
        let Some(node) = &mut self.nodes[place] else { return };
        self.trace.say(format_args!("node {place} {blow:?}"));
        match blow {
            Blow::Crash => self.end(place),
            Blow::Doom(calls) => node.doom(calls),
            Blow::Pause(millis) => node.paused_until = self.now + millis,
            Blow::Jump(millis) => node.clock.jump(millis),
            Blow::Forget => self.queue.iter().for_each(|queue| queue.lose()),
            Blow::Drain => {
                let engine = node.engine.clone();
                node.spawn(async move { engine.shutdown(std::time::Duration::from_secs(1)).await });
                self.changes.push((self.now + 8_000, place, false));
            }
        }
    }

    /// Nodes come back, or are gone at last.
    fn change(&mut self) {
        let due: Vec<_> = self.changes.iter().filter(|(at, ..)| *at <= self.now).copied().collect();
        self.changes.retain(|(at, ..)| *at > self.now);
        for (_, place, starts) in due {
            if starts && self.nodes[place].is_none() {
                let node = self.start(place);
                node.faults.go_on();
                self.nodes[place] = Some(node);
            } else if !starts {
                self.end(place);
            }
        }
    }

    /// Asks what is due, of any node that takes requests.
    fn ask_due(&mut self, wishes: &mut BTreeMap<(i64, usize), Wish>, at: i64) {
        let mut due = Vec::new();
        let mut take = |wishes: &mut BTreeMap<(i64, usize), Wish>, at: i64| {
            let later = wishes.split_off(&(at + 1, 0));
            due.extend(std::mem::replace(wishes, later).into_iter().map(|((_, number), wish)| (number, wish)));
        };
        take(wishes, at);
        take(&mut self.clients.known.lock().unwrap().again, self.now);
        for (number, wish) in due {
            let open: Vec<usize> = (0..3)
                .filter(|place| self.nodes[*place].as_ref().is_some_and(|node| !node.engine.draining().is_cancelled()))
                .collect();
            match open.is_empty() {
                true => {
                    self.clients.known.lock().unwrap().again.insert((self.now + 300, number), wish);
                }
                false => {
                    let node = self.nodes[open[self.random.usize(0..open.len())]].as_ref().unwrap();
                    node.spawn(self.clients.ask(node.engine.clone(), number, wish));
                }
            }
        }
    }

    /// Everything is well again: all that was accepted must end. What did not, if anything.
    fn calm(&mut self) -> Option<QueueStats> {
        self.trace.say("calm");
        self.outside.calm();
        for place in 0..self.nodes.len() {
            if self.nodes[place].as_ref().is_some_and(|node| node.engine.draining().is_cancelled()) {
                self.end(place);
            }
            self.changes.clear();
            if self.nodes[place].is_none() {
                self.nodes[place] = Some(self.start(place));
            }
            let node = self.nodes[place].as_mut().unwrap();
            node.faults.stop();
            node.doom(0);
            node.paused_until = node.paused_until.min(self.now);
        }
        let until = self.now + PATIENCE;
        let mut none = BTreeMap::new();
        loop {
            self.ask_due(&mut none, 0);
            self.step(200);
            let stats = self.shared.inner.queue_stats().now_or_never().unwrap().unwrap();
            let known = self.clients.known.lock().unwrap();
            let asked = known.waiting == 0 && known.again.is_empty();
            if asked && (stats.ready, stats.waiting, stats.running) == (0, 0, 0) {
                drop(known);
                self.faults += self.nodes.iter().flatten().map(|node| node.faults.log().len()).sum::<usize>();
                return None;
            }
            if self.now >= until {
                return Some(stats);
            }
        }
    }
}
