//! One attempt on the wire: credentials at the last moment, and once more where an access token has lost its worth.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use http::StatusCode;
use orchestrator_core::connector::{CallError, Sent};
use orchestrator_core::secrets::{Redactor, Secret};
use serde_json::Value;
use url::Url;

use super::auth::Credentials;
use super::oauth2::Token;
use super::paging::Fetch;
use super::plan::Planned;
use crate::egress::{BodyLimit, EgressAnswer, EgressClient, EgressLimits};

/// A planned request with what it takes to send it.
pub(super) struct Exchange<'a> {
    client: EgressClient,
    credentials: &'a Credentials,
    planned: &'a Planned,
    /// The access tokens that went out: an upstream may echo them, and no slot holds them.
    used: Mutex<Vec<Secret>>,
}

impl<'a> Exchange<'a> {
    pub(super) fn new(client: EgressClient, credentials: &'a Credentials, planned: &'a Planned) -> Self {
        Self { client, credentials, planned, used: Mutex::default() }
    }

    /// The outcome without the access tokens that went out.
    pub(super) fn redacted(&self, mut outcome: Result<Value, CallError>) -> Result<Value, CallError> {
        let used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if !used.is_empty() {
            let redactor = Redactor::new(&used);
            match &mut outcome {
                Ok(output) => drop(redactor.value(output)),
                Err(CallError { upstream: Some(upstream), .. }) => drop(redactor.value(&mut upstream.body)),
                Err(_) => {}
            }
        }
        outcome
    }

    async fn send(&self, url: &Url, token: Option<&Token>, limits: EgressLimits) -> Result<EgressAnswer, CallError> {
        let Planned { method, headers, body, .. } = self.planned;
        let mut headers = headers.clone();
        self.credentials.add_to(&mut headers, token).await?;
        self.credentials.sign(method, url, &mut headers, body).await?;
        self.client.send(method.clone(), url.clone(), headers, body.clone(), limits).await
    }

    async fn token(&self, refused: Option<&Arc<Token>>) -> Result<Option<Arc<Token>>, CallError> {
        let token = self.credentials.token(&self.client, refused).await?;
        if let Some(token) = &token {
            self.used.lock().unwrap_or_else(PoisonError::into_inner).push(token.value().clone());
        }
        Ok(token)
    }
}

#[async_trait]
impl Fetch for Exchange<'_> {
    async fn fetch(&self, url: Url, most: usize) -> Result<EgressAnswer, CallError> {
        let limits = EgressLimits { success: BodyLimit::Whole(most), ..EgressLimits::default() };
        let token = self.token(None).await?;
        let answer = self.send(&url, token.as_deref(), limits).await?;
        // Refused for its token, it was not done: it may go out again, whatever it is.
        let Some(refused) = token.filter(|_| answer.status == StatusCode::UNAUTHORIZED) else { return Ok(answer) };
        let seen = |mut failed: CallError| {
            failed.sent = Sent::Maybe;
            failed
        };
        let fresh = self.token(Some(&refused)).await.map_err(seen)?;
        self.send(&url, fresh.as_deref(), limits).await.map_err(seen)
    }
}
