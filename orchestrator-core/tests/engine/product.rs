//! The product at the other end of callbacks: writes down each delivery, and answers as it is told.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::HeaderMap;
use orchestrator_core::callback::{CallbackAnswer, CallbackRequest, CallbackTransport};
use orchestrator_core::connector::{CallError, CallErrorKind, Sent};
use serde_json::Value;
use tokio::sync::Notify;
use tokio::time::Instant;

/// A delivery that arrived.
#[derive(Debug, Clone)]
pub struct Delivered {
    pub url: String,
    pub headers: HeaderMap,
    pub bytes: Bytes,
    pub at: Instant,
}

impl Delivered {
    pub fn body(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap().to_str().unwrap()
    }

    pub fn id(&self) -> String {
        self.header("webhook-id").to_owned()
    }

    /// Whether an outside implementation makes the same signature with this secret.
    pub fn verifies(&self, secret: &str) -> bool {
        let time = self.header("webhook-timestamp").parse().unwrap();
        let wanted = standardwebhooks::Webhook::new(secret).unwrap().sign(&self.id(), time, &self.bytes).unwrap();
        self.header("webhook-signature").split(' ').any(|signature| signature == wanted)
    }
}

/// What the product does with a delivery.
#[derive(Debug, Clone, Copy)]
pub enum Answer {
    Status(u16),
    Later(u16, Duration),
    Unreachable,
    Panic,
}

#[derive(Default)]
struct State {
    deliveries: Vec<Delivered>,
    answers: HashMap<String, VecDeque<Answer>>,
}

/// The product. Answers 200 where nothing else was told; the last answer told holds on.
#[derive(Clone, Default)]
pub struct Product {
    state: Arc<Mutex<State>>,
    changed: Arc<Notify>,
}

impl Product {
    pub fn shared(&self) -> Arc<dyn CallbackTransport> {
        Arc::new(self.clone())
    }

    /// From now on the endpoint answers these in turn, and the last of them for ever.
    pub fn answers(&self, url: &str, answers: &[Answer]) {
        self.state.lock().unwrap().answers.insert(url.to_owned(), answers.iter().copied().collect());
    }

    pub fn deliveries(&self) -> Vec<Delivered> {
        self.state.lock().unwrap().deliveries.clone()
    }

    /// Waits until `count` deliveries have arrived.
    pub async fn reached(&self, count: usize) -> Vec<Delivered> {
        loop {
            let changed = self.changed.notified();
            let deliveries = self.deliveries();
            if deliveries.len() >= count {
                return deliveries;
            }
            changed.await;
        }
    }
}

#[async_trait]
impl CallbackTransport for Product {
    async fn deliver(&self, request: CallbackRequest) -> Result<CallbackAnswer, CallError> {
        let answer = {
            let mut state = self.state.lock().unwrap();
            let CallbackRequest { url, headers, body } = request;
            let answers = state.answers.entry(url.clone()).or_default();
            let answer = if answers.len() > 1 { answers.pop_front() } else { answers.front().copied() };
            state.deliveries.push(Delivered { url, headers, bytes: body, at: Instant::now() });
            answer.unwrap_or(Answer::Status(200))
        };
        self.changed.notify_waiters();
        let (status, retry_after) = match answer {
            Answer::Status(status) => (status, None),
            Answer::Later(status, wait) => (status, Some(wait)),
            Answer::Unreachable => return Err(CallError::new(CallErrorKind::Unreachable, Sent::No, "no connection")),
            Answer::Panic => panic!("the transport has a bug"),
        };
        Ok(CallbackAnswer { status, retry_after, body: Bytes::from_static(b"{\"seen\":true}") })
    }
}
