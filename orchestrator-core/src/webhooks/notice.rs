//! Duplicates and rejections, told without flooding anybody's log: the first of a route at once, then one summary a minute.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use orchestrator_types::{EventType, Name, TraceId, WorkspaceId};
use serde_json::json;
use tokio::time::Instant;

use crate::store::NewEvent;

const SUMMARY: Duration = Duration::from_secs(60);
/// Beyond so many routes at once newcomers are only counted by the metrics.
const ROUTES: usize = 10_000;

/// Deliveries that conflict with what is known are told apart from mere repetitions.
type Key = (WorkspaceId, Name, EventType, bool);

struct Count {
    since: Instant,
    more: u64,
    last: TraceId,
}

/// What was told of each route lately.
#[derive(Default)]
pub(crate) struct Notices(Mutex<BTreeMap<Key, Count>>);

impl Notices {
    /// Notes one more; answers the event if it is the first.
    pub(crate) fn note(
        &self,
        workspace: &WorkspaceId,
        route: &Name,
        kind: EventType,
        trace_id: TraceId,
        data: serde_json::Value,
    ) -> Option<NewEvent> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let conflict = data["conflict"] == json!(true);
        let key = (workspace.clone(), route.clone(), kind, conflict);
        if let Some(count) = counts.get_mut(&key) {
            count.more += 1;
            count.last = trace_id;
            return None;
        }
        if counts.len() >= ROUTES {
            return None;
        }
        counts.insert(key, Count { since: Instant::now(), more: 0, last: trace_id });
        Some(NewEvent::new(kind, route, trace_id, data))
    }

    /// The summaries that are due; what stayed quiet for a minute is forgotten.
    pub(crate) fn summaries(&self) -> Vec<(WorkspaceId, NewEvent)> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut due = Vec::new();
        counts.retain(|(workspace, route, kind, conflict), count| {
            if count.since.elapsed() < SUMMARY {
                return true;
            }
            if count.more == 0 {
                return false;
            }
            let mut data = json!({"route": route, "summary": true, "count": count.more, "seconds": SUMMARY.as_secs()});
            if *conflict {
                data["conflict"] = json!(true);
            }
            due.push((workspace.clone(), NewEvent::new(*kind, route, count.last, data)));
            (count.since, count.more) = (Instant::now(), 0);
            true
        });
        due
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn inv_37_a_flood_of_rejections_is_one_event_and_one_summary_a_minute() {
        let notices = Notices::default();
        let (workspace, route) = ("a-dev".parse().unwrap(), "r".parse().unwrap());
        let note = || notices.note(&workspace, &route, EventType::WebhookRejected, TraceId::new(), json!({}));
        assert!(note().is_some());
        assert_eq!((0..1_000).filter_map(|_| note()).count(), 0);
        assert!(notices.summaries().is_empty());
        tokio::time::advance(SUMMARY).await;
        let summaries = notices.summaries();
        assert_eq!(summaries.len(), 1);
        assert_eq!(summaries[0].1.data["count"], 1_000);
        tokio::time::advance(SUMMARY).await;
        assert!(notices.summaries().is_empty());
        assert!(note().is_some(), "after a quiet minute the next one is told at once");
    }
}
