//! The request log in memory, and what is kept for idempotency keys.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use orchestrator_types::{ExecutionId, IdempotencyKey, RequestId, RequestView, Timestamp, WorkspaceId};

use super::{MemoryStore, Transaction};
use crate::store::{
    Begin, Begun, IdempotencyScope, IdempotentAnswer, KeyRoute, KnownAnswer, RequestEntry, RequestLog, StoreError,
    Sweep,
};

/// How long it is remembered that a call's outcome is unknown, from when its process was last believed alive.
const UNKNOWN_KEPT: Duration = Duration::from_secs(24 * 3600);

type Scoped<T> = BTreeMap<WorkspaceId, BTreeMap<IdempotencyKey, T>>;

#[derive(Default)]
pub(super) struct Requests {
    records: BTreeMap<WorkspaceId, BTreeMap<RequestId, RequestView>>,
    calls: Scoped<Call>,
    answers: Scoped<IdempotentAnswer>,
}

/// A synchronous call under a key.
struct Call {
    request_hash: [u8; 32],
    execution: ExecutionId,
    stands: Stands,
}

enum Stands {
    Begun { valid_until: Timestamp },
    Done { answer: Bytes, expires_at: Timestamp },
}

impl Call {
    fn expired(&self, now: Timestamp) -> bool {
        match self.stands {
            Stands::Done { expires_at, .. } => expires_at <= now,
            Stands::Begun { valid_until } => valid_until.after(UNKNOWN_KEPT) <= now,
        }
    }
}

impl Requests {
    /// The answer that is kept for a key of `/jobs`.
    pub(super) fn kept(
        &self,
        workspace: &WorkspaceId,
        key: &IdempotencyKey,
        now: Timestamp,
    ) -> Option<&IdempotentAnswer> {
        self.answers.get(workspace)?.get(key).filter(|kept| kept.expires_at > now)
    }

    /// Keeps the answer for a key of `/jobs`.
    pub(super) fn keep(&mut self, workspace: &WorkspaceId, answer: IdempotentAnswer) {
        self.answers.entry(workspace.clone()).or_default().insert(answer.key.clone(), answer);
    }

    /// Writes a record; `false` if it is there already.
    pub(super) fn record(&mut self, workspace: &WorkspaceId, record: RequestView) -> bool {
        self.records.entry(workspace.clone()).or_default().insert(record.id, record).is_none()
    }

    fn is_recorded(&self, workspace: &WorkspaceId, id: RequestId) -> bool {
        self.records.get(workspace).is_some_and(|records| records.contains_key(&id))
    }

    fn newest<'a>(
        &'a self,
        workspace: &WorkspaceId,
        subject: Option<&'a str>,
        before: Option<RequestId>,
    ) -> impl Iterator<Item = &'a RequestView> {
        let records = self.records.get(workspace).into_iter().flat_map(|records| records.values().rev());
        records.filter(move |record| {
            before.is_none_or(|before| record.id < before) && subject.is_none_or(|subject| record.subject == subject)
        })
    }

    fn begin(&mut self, workspace: &WorkspaceId, begin: Begin, now: Timestamp) -> Begun {
        let calls = self.calls.entry(workspace.clone()).or_default();
        if let Some(call) = calls.get(&begin.key).filter(|call| !call.expired(now)) {
            if call.request_hash != begin.request_hash {
                return Begun::Mismatch;
            }
            match &call.stands {
                Stands::Done { answer, .. } => return Begun::Done(answer.clone()),
                // The very call again, because its answer was lost.
                Stands::Begun { .. } if call.execution == begin.execution => return Begun::Fresh,
                Stands::Begun { valid_until } if *valid_until > now => return Begun::Running(call.execution),
                Stands::Begun { .. } if !begin.take_over => return Begun::Unknown(call.execution),
                Stands::Begun { .. } => {}
            }
        }
        let stands = Stands::Begun { valid_until: begin.valid_until };
        let call = Call { request_hash: begin.request_hash, execution: begin.execution, stands };
        calls.insert(begin.key, call);
        Begun::Fresh
    }

    /// Ends a call under a key, if the key is still that call's.
    fn end(&mut self, workspace: &WorkspaceId, scope: IdempotencyScope) {
        let Some(calls) = self.calls.get_mut(workspace) else { return };
        let Some(call) = calls.get_mut(&scope.key).filter(|call| call.execution == scope.execution) else { return };
        match (scope.keep, &call.stands) {
            (_, Stands::Done { .. }) => {}
            (Some(kept), Stands::Begun { .. }) => {
                call.stands = Stands::Done { answer: kept.answer, expires_at: kept.expires_at };
            }
            (None, Stands::Begun { .. }) => {
                calls.remove(&scope.key);
            }
        }
    }

    /// Removes up to `limit` records begun before `before`.
    pub(super) fn sweep_records(&mut self, workspace: &WorkspaceId, before: Timestamp, limit: usize) -> usize {
        let Some(records) = self.records.get_mut(workspace) else { return 0 };
        let old: Vec<_> =
            records.values().filter(|record| record.started_at < before).take(limit).map(|record| record.id).collect();
        old.iter().filter(|id| records.remove(*id).is_some()).count()
    }

    /// Removes up to `limit` keys of each scope that are past their time.
    pub(super) fn sweep_keys(&mut self, workspace: &WorkspaceId, now: Timestamp, limit: usize) -> usize {
        let answers = sweep_keys(self.answers.get_mut(workspace), limit, |kept| kept.expires_at <= now);
        answers + sweep_keys(self.calls.get_mut(workspace), limit, |call| call.expired(now))
    }
}

