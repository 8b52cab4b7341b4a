//! The inbox: what was taken in, how its delivery stands, and delivering it again.

use data_encoding::BASE64;
use orchestrator_types::{InboxId, InboxStatus, InboxView, JobId, Page, PayloadRef, WorkspaceId};
use serde_json::json;

use super::ingest::webhook_job;
use crate::actor::{Actor, Reason};
use crate::callback::{WebhookDelivery, render_webhook};
use crate::engine::{Engine, cursor, page, page_size};
use crate::error::Error;
use crate::payload::reference;
use crate::store::{Enqueue, InboxRecord, JobRecord, JobState, Moved};

/// The inboxes of workspaces.
#[derive(Clone, Copy)]
pub struct Inbox<'a>(pub(crate) &'a Engine);

impl Inbox<'_> {
    /// Entries, newest first, older than `cursor`; without headers and bodies.
    ///
    /// # Errors
    /// No such workspace, a crooked cursor, or the store.
    pub async fn list(
        &self,
        workspace: &WorkspaceId,
        from: Option<&str>,
        limit: usize,
    ) -> Result<Page<InboxView>, Error> {
        let limit = page_size(limit);
        self.0.workspace(workspace).await?;
        let records = self.0.store.inbox(workspace, cursor(from)?, limit + 1).await?;
        let found = page(records, limit, |record| record.entry.id.to_string());
        let mut items = Vec::with_capacity(found.items.len());
        for record in found.items {
            let job = self.job(workspace, record.job).await?;
            items.push(view(record, job.as_ref(), false));
        }
        Ok(Page { items, next_cursor: found.next_cursor })
    }

    /// One entry, with its headers (that of the signature redacted) and body.
    ///
    /// # Errors
    /// No such workspace or entry, or the store.
    pub async fn get(&self, workspace: &WorkspaceId, id: InboxId) -> Result<InboxView, Error> {
        self.0.workspace(workspace).await?;
        let record = self.0.store.inbox_entry(workspace, id).await?.ok_or(Error::not_found("inbox entry"))?;
        let job = self.job(workspace, record.job).await?;
        let payload_ref = self.body_payload(workspace, &record).await?;
        Ok(InboxView { payload_ref, ..view(record, job.as_ref(), true) })
    }

    /// Delivers an entry again. What was dead keeps its `webhook-id`; what was delivered gets a new one and says
    /// `replay_of`.
    ///
    /// # Errors
    /// No such workspace or entry; its delivery is still under way; its route has no callback any more; its body is gone;
    /// or the store.
    pub async fn replay(
        &self,
        actor: &Actor,
        workspace: &WorkspaceId,
        id: InboxId,
        reason: &Reason,
    ) -> Result<InboxView, Error> {
        let live = self.0.live(workspace).await?;
        let record = self.0.store.inbox_entry(workspace, id).await?.ok_or(Error::not_found("inbox entry"))?;
        let job = self.job(workspace, record.job).await?;
        let audit = actor.audit("inbox.replay", id).because(reason);
        match job.as_ref().map(|job| job.state) {
            Some(JobState::Queued | JobState::Running) => {
                return Err(wrong_state("delivery_pending", "its delivery is still under way"));
            }
            Some(JobState::Dead) => {
                let jobs: Vec<_> = job.iter().map(|job| (job.job.id, None)).collect();
                let moved = self.0.store.replay(workspace, jobs, audit).await?;
                if moved != [Moved::Done] {
                    return Err(wrong_state("delivery_pending", "somebody replayed it just now"));
                }
                return self.get(workspace, id).await;
            }
            Some(JobState::Succeeded | JobState::Cancelled) | None => {}
        }
        if !record.body_kept {
            return Err(wrong_state("body_gone", "its body has outlived its retention"));
        }
        let entry = &record.entry;
        let route = live.config.webhook_routes.get(&entry.route);
        let callback = route.and_then(|route| route.callback.clone()).filter(|name| live.callbacks.contains_key(name));
        let callback = callback.ok_or_else(|| wrong_state("no_callback", "its route has no callback"))?;
        // A job that is gone may have delivered it: the product would take the same id for a repetition.
        let delivered = match &job {
            Some(job) => job.state == JobState::Succeeded,
            None => record.job.is_some() && !record.given_up,
        };
        let former = job.as_ref().and_then(|job| job.job.delivery_id.clone()).unwrap_or_else(|| id.to_string());
        let delivery_id = if delivered { InboxId::new().to_string() } else { former.clone() };
        let payload_ref = self.body_payload(workspace, &record).await?;
        if entry.body_payload.is_some() && payload_ref.is_none() {
            return Err(wrong_state("body_gone", "its body was stored apart, and is gone"));
        }
        let rendered = render_webhook(&WebhookDelivery {
            id: &id.to_string(),
            replay_of: delivered.then_some(former.as_str()),
            workspace,
            provider: &entry.provider,
            route: &entry.route,
            account: entry.account.as_deref(),
            event_id: &entry.event_id,
            event_type: entry.event_type.as_deref(),
            body: &entry.body,
            is_json: serde_json::from_slice::<serde::de::IgnoredAny>(&entry.body).is_ok(),
            payload_ref,
            received_at: entry.received_at,
        })?;
        let mut job = webhook_job(&live, &callback, delivery_id, id, rendered, entry.trace_id);
        job.payloads.named.extend(entry.body_payload);
        let audit = audit.change(None, Some(json!({"job": job.id})));
        let enqueue = Enqueue { jobs: vec![job], audit: Some(audit), ..Enqueue::default() };
        if self.0.store.redeliver(workspace, id, enqueue).await? {
            self.get(workspace, id).await
        } else {
            Err(Error::not_found("inbox entry"))
        }
    }

    /// Where the body is, if it is stored apart and still there.
    async fn body_payload(&self, workspace: &WorkspaceId, record: &InboxRecord) -> Result<Option<PayloadRef>, Error> {
        match record.entry.body_payload.filter(|_| record.body_kept) {
            Some(id) => Ok(self.0.store.payload(workspace, id).await?.map(|row| reference(&row.payload))),
            None => Ok(None),
        }
    }

    async fn job(&self, workspace: &WorkspaceId, id: Option<JobId>) -> Result<Option<JobRecord>, Error> {
        match id {
            Some(id) => Ok(self.0.store.job(workspace, id).await?),
            None => Ok(None),
        }
    }
}

