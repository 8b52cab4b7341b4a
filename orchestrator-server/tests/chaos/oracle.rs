//! What has to hold after everything: judged by the client's journal, the product's own record and the event streams.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use orchestrator_client::{Client, EventQuery};
use orchestrator_types::{EventType, EventView};
use tokio::time::{Instant, sleep};

use crate::install::{Install, Tenant};
use crate::load::Journal;
use crate::product::World;

/// Longer than a lost lease, a quarantine lane and a held breaker together.
const PATIENCE: Duration = Duration::from_secs(120);
const ASKED_EVERY: Duration = Duration::from_millis(200);

/// How it ended.
#[derive(Debug, Default)]
pub(crate) struct Ends {
    pub(crate) jobs: usize,
    pub(crate) webhooks: usize,
    pub(crate) events: usize,
    /// How many ended as what.
    pub(crate) kinds: BTreeMap<&'static str, usize>,
    /// Requests that the product got.
    pub(crate) requests: u64,
    /// Of them those that it had confirmed before or that nobody heard its answer to.
    pub(crate) repeated: u64,
    pub(crate) lost_leases: f64,
    pub(crate) stale: f64,
}

/// Waits until all that was acknowledged has ended, and looks at everything.
pub(crate) async fn judge(install: &Install, world: &World, tenants: &[Tenant], journal: &Journal) -> Ends {
    let mut ends = Ends { jobs: journal.jobs.len(), webhooks: journal.webhooks.len(), ..Ends::default() };
    for tenant in tenants {
        let events = ended(install, tenant, journal).await;
        ends.events += events.len();
        once(tenant, journal, &events);
        confirmed(world, journal, tenant, &events);
        one_entry_each(install, tenant, journal).await;
        for event in &events {
            if end_of(event.kind).is_some() {
                *ends.kinds.entry(event.kind.as_str()).or_default() += 1;
            }
        }
    }
    told_once(world);
    settled(install).await;
    world.with(|received| {
        assert_eq!(received.forged, 0, "callbacks whose signature does not verify");
        ends.requests = received.requests;
        ends.repeated = received.requests - received.bodies.len() as u64;
    });
    for node in &install.nodes {
        ends.lost_leases += node.metric("orchestrator_worker_lost_leases_total").await;
        ends.stale += node.metric("orchestrator_worker_stale_settlements_total").await;
        assert!(!node.log().contains("panicked"), "{}: {}", node.name, node.log());
    }
    ends
}

