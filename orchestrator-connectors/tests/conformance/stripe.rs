//! The `stripe` kind behaves as the ports say, against the same socket.

use std::sync::Arc;

use async_trait::async_trait;
use orchestrator_conformance::connector::{ConnectorHarness, Sample, Seen, Told};
use orchestrator_connectors::{EgressClient, EgressPolicy, StripeKind};
use orchestrator_core::connector::ConnectorKind;
use serde_json::{Value, json};

use super::Http;

/// The upstream of the `http` kind, called in the API's terms.
struct Stripe(Http);

#[async_trait]
impl ConnectorHarness for Stripe {
    fn kind(&self) -> Arc<dyn ConnectorKind> {
        let policy = EgressPolicy::new(vec!["127.0.0.0/8".parse().unwrap()]);
        Arc::new(StripeKind::new(EgressClient::new(policy).unwrap()))
    }

    fn settings(&self) -> Value {
        json!({"base_url": self.0.base(), "version": "2025-03-31.basil", "account": "acct_1"})
    }

    fn refused_settings(&self) -> Vec<(Value, &'static str)> {
        vec![(json!({"base_url": "ftp://a.example"}), "/base_url"), (json!({"version": "newest"}), "/version")]
    }

    fn filled_slots(&self) -> Vec<&'static str> {
        vec!["api_key"]
    }

    fn samples(&self) -> Vec<Sample> {
        let sample = |operation, input, refused| Sample { operation, input, refused };
        let path = vec![(json!({"method": "GET", "path": "/x"}), "/path"), (json!({"method": "GET"}), "/path")];
        let payment = json!({"params": {"amount": 5, "currency": "eur"}});
        vec![
            sample("request", json!({"method": "POST", "path": "/v1/events", "params": {"a": 1}}), path),
            sample("payment_intents.create", payment, vec![(json!({"params": {"amount": 5}}), "/params/currency")]),
            sample("customers.retrieve", json!({"id": "cus_1"}), vec![(json!({"id": "../x"}), "/id")]),
            sample("customers.delete", json!({"id": "cus_1"}), vec![(json!({}), "/id")]),
        ]
    }

    async fn tell(&self, told: Told) -> bool {
        // A status alone does not say what the API means: 409 may pass.
        !matches!(told, Told::Status(_)) && self.0.tell(told).await
    }

    fn seen(&self) -> Vec<Seen> {
        self.0.seen()
    }

    async fn until_held(&self, calls: usize) {
        self.0.until_held(calls).await;
    }
}

orchestrator_conformance::connector_conformance!(Stripe(Http::with(&[]).await));
