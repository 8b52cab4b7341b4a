//! The example connector behaves as the ports say.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

#[path = "../examples/connector.rs"]
#[allow(dead_code, reason = "the program around the connector")]
mod connector;

use std::future::pending;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use orchestrator_conformance::connector::{ConnectorHarness, Sample, Seen, Told};
use orchestrator_core::connector::ConnectorKind;
use serde_json::{Value, json};
use tokio::sync::watch;

use connector::{Gateway, Lost, Message, Reply, SmsKind};

/// A gateway that does as it is told.
struct ToldGateway {
    told: Mutex<Told>,
    seen: Mutex<Vec<Seen>>,
    held: watch::Sender<usize>,
}

/// Counts a message that is held, as long as it lives.
struct Held<'a>(&'a ToldGateway);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.held.send_modify(|held| *held -= 1);
    }
}

#[async_trait]
impl Gateway for ToldGateway {
    async fn send(&self, message: Message) -> Result<Reply, Lost> {
        let told = *self.told.lock().unwrap();
        if told == Told::BeAway {
            return Err(Lost::Unreachable);
        }
        let text = format!("{} {} {} {}", message.token.expose(), message.from, message.to, message.text);
        self.seen.lock().unwrap().push(Seen { text: text.clone(), idempotency_key: Some(message.key) });
        self.held.send_modify(|held| *held += 1);
        let _held = Held(self);
        // A real one takes its time.
        tokio::task::yield_now().await;
        let (status, body, retry_after) = match told {
            Told::Succeed => (202, "msg-1".to_owned(), None),
            Told::Echo => (202, text, None),
            Told::Refuse => (422, text, None),
            Told::Fail => (503, text, None),
            Told::AskToWait(wait) => (429, String::new(), Some(wait)),
            Told::Status(status) => (status, String::new(), None::<Duration>),
            Told::BreakOff => return Err(Lost::BrokenOff),
            Told::Hang | Told::BeAway => pending().await,
        };
        Ok(Reply { status, body, retry_after })
    }
}

struct Harness(Arc<ToldGateway>);

impl Harness {
    fn new() -> Self {
        let (told, seen) = (Mutex::new(Told::Succeed), Mutex::default());
        Self(Arc::new(ToldGateway { told, seen, held: watch::Sender::new(0) }))
    }
}

#[async_trait]
impl ConnectorHarness for Harness {
    fn kind(&self) -> Arc<dyn ConnectorKind> {
        Arc::new(SmsKind::new(self.0.clone()))
    }

    fn settings(&self) -> Value {
        json!({"sender": "Salon", "max_chars": 20})
    }

    fn refused_settings(&self) -> Vec<(Value, &'static str)> {
        vec![
            (json!({}), ""),
            (json!({"sender": "S"}), "/sender"),
            (json!({"sender": "Salon!"}), "/sender"),
            (json!({"sender": "Salon", "max_chars": 0}), "/max_chars"),
        ]
    }

    fn filled_slots(&self) -> Vec<&'static str> {
        vec!["token"]
    }

    fn samples(&self) -> Vec<Sample> {
        let refused = vec![
            (json!({"to": "Anna", "text": "Hello."}), "/to"),
            (json!({"to": "+491701234567", "text": "x".repeat(21)}), "/text"),
            (json!({"to": "+491701234567", "text": 1}), "/text"),
            (json!({"to": "+491701234567", "text": "Hello.", "at": "ten"}), "/at"),
        ];
        vec![Sample { operation: "send", input: json!({"to": "+491701234567", "text": "Hello."}), refused }]
    }

    async fn tell(&self, told: Told) -> bool {
        *self.0.told.lock().unwrap() = told;
        true
    }

    fn seen(&self) -> Vec<Seen> {
        self.0.seen.lock().unwrap().clone()
    }

    async fn until_held(&self, calls: usize) {
        self.0.held.subscribe().wait_for(|held| *held == calls).await.unwrap();
    }
}

orchestrator_conformance::connector_conformance!(Harness::new());