fn wrong_state(code: &'static str, detail: &str) -> Error {
    Error::WrongState { code, detail: detail.to_owned() }
}

fn view(record: InboxRecord, job: Option<&JobRecord>, whole: bool) -> InboxView {
    let status = match (record.job, job.map(|job| job.state)) {
        (None, _) => InboxStatus::Received,
        (_, Some(JobState::Queued | JobState::Running)) => InboxStatus::Delivering,
        (_, Some(JobState::Dead | JobState::Cancelled)) => InboxStatus::Dead,
        (_, None) if record.given_up => InboxStatus::Dead,
        // A delivery that ended well may have outlived its retention.
        (_, Some(JobState::Succeeded) | None) => InboxStatus::Delivered,
    };
    let entry = record.entry;
    let inline = record.body_kept && entry.body_payload.is_none();
    let body = (whole && inline).then_some(entry.body);
    let payload = body.as_ref().and_then(|body| serde_json::from_slice(body).ok());
    let payload_base64 = body.filter(|_| payload.is_none()).map(|body| BASE64.encode(&body));
    InboxView {
        id: entry.id,
        provider: entry.provider,
        route: entry.route,
        account: entry.account,
        event_id: entry.event_id,
        event_type: entry.event_type,
        received_at: entry.received_at,
        status,
        job: record.job,
        duplicates: record.duplicates,
        headers: whole.then_some(entry.headers),
        payload,
        payload_base64,
        payload_ref: None,
        trace_id: entry.trace_id,
    }
}
