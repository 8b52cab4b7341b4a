//! Dead letters: list, replay, purge. Each id is moved once however many operators ask.

use std::collections::HashMap;
use std::time::Duration;

use orchestrator_types::{
    DeadLetter, DlqFilter, DlqRequest, DlqResult, DlqSkipped, JobId, Name, Page, Timestamp, WorkspaceId,
};
use serde_json::json;

use super::view::dead_letter;
use crate::actor::{Actor, Reason};
use crate::clock::Clock;
use crate::config::LiveConfig;
use crate::engine::{Engine, cursor, page, page_size};
use crate::error::Error;
use crate::store::{DeadFilter, JobKind, JobRecord, Moved};

/// A filter is frozen to so many ids first.
const MOST: usize = 10_000;
const CHUNK: usize = 500;

/// Jobs and deliveries that were given up.
#[derive(Clone, Copy)]
pub struct DeadLetters<'a>(pub(crate) &'a Engine);

impl DeadLetters<'_> {
    /// Dead letters, newest first, older than `cursor`.
    ///
    /// # Errors
    /// No such workspace, a crooked cursor, or the store.
    pub async fn list(
        &self,
        workspace: &WorkspaceId,
        filter: &DlqFilter,
        from: Option<&str>,
        limit: usize,
    ) -> Result<Page<DeadLetter>, Error> {
        let limit = page_size(limit);
        self.0.workspace(workspace).await?;
        let records = self.0.store.dead(workspace, &dead_filter(filter), cursor(from)?, limit + 1).await?;
        Ok(page(records, limit, |record| record.job.id.to_string()).map(dead_letter))
    }

    /// Queues dead letters again, attempts from zero, paced at the rate limit of their connector or callback.
    ///
    /// # Errors
    /// No such workspace, neither ids nor a filter, no reason, or the store: what was moved until then stays moved.
    pub async fn replay(
        &self,
        actor: &Actor,
        workspace: &WorkspaceId,
        request: &DlqRequest,
    ) -> Result<DlqResult, Error> {
        let reason = Reason::new(&request.reason)?;
        let live = self.0.live(workspace).await?;
        let ids = self.freeze(workspace, request).await?;
        let mut pace = Pace { live: &live, now: self.0.store_time.now(), sent: HashMap::new() };
        let mut result = DlqResult { count: 0, ids: Vec::new(), skipped: Vec::new() };
        for chunk in ids.chunks(CHUNK) {
            let mut jobs = Vec::with_capacity(chunk.len());
            for id in chunk {
                let record = self.0.store.job(workspace, *id).await?;
                jobs.push((*id, record.and_then(|record| pace.at(&record))));
            }
            let audit = actor.audit("dlq.replay", format!("{} dead letters", chunk.len())).because(&reason);
            let audit = audit.change(None, Some(json!({"ids": chunk})));
            let moved = self.0.store.replay(workspace, jobs, audit).await?;
            account(&mut result, chunk, &moved);
        }
        Ok(result)
    }

    /// Removes dead letters for good.
    ///
    /// # Errors
    /// As [`replay`](Self::replay).
    pub async fn purge(
        &self,
        actor: &Actor,
        workspace: &WorkspaceId,
        request: &DlqRequest,
    ) -> Result<DlqResult, Error> {
        let reason = Reason::new(&request.reason)?;
        self.0.workspace(workspace).await?;
        let ids = self.freeze(workspace, request).await?;
        let mut result = DlqResult { count: 0, ids: Vec::new(), skipped: Vec::new() };
        for chunk in ids.chunks(CHUNK) {
            let audit = actor.audit("dlq.purge", format!("{} dead letters", chunk.len())).because(&reason);
            let audit = audit.change(Some(json!({"ids": chunk})), None);
            let moved = self.0.store.purge(workspace, chunk.to_vec(), audit).await?;
            account(&mut result, chunk, &moved);
        }
        Ok(result)
    }

    /// The ids that a request means, once and for all.
    async fn freeze(&self, workspace: &WorkspaceId, request: &DlqRequest) -> Result<Vec<JobId>, Error> {
        match (&request.ids, &request.filter) {
            (Some(ids), None) if ids.len() > MOST => Err(Error::invalid("/ids", format!("at most {MOST}"))),
            (Some(ids), None) => Ok(ids.clone()),
            (None, Some(filter)) => {
                let (filter, mut ids, mut before) = (dead_filter(filter), Vec::new(), None);
                while ids.len() < MOST {
                    let chunk = self.0.store.dead(workspace, &filter, before, CHUNK.min(MOST - ids.len())).await?;
                    before = chunk.last().map(|record| record.job.id);
                    if before.is_none() {
                        break;
                    }
                    ids.extend(chunk.iter().map(|record| record.job.id));
                }
                Ok(ids)
            }
            _ => Err(Error::invalid("", "either `ids` or `filter`")),
        }
    }
}

/// Spreads a replay over time, so that it is no attack.
struct Pace<'a> {
    live: &'a LiveConfig,
    now: Timestamp,
    sent: HashMap<(bool, Name), u32>,
}

impl Pace<'_> {
    fn at(&mut self, record: &JobRecord) -> Option<Timestamp> {
        let delivery = record.job.kind != JobKind::Call;
        let target = if delivery { record.job.callback.clone() } else { record.job.connector.clone() }?;
        let policy = if delivery {
            self.live.callbacks.get(&target).map(|callback| &callback.policy)
        } else {
            self.live.connectors.get(&target).map(|connector| &connector.policy)
        }?;
        let limit = policy.rate_limit.as_ref()?;
        let sent = self.sent.entry((delivery, target)).or_default();
        *sent += 1;
        let beyond = sent.checked_sub(limit.burst)?;
        Some(self.now.after(Duration::try_from_secs_f64(f64::from(beyond) / limit.per_second).ok()?))
    }
}

fn account(result: &mut DlqResult, ids: &[JobId], moved: &[Moved]) {
    for (id, moved) in ids.iter().zip(moved) {
        let skipped = |reason: &str| DlqSkipped { id: *id, reason: reason.to_owned() };
        match moved {
            Moved::Done => {
                result.count += 1;
                result.ids.push(*id);
            }
            Moved::NotDead => result.skipped.push(skipped("not_dead")),
            Moved::NotFound => result.skipped.push(skipped("not_found")),
        }
    }
}

fn dead_filter(filter: &DlqFilter) -> DeadFilter {
    DeadFilter {
        connector: filter.connector.clone(),
        callback: filter.callback.clone(),
        died_before: filter.died_before,
        died_after: filter.died_after,
    }
}
