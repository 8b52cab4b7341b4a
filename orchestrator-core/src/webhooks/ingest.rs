//! The ingress: find the route, prove the signature, commit once, and only then say yes.

use std::collections::BTreeMap;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, header};
use orchestrator_types::{EventType, InboxId, JobId, Name, TraceId, WebhookAccepted, WebhookRouteConfig, WorkspaceId};
use serde_json::{Value, json};

use super::signature::{EventError, EventFacts, InboundWebhook, WebhookProvider, provider};
use crate::callback::{WebhookDelivery, render_webhook};
use crate::clock::Clock;
use crate::config::LiveConfig;
use crate::engine::Engine;
use crate::error::Error;
use crate::payload::reference;
use crate::store::{
    Ingested, JobKind, NewEvent, NewInbox, NewJob, NewPayload, PayloadLinks, RouteKey, RouteOwner, StoreError,
};

/// The operation of a connector that takes webhooks.
const WEBHOOK_OPERATION: &str = "webhook";
const PRIORITY: u8 = 5;
/// A provider that asks whether the endpoint is ours says little,
const CHALLENGE_BYTES: usize = 4_096;
/// and no more secrets than this are tried on it.
const CHALLENGE_ROUTES: usize = 256;

/// The webhook ingress.
#[derive(Clone, Copy)]
pub struct Webhooks<'a>(pub(crate) &'a Engine);

/// What the sender is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ingress {
    /// The event is durable.
    Accepted(WebhookAccepted),
    /// The provider only asked whether the endpoint is ours: this is to be echoed.
    Challenge(String),
}

/// The route that proved a webhook.
struct Proven {
    live: Arc<LiveConfig>,
    name: Name,
    route: WebhookRouteConfig,
    first: bool,
}