fn sweep_keys<T>(keys: Option<&mut BTreeMap<IdempotencyKey, T>>, limit: usize, expired: impl Fn(&T) -> bool) -> usize {
    let Some(keys) = keys else { return 0 };
    let old: Vec<_> = keys.iter().filter(|(_, kept)| expired(kept)).take(limit).map(|(key, _)| key.clone()).collect();
    old.iter().filter(|key| keys.remove(*key).is_some()).count()
}

fn log(transaction: &mut Transaction<'_>, entry: RequestEntry) {
    let requests = &mut transaction.state.requests;
    let repeated = entry.record.as_ref().is_some_and(|record| requests.is_recorded(&entry.workspace, record.id));
    if repeated {
        return;
    }
    if let Some(record) = entry.record {
        transaction.state.payloads.link(&entry.workspace, &record.subject, entry.payloads, transaction.now);
        let requests = &mut transaction.state.requests;
        requests.record(&entry.workspace, record);
    }
    if let Some(scope) = entry.idempotency {
        transaction.state.requests.end(&entry.workspace, scope);
    }
    if !entry.events.is_empty() {
        transaction.tell(&entry.workspace, entry.events);
    }
}

#[async_trait]
impl RequestLog for MemoryStore {
    async fn begin(&self, workspace: &WorkspaceId, begin: Begin) -> Result<Begun, StoreError> {
        Ok(self.write(|transaction| transaction.state.requests.begin(workspace, begin, transaction.now)))
    }

    async fn kept(
        &self,
        workspace: &WorkspaceId,
        route: KeyRoute,
        key: &IdempotencyKey,
    ) -> Result<Option<KnownAnswer>, StoreError> {
        let now = self.clock.now();
        Ok(self.read(|state| match route {
            KeyRoute::Jobs => {
                let kept = state.requests.kept(workspace, key, now)?;
                Some(KnownAnswer { request_hash: kept.request_hash, answer: kept.answer.clone() })
            }
            KeyRoute::Execute => {
                let call = state.requests.calls.get(workspace)?.get(key).filter(|call| !call.expired(now))?;
                match &call.stands {
                    Stands::Begun { .. } => None,
                    Stands::Done { answer, .. } => {
                        Some(KnownAnswer { request_hash: call.request_hash, answer: answer.clone() })
                    }
                }
            }
        }))
    }

    async fn log(&self, entries: Vec<Arc<RequestEntry>>) -> Result<(), StoreError> {
        self.write(|transaction| entries.into_iter().for_each(|entry| log(transaction, Arc::unwrap_or_clone(entry))));
        Ok(())
    }

    async fn request_about(&self, workspace: &WorkspaceId, subject: &str) -> Result<Option<RequestView>, StoreError> {
        Ok(self.read(|state| state.requests.newest(workspace, Some(subject), None).next().cloned()))
    }

    async fn requests(
        &self,
        workspace: &WorkspaceId,
        subject: Option<&str>,
        before: Option<RequestId>,
        limit: usize,
    ) -> Result<Vec<RequestView>, StoreError> {
        Ok(self.read(|state| state.requests.newest(workspace, subject, before).take(limit).cloned().collect()))
    }

    async fn sweep(&self, sweep: Sweep, limit: usize) -> Result<u64, StoreError> {
        Ok(self.write(|transaction| transaction.sweep(&sweep, limit)))
    }
}
