//! The `stripe` kind.

use std::fmt;
use std::sync::Arc;

use orchestrator_core::connector::{
    Connector, ConnectorKind, Idempotency, KindDescription, OperationDescription, SecretSlots,
};
use orchestrator_types::{FieldError, Name};
use serde_json::{Value, json};

use super::connector::{API_KEY, Shapes, StripeConnector};
use super::objects::OPERATIONS;
use super::settings::{SettingsDocument, StripeSettings};
use crate::egress::EgressClient;
use crate::http::connections::Connections;
use crate::http::shape::Shape;

/// The connector kind `stripe`, reached through the egress guard.
pub struct StripeKind {
    client: EgressClient,
    settings: Shape,
    shapes: Arc<Shapes>,
}

impl StripeKind {
    /// The kind; all its connectors call through `client`.
    #[must_use]
    pub fn new(client: EgressClient) -> Self {
        Self { client, settings: Shape::of::<SettingsDocument>(), shapes: Arc::new(Shapes::new()) }
    }
}

impl ConnectorKind for StripeKind {
    fn describe(&self) -> KindDescription {
        let output = output_schema();
        let mut operations = vec![OperationDescription {
            name: "request".to_owned(),
            description: "Makes any call of the API.".to_owned(),
            // By what they do, or by the key that each `POST` carries.
            idempotency: Idempotency::Always,
            input_schema: self.shapes.request.schema().clone(),
            output_schema: output.clone(),
        }];
        operations.extend(OPERATIONS.iter().map(|operation| operation.describe(&output)));
        KindDescription {
            name: name("stripe"),
            description: "Calls Stripe's API: typed operations on the common objects, and `request` for the rest."
                .to_owned(),
            settings_schema: self.settings.schema().clone(),
            secret_slots: vec![name(API_KEY), name("proxy")],
            operations,
        }
    }

    fn build(&self, settings: &Value, secrets: SecretSlots) -> Result<Arc<dyn Connector>, Vec<FieldError>> {
        let settings = StripeSettings::read(&self.settings, settings)?;
        if secrets.has("proxy") && settings.connections.proxy.is_none() {
            return Err(vec![FieldError::new("/proxy", "the slot `proxy` is filled, but this setting is absent")]);
        }
        let connections = Connections::new(self.client.clone(), settings.connections.clone(), secrets.clone());
        Ok(Arc::new(StripeConnector { settings, connections, secrets, shapes: Arc::clone(&self.shapes) }))
    }
}

/// What every operation gives back.
fn output_schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "status": {"type": "integer", "description": "The API's status: 200 to 299."},
            "request_id": {"type": ["string", "null"], "description": "What the API calls this request in its own log."},
            "replayed": {"type": "boolean", "description": "Whether it is the answer to an earlier call with this key."},
            "body": {"description": "The object; of a list that was read page by page, all its items."},
            "paging": {
                "type": "object",
                "description": "How far a list was read, if it was read page by page.",
                "properties": {
                    "pages": {"type": "integer"}, "complete": {"type": "boolean"}, "next": {"type": "string"}
                },
                "required": ["pages", "complete"]
            }
        },
        "required": ["status", "request_id", "replayed", "body"]
    })
}

impl fmt::Debug for StripeKind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("StripeKind").field("client", &self.client).finish_non_exhaustive()
    }
}

#[allow(clippy::expect_used, reason = "constants of ours, each read by the tests")]
fn name(text: &str) -> Name {
    text.parse().expect("a constant that is a well-formed name")
}