impl Webhooks<'_> {
    /// Takes a webhook in. When this answers, inbox entry, event and job are durable; a duplicate enqueues nothing.
    ///
    /// # Errors
    /// No route takes it, its signature does not verify, it cannot be read, or the store did not commit: then the sender
    /// should send it again.
    pub async fn ingest(
        &self,
        provider_name: &str,
        route_key: Option<&str>,
        headers: &HeaderMap,
        body: Bytes,
        trace_id: TraceId,
    ) -> Result<Ingress, Error> {
        let provider = provider(provider_name).ok_or(Error::RouteNotFound)?;
        let name: Name = provider_name.parse().map_err(|_| Error::RouteNotFound)?;
        let request = InboundWebhook::new(headers, &body);
        let proven = self.prove(provider, &name, route_key, &request, trace_id).await?;
        if let Some(challenge) = provider.challenge(&request) {
            return Ok(Ingress::Challenge(challenge));
        }
        let settings = proven.route.settings.as_ref();
        let facts = provider.event(&request, settings).map_err(|error| unreadable(&error))?;
        let is_json = request.json().is_ok();
        let redacted = provider.redacted_headers(settings);
        let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let payload = self.0.store_apart(&proven.live, content_type, &body).await;
        let apart = payload.as_ref().map(|payload| payload.id);
        let entry = self.entry(&proven, name, facts, &body, payload, is_json, kept(headers, &redacted), trace_id)?;
        let (id, workspace) = (entry.id, proven.live.workspace.clone());
        let event_id = entry.event_id.clone();
        let ingested = self.0.store.ingest(&workspace, entry).await?;
        if proven.first {
            // Whether this is noted matters only to who asks for the route later; the next event notes it again.
            let _ = self.0.store.route_verified(&workspace, &proven.name).await;
        }
        match ingested {
            Ingested::New => Ok(Ingress::Accepted(WebhookAccepted { id, duplicate: false })),
            Ingested::Duplicate { id, conflict, count } => {
                self.0.discard(&workspace, apart.into_iter().collect()).await;
                let data = json!({
                    "route": proven.name, "inbox": id, "event_id": event_id, "conflict": conflict, "count": count,
                });
                self.tell(&workspace, &proven.name, EventType::WebhookDuplicate, trace_id, data).await;
                Ok(Ingress::Accepted(WebhookAccepted { id, duplicate: true }))
            }
        }
    }

    /// Finds the route whose secret verifies the webhook.
    async fn prove(
        &self,
        provider: &dyn WebhookProvider,
        name: &Name,
        route_key: Option<&str>,
        request: &InboundWebhook<'_>,
        trace_id: TraceId,
    ) -> Result<Proven, Error> {
        let key = match route_key {
            Some(key) => RouteKey::Key(key.parse().map_err(|_| Error::RouteNotFound)?),
            None => match provider.account(request, None) {
                Ok(Some(account)) => RouteKey::Account(account),
                // Where the account stands is a setting of the route: only those that ask for no account can be tried.
                Ok(None) | Err(EventError::Settings) => RouteKey::Default,
                Err(error) => return Err(unreadable(&error)),
            },
        };
        let owners = match key {
            // Whether the endpoint is ours is asked once for all accounts: whichever route's secret verifies may answer.
            RouteKey::Default if provider.challenge(request).is_some() && request.body().len() <= CHALLENGE_BYTES => {
                self.0.store.provider_routes(name, CHALLENGE_ROUTES).await?
            }
            key => self.0.store.routes(name, &key).await?,
        };
        if owners.is_empty() {
            return Err(Error::RouteNotFound);
        }
        let mut unreachable = false;
        for owner in &owners {
            match self.try_route(provider, owner, request).await {
                Ok(Some(proven)) => return Ok(proven),
                Ok(None) => {}
                Err(Error::Secret(_)) => unreachable = true,
                Err(error) => return Err(error),
            }
        }
        if unreachable {
            // A secret that cannot be had proves nothing either way: the sender shall come again.
            return Err(Error::Unavailable(StoreError::unavailable("a signing secret cannot be had")));
        }
        // Of several candidates nobody knows whose it was meant to be.
        if let [owner] = owners.as_slice() {
            let data = json!({"route": owner.route, "code": "signature_invalid"});
            self.tell(&owner.workspace, &owner.route, EventType::WebhookRejected, trace_id, data).await;
        }
        Err(Error::SignatureInvalid)
    }

    async fn try_route(
        &self,
        provider: &dyn WebhookProvider,
        owner: &RouteOwner,
        request: &InboundWebhook<'_>,
    ) -> Result<Option<Proven>, Error> {
        let mut live = match self.0.live(&owner.workspace).await {
            Ok(live) => live,
            Err(Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        if !live.config.webhook_routes.contains_key(&owner.route) {
            // The route index is read anew each time: this node has not heard of the version yet that has the route.
            self.0.snapshots.forget(&owner.workspace);
            live = self.0.live(&owner.workspace).await?;
        }
        let Some(route) = live.config.webhook_routes.get(&owner.route).cloned() else { return Ok(None) };
        let Some(source) = live.source(&self.0.secrets, &route.signing_secret) else { return Ok(None) };
        let secrets = source.resolve().await.map_err(Error::Secret)?;
        match provider.verify(request, &secrets, route.settings.as_ref(), self.0.store_time.now()) {
            Ok(()) => Ok(Some(Proven { live, name: owner.route.clone(), route, first: !owner.verified })),
            Err(error) => {
                tracing::debug!(workspace = %owner.workspace, route = %owner.route, cause = error.cause(), "a webhook was refused");
                Ok(None)
            }
        }
    }

    #[allow(clippy::too_many_arguments, reason = "the parts of one entry, each of its own source")]
    fn entry(
        &self,
        proven: &Proven,
        provider: Name,
        facts: EventFacts,
        body: &Bytes,
        payload: Option<NewPayload>,
        is_json: bool,
        headers: BTreeMap<String, String>,
        trace_id: TraceId,
    ) -> Result<NewInbox, Error> {
        let (id, now) = (InboxId::new(), self.0.store_time.now());
        let account = facts.account.clone().or_else(|| proven.route.account.clone());
        let mut body_hash = [0u8; 32];
        body_hash.copy_from_slice(digest(&SHA256, body).as_ref());
        let delivery = WebhookDelivery {
            id: &id.to_string(),
            replay_of: None,
            workspace: &proven.live.workspace,
            provider: &provider,
            route: &proven.name,
            account: account.as_deref(),
            event_id: &facts.event_id,
            event_type: facts.event_type.as_deref(),
            body,
            is_json,
            payload_ref: payload.as_ref().map(reference),
            received_at: now,
        };
        let rendered = render_webhook(&delivery)?;
        let mut jobs = Vec::new();
        if let Some(callback) = &proven.route.callback {
            jobs.push(webhook_job(&proven.live, callback, id.to_string(), id, rendered.clone(), trace_id));
        }
        jobs.extend(self.connector_job(proven, &rendered, id, trace_id));
        let body_payload = payload.as_ref().map(|payload| payload.id);
        for job in &mut jobs {
            job.payloads.named.extend(body_payload);
        }
        let body = if body_payload.is_some() { Bytes::new() } else { body.clone() };
        let data = json!({
            "provider": provider, "route": proven.name, "account": account, "event_id": facts.event_id,
            "event_type": facts.event_type, "job": jobs.first().map(|job| job.id),
        });
        Ok(NewInbox {
            id,
            provider,
            route: proven.name.clone(),
            account,
            event_id: facts.event_id,
            event_type: facts.event_type,
            headers,
            body,
            body_payload,
            body_hash,
            received_at: now,
            trace_id,
            events: vec![NewEvent::new(EventType::WebhookReceived, id, trace_id, data)],
            jobs,
            payloads: PayloadLinks { new: payload.into_iter().collect(), named: Vec::new() },
        })
    }

    /// The call of the route's connector, if its kind takes webhooks.
    fn connector_job(&self, proven: &Proven, rendered: &Bytes, id: InboxId, trace_id: TraceId) -> Option<NewJob> {
        let connector = proven.live.connectors.get(proven.route.connector.as_ref()?)?;
        let input: Value = serde_json::from_slice(rendered).ok()?;
        connector.connector.plan(WEBHOOK_OPERATION, &input).ok()?;
        Some(NewJob {
            id: JobId::new(),
            kind: JobKind::Call,
            connector: Some(connector.name.clone()),
            operation: WEBHOOK_OPERATION.to_owned(),
            input: rendered.clone(),
            priority: PRIORITY,
            run_at: None,
            max_attempts: connector.policy.job_retry.max_attempts,
            ordering_key: None,
            callback: None,
            metadata: BTreeMap::new(),
            timeout: None,
            subject: Some(id.to_string()),
            delivery_id: None,
            trace_id,
            payloads: PayloadLinks::default(),
        })
    }

    /// Tells the workspace of a duplicate or rejection; the sender's answer does not depend on it.
    async fn tell(&self, workspace: &WorkspaceId, route: &Name, kind: EventType, trace_id: TraceId, data: Value) {
        if let Some(event) = self.0.notices.note(workspace, route, kind, trace_id, data)
            && let Err(error) = self.0.store.append(workspace, vec![event]).await
        {
            tracing::warn!(%workspace, %route, %error, "a webhook notice was not written");
        }
    }
}

/// The job that delivers an inbox entry.
pub(super) fn webhook_job(
    live: &LiveConfig,
    callback: &Name,
    delivery_id: String,
    inbox: InboxId,
    rendered: Bytes,
    trace_id: TraceId,
) -> NewJob {
    let policy = live.callbacks.get(callback).map(|callback| callback.policy.job_retry.clone()).unwrap_or_default();
    NewJob {
        id: JobId::new(),
        kind: JobKind::Webhook,
        connector: None,
        operation: EventType::WebhookReceived.as_str().to_owned(),
        input: rendered,
        priority: PRIORITY,
        run_at: None,
        max_attempts: policy.max_attempts,
        ordering_key: None,
        callback: Some(callback.clone()),
        metadata: BTreeMap::new(),
        timeout: None,
        subject: Some(inbox.to_string()),
        delivery_id: Some(delivery_id),
        trace_id,
        payloads: PayloadLinks::default(),
    }
}

/// Headers that hold credentials of whoever stands in between.
const NEVER_KEPT: [HeaderName; 4] =
    [header::AUTHORIZATION, header::COOKIE, header::PROXY_AUTHORIZATION, header::SET_COOKIE];
const HEADERS: usize = 64;

fn kept(headers: &HeaderMap, redacted: &[HeaderName]) -> BTreeMap<String, String> {
    let mut kept = BTreeMap::new();
    for (name, value) in headers.iter().take(HEADERS) {
        let hidden = redacted.contains(name) || NEVER_KEPT.contains(name);
        let value = if hidden { "[redacted]".into() } else { String::from_utf8_lossy(value.as_bytes()) };
        kept.insert(name.as_str().to_owned(), value.into_owned());
    }
    kept
}

fn unreadable(error: &EventError) -> Error {
    Error::WebhookUnreadable(error.to_string())
}