/// Whether an event ends a job or a delivery.
fn end_of(kind: EventType) -> Option<End> {
    match kind {
        EventType::JobSucceeded | EventType::JobDead | EventType::JobCancelled => Some(End::Job),
        EventType::CallbackDelivered | EventType::CallbackFailed => Some(End::Delivery),
        _ => None,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    Job,
    Delivery,
}

/// The whole stream of a workspace, once everything of the journal has ended in it. It has no hole.
async fn ended(install: &Install, tenant: &Tenant, journal: &Journal) -> Vec<EventView> {
    let mut missing: BTreeSet<(End, String)> = BTreeSet::new();
    for (_, job) in journal.jobs.iter().filter(|(workspace, _)| *workspace == tenant.workspace) {
        missing.insert((End::Job, job.to_string()));
        missing.insert((End::Delivery, job.to_string()));
    }
    for (_, _, inbox) in journal.webhooks.iter().filter(|(workspace, ..)| *workspace == tenant.workspace) {
        missing.insert((End::Delivery, inbox.clone()));
    }
    let (mut events, until) = (Vec::<EventView>::new(), Instant::now() + PATIENCE);
    loop {
        for event in &follow(&tenant.execs[0], &mut events).await {
            if let Some(end) = end_of(event.kind) {
                missing.remove(&(end, event.subject.clone()));
            }
        }
        if missing.is_empty() {
            return events;
        }
        if Instant::now() > until {
            let some: Vec<_> = missing.iter().take(5).collect();
            let about = |subject: &str| -> Vec<_> {
                events.iter().filter(|event| event.subject == subject).map(|event| event.kind.as_str()).collect()
            };
            let told: Vec<_> = some.iter().map(|(_, subject)| about(subject)).collect();
            let logs: Vec<_> = install.nodes.iter().map(|node| last(&node.log())).collect();
            panic!("{} never ended: {some:?}, of which there is {told:?}\n{}", missing.len(), logs.join("\n"));
        }
        sleep(ASKED_EVERY).await;
    }
}

fn last(log: &str) -> String {
    let lines: Vec<&str> = log.lines().rev().take(5).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
}

/// Reads on from the last event; the numbers have no hole.
async fn follow(exec: &Client, events: &mut Vec<EventView>) -> Vec<EventView> {
    let mut new = Vec::new();
    let after = events.last().map(|event| event.id);
    let mut query = EventQuery { limit: Some(500), after, ..EventQuery::default() };
    loop {
        let page = exec.events(&query).await.unwrap();
        let Some(last) = page.items.last() else { return new };
        query.after = Some(last.id);
        for event in page.items {
            assert_eq!(event.id.sequence(), events.len() as u64 + 1, "a hole before {}", event.id);
            events.push(event.clone());
            new.push(event);
        }
    }
}

/// Each job and each delivery has exactly one end.
fn once(tenant: &Tenant, journal: &Journal, events: &[EventView]) {
    let mut ends: BTreeMap<(End, &str), Vec<&EventView>> = BTreeMap::new();
    for event in events {
        if let Some(end) = end_of(event.kind) {
            ends.entry((end, event.subject.as_str())).or_default().push(event);
        }
    }
    let twice: Vec<_> = ends.values().filter(|ends| ends.len() > 1).collect();
    assert!(twice.is_empty(), "{}: more than one end: {twice:?}", tenant.workspace);
    // What was not acknowledged may be there, but everything acknowledged is.
    assert!(ends.len() >= journal.jobs.iter().filter(|(workspace, _)| *workspace == tenant.workspace).count());
}

/// What is told as delivered the product has said yes to.
fn confirmed(world: &World, journal: &Journal, tenant: &Tenant, events: &[EventView]) {
    let delivered: BTreeSet<&str> = events
        .iter()
        .filter(|event| event.kind == EventType::CallbackDelivered)
        .map(|event| event.subject.as_str())
        .collect();
    world.with(|received| {
        let never: Vec<_> = delivered.iter().filter(|subject| !received.confirmed.contains(**subject)).collect();
        assert!(never.is_empty(), "{}: told as delivered, and never confirmed: {never:?}", tenant.workspace);
    });
    let webhooks = journal.webhooks.iter().filter(|(workspace, ..)| *workspace == tenant.workspace);
    let undelivered: Vec<_> = webhooks.filter(|(_, _, inbox)| !delivered.contains(inbox.as_str())).collect();
    // A delivery may be given up: one whose worker was killed three times while it ran is.
    assert!(undelivered.len() <= delivered.len() / 20, "{}: given up: {undelivered:?}", tenant.workspace);
}

/// One inbox entry for each event of a sender, also of those that were sent to two nodes.
async fn one_entry_each(install: &Install, tenant: &Tenant, journal: &Journal) {
    let name = tenant.workspace.parse().unwrap();
    let (admin, mut entries, mut cursor) = (install.admin(1), BTreeMap::<String, Vec<String>>::new(), None);
    loop {
        let mut list = admin.workspace(&name).inbox().limit(500);
        if let Some(cursor) = cursor {
            list = list.cursor(cursor);
        }
        let page = list.page().await.unwrap();
        for entry in page.items {
            entries.entry(entry.event_id).or_default().push(entry.id.to_string());
        }
        match page.next_cursor {
            Some(next) => cursor = Some(next),
            None => break,
        }
    }
    for (_, event, inbox) in journal.webhooks.iter().filter(|(workspace, ..)| *workspace == tenant.workspace) {
        assert_eq!(entries.get(event), Some(&vec![inbox.clone()]), "{event}");
    }
}

/// Nothing is told under two ids, and no id has two bodies.
fn told_once(world: &World) {
    world.with(|received| {
        let twisted: Vec<_> = received.bodies.iter().filter(|(_, bodies)| bodies.len() > 1).collect();
        assert!(twisted.is_empty(), "a webhook-id with two bodies: {twisted:?}");
        let doubled: Vec<_> = received.ids.iter().filter(|(_, ids)| ids.len() > 1).collect();
        assert!(doubled.is_empty(), "one thing under two webhook-ids: {doubled:?}");
    });
}

/// Nothing runs or waits any more, no lease is stuck, and no connection is left inside a transaction.
async fn settled(install: &Install) {
    let until = Instant::now() + PATIENCE;
    let left = ["queue_ready", "queue_waiting", "queue_running", "oldest_expired_lease_seconds"];
    loop {
        let mut values = Vec::new();
        for name in left {
            values.push(install.nodes[0].metric(&format!("orchestrator_{name}")).await);
        }
        if values.iter().all(|value| *value == 0.0) {
            break;
        }
        assert!(Instant::now() < until, "something is left: {left:?} = {values:?}");
        sleep(ASKED_EVERY).await;
    }
    idle(install);
}

/// No connection is inside a transaction, now that nothing is asked for.
pub(crate) fn idle(install: &Install) {
    let open = "select coalesce(string_agg(query, '; '), '') from pg_stat_activity \
        where state like 'idle in transaction%' and now() - state_change > interval '1 second'";
    let open = install.postgres.select(&install.database, open);
    assert!(open.is_empty(), "left inside a transaction: {open}");
}
