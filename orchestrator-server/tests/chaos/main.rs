//! Several nodes, a database and a queue, each of which fails as a seed says, under load; and what has to hold afterwards.
//!
//! Everything is real: two API nodes and two workers as processes, PostgreSQL and Redis of their own, a product, an upstream,
//! and a client that writes down what was acknowledged before it goes on. `SEED` repeats a run's faults; `CHAOS_MINUTES` makes
//! it longer (`cargo xtask chaos --minutes N`).

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod faults;
mod install;
mod load;
mod node;
mod nodes;
mod oracle;
mod product;
mod queue;
mod store;
mod table;

use std::time::Duration;

use tokio::time::Instant;

use faults::{Fault, KINDS};
use install::Install;
use load::Load;
use product::World;
use table::Table;

/// The workspaces that the load is of.
const WORKSPACES: [&str; 2] = ["left-dev", "right-dev"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inv_01_nothing_acknowledged_is_lost_or_told_twice_whichever_part_fails() {
    let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let seed = number("SEED").unwrap_or_else(|| fastrand::u64(..));
    let lasting = Duration::from_secs(number("CHAOS_MINUTES").unwrap_or(0) * 60);
    eprintln!("SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let world = World::start().await;
    let install = Install::with_queue().await;
    let tenants = install.onboard(&world, &WORKSPACES).await;
    let load = Load::start(&install, &tenants, &mut random);
    let (begun, mut table) = (Instant::now(), Table::default());
    load.until_it_grows(Duration::from_secs(30)).await;
    loop {
        // Each kind once in an order of the seed's; a longer run goes on with other orders.
        let mut kinds: Vec<_> = KINDS.into_iter().filter(|kind| install.has(*kind)).collect();
        random.shuffle(&mut kinds);
        for kind in kinds {
            let fault = Fault::drawn(kind, &mut random);
            let before = load.counts();
            fault.strike(&install, &world).await;
            let back = Instant::now();
            load.until_it_grows(Duration::from_secs(30)).await;
            table.note(fault, before, load.counts(), back.elapsed());
        }
        if begun.elapsed() >= lasting {
            break;
        }
    }
    let journal = load.end().await;
    assert!(
        journal.jobs.len() > 100 && journal.webhooks.len() > 100,
        "too little load: {} jobs, {} webhooks",
        journal.jobs.len(),
        journal.webhooks.len()
    );
    let ends = oracle::judge(&install, &world, &tenants, &journal).await;
    eprintln!("{}", table.shown(&ends, begun.elapsed()));
}
