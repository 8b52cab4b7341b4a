//! The `http` kind.

use std::fmt;
use std::sync::Arc;

use orchestrator_core::connector::{
    Connector, ConnectorKind, Idempotency, KindDescription, OperationDescription, SecretSlots,
};
use orchestrator_types::{FieldError, Name};
use serde_json::Value;

use super::answer::Output;
use super::auth::{Credentials, SLOTS};
use super::connections::Connections;
use super::connector::HttpConnector;
use super::input::WebhookInput;
use super::plan::InputShapes;
use super::settings::{HttpSettings, SettingsDocument};
use super::shape::Shape;
use crate::egress::EgressClient;

/// The connector kind `http`: any HTTP API under one base URL, reached through the egress guard.
pub struct HttpKind {
    client: EgressClient,
    settings: Shape,
    inputs: Arc<InputShapes>,
}

impl HttpKind {
    /// The kind; all its connectors call through `client`.
    #[must_use]
    pub fn new(client: EgressClient) -> Self {
        Self { client, settings: Shape::of::<SettingsDocument>(), inputs: Arc::new(InputShapes::new()) }
    }
}

impl ConnectorKind for HttpKind {
    fn describe(&self) -> KindDescription {
        let output_schema = output_schema();
        KindDescription {
            name: name("http"),
            description: "Calls an HTTP API under a base URL. Settings may name further operations.".to_owned(),
            settings_schema: self.settings.schema().clone(),
            secret_slots: SLOTS.iter().map(|slot| name(slot)).collect(),
            operations: vec![
                OperationDescription {
                    name: "request".to_owned(),
                    description: "Makes one request below the base URL.".to_owned(),
                    idempotency: Idempotency::Depends,
                    input_schema: self.inputs.request.schema().clone(),
                    output_schema: output_schema.clone(),
                },
                OperationDescription {
                    name: "webhook".to_owned(),
                    description: "Posts an event as JSON to `webhook_path`, where the settings give one.".to_owned(),
                    idempotency: Idempotency::Depends,
                    input_schema: Shape::of::<WebhookInput>().schema().clone(),
                    output_schema,
                },
            ],
        }
    }

    fn build(&self, settings: &Value, secrets: SecretSlots) -> Result<Arc<dyn Connector>, Vec<FieldError>> {
        let settings = HttpSettings::read(&self.settings, settings)?;
        let credentials = Credentials::new(secrets.clone(), &settings)?;
        let connections = Connections::new(self.client.clone(), settings.connections.clone(), secrets);
        Ok(Arc::new(HttpConnector { connections, settings, credentials, shapes: Arc::clone(&self.inputs) }))
    }
}

impl fmt::Debug for HttpKind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("HttpKind").field("client", &self.client).finish_non_exhaustive()
    }
}

/// JSON Schema of what every operation gives back.
pub(super) fn output_schema() -> Value {
    Shape::of::<Output>().schema().clone()
}

#[allow(clippy::expect_used, reason = "constants of ours, each read by the tests")]
fn name(text: &str) -> Name {
    text.parse().expect("a constant that is a well-formed name")
}
