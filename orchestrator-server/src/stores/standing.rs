//! How a database stands: what hurts later, and what to do about it.

use std::time::Duration;

use orchestrator_core::clock::{Clock, SystemClock};
use orchestrator_store_pg::{Inspection, OpenError, PgOptions};

/// The oldest version that this is tested on.
const OLDEST: i32 = 15;
/// Beyond it leases and logs of different nodes are hard to read together.
const SKEW: Duration = Duration::from_secs(2);
/// Beyond it tokens and signed webhooks are refused that are good.
const FAR: Duration = Duration::from_secs(60);

/// How grave something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Grave {
    /// As it should be.
    Fine,
    /// It works, and may hurt later.
    Later,
    /// It hurts now.
    Now,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Concern {
    pub(crate) check: &'static str,
    pub(crate) grave: Grave,
    /// In words, and what to do.
    pub(crate) detail: String,
}

/// What there is to say of a database, of which a node takes as many connections as `options` say.
pub(crate) fn standing(seen: &Inspection, options: &PgOptions) -> Vec<Concern> {
    let now = SystemClock.now().unix_ms();
    vec![
        version(seen.version),
        writes(seen.read_only, seen.disk_full),
        connections(seen.max_connections, seen.connections, i64::from(options.connections())),
        durability(seen.fsync),
        clock(now, seen.now_ms),
    ]
}

fn concern(check: &'static str, grave: Grave, detail: impl Into<String>) -> Concern {
    Concern { check, grave, detail: detail.into() }
}

fn version(number: i32) -> Concern {
    let (major, minor) = (number / 10_000, number % 10_000);
    let shown = format!("PostgreSQL {major}.{minor}");
    match major >= OLDEST {
        true => concern("store version", Grave::Fine, shown),
        false => {
            let detail = format!("{shown} is older than what this is tested on: use {OLDEST} or later");
            concern("store version", Grave::Later, detail)
        }
    }
}

fn writes(read_only: bool, disk_full: bool) -> Concern {
    match (read_only, disk_full) {
        (true, _) => concern("store writes", Grave::Now, OpenError::ReadOnly.to_string()),
        (_, true) => concern("store writes", Grave::Now, OpenError::DiskFull.to_string()),
        _ => concern("store writes", Grave::Fine, "the database takes writes"),
    }
}

/// Whether another node fits in. Some connections are kept for superusers, and are not to be had.
fn connections(most: i64, taken: i64, pool: i64) -> Concern {
    const CHECK: &str = "store connections";
    let shown = format!("{taken} of {most} connections are taken");
    if most < pool {
        let detail = format!(
            "the database allows {most} connections, and a node takes up to {pool}: raise `max_connections` of Postgres, or \
             lower `store.max_connections`"
        );
        return concern(CHECK, Grave::Now, detail);
    }
    match (most - taken) / pool.max(1) {
        0 => {
            let detail = format!(
                "{shown}, and a node takes up to {pool}: raise `max_connections` of Postgres, or lower \
                 `store.max_connections`"
            );
            concern(CHECK, Grave::Later, detail)
        }
        nodes => concern(CHECK, Grave::Fine, format!("{shown}: room for {nodes} more nodes with {pool} each")),
    }
}

fn durability(fsync: bool) -> Concern {
    match fsync {
        true => concern("store durability", Grave::Fine, "what was acknowledged is on disk"),
        false => {
            let detail = "`fsync` of Postgres is off: what was acknowledged is lost when the machine fails; turn it on";
            concern("store durability", Grave::Later, detail)
        }
    }
}

fn clock(here: i64, there: i64) -> Concern {
    const CHECK: &str = "store clock";
    let apart = Duration::from_millis(here.abs_diff(there));
    let shown = format!("this machine's clock and the database's are {:.1} s apart", apart.as_secs_f64());
    let grave = match apart {
        apart if apart <= SKEW => return concern(CHECK, Grave::Fine, shown),
        apart if apart <= FAR => Grave::Later,
        _ => Grave::Now,
    };
    concern(CHECK, grave, format!("{shown}: have both set by NTP"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_hurts_is_told_with_what_to_do() {
        let told = |concern: Concern, grave: Grave, words: &str| {
            assert_eq!(concern.grave, grave, "{concern:?}");
            assert!(concern.detail.contains(words), "{concern:?}");
        };
        told(version(150_018), Grave::Fine, "PostgreSQL 15.18");
        told(version(140_001), Grave::Later, "use 15 or later");
        told(writes(true, false), Grave::Now, "primary");
        told(writes(false, true), Grave::Now, "make room");
        told(connections(100, 40, 12), Grave::Fine, "room for 5 more nodes");
        told(connections(100, 90, 12), Grave::Later, "lower `store.max_connections`");
        told(connections(10, 1, 12), Grave::Now, "allows 10 connections");
        told(durability(false), Grave::Later, "turn it on");
        told(clock(1_000, 2_500), Grave::Fine, "1.5 s apart");
        told(clock(10_000, 1_000), Grave::Later, "NTP");
        told(clock(0, 61_000), Grave::Now, "61.0 s apart");
    }
}
