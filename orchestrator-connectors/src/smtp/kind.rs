//! The `smtp` kind.

use std::fmt;
use std::sync::{Arc, OnceLock};

use orchestrator_core::connector::typed::{Operation, TypedKind, TypedKindError};
use orchestrator_core::connector::{Connector, ConnectorKind, KindDescription, SecretSlots};
use orchestrator_types::FieldError;
use serde_json::Value;

use super::connector::SmtpConnector;
use super::settings::{SettingsDocument, SmtpSettings};
use crate::egress::{EgressClient, TlsTrust, TlsTrustError};

/// The connector kind `smtp`: hands messages to a mail server, reached through the egress guard.
pub struct SmtpKind(TypedKind<SettingsDocument, SmtpConnector>);

impl SmtpKind {
    /// The kind; all its connectors connect through `client`.
    #[must_use]
    #[allow(clippy::expect_used, reason = "names and types of ours: the tests build the kind")]
    pub fn new(client: EgressClient) -> Self {
        Self(kind(client).expect("a sound kind"))
    }
}

fn kind(client: EgressClient) -> Result<TypedKind<SettingsDocument, SmtpConnector>, TypedKindError> {
    // Reading the system's certificates takes milliseconds, and a connector is built for each check of a config.
    let system: OnceLock<TlsTrust> = OnceLock::new();
    let trust = move || match system.get() {
        Some(trust) => Ok::<_, TlsTrustError>(trust.clone()),
        None => TlsTrust::new(None).map(|trust| system.get_or_init(|| trust).clone()),
    };
    let open =
        move |settings, secrets| SmtpConnector::new(client.clone(), SmtpSettings::read(settings, &trust)?, secrets);
    TypedKind::builder("smtp", "Hands messages to a mail server.", open)
        .slot("username")
        .slot("password")
        .operation(
            Operation::new("send", "Sends one message to its recipients.", SmtpConnector::send)
                .check(SmtpConnector::check)
                .idempotent_if(|connector, _| connector.dedupes()),
        )
        .health(SmtpConnector::health)
        .build()
}

impl ConnectorKind for SmtpKind {
    fn describe(&self) -> KindDescription {
        self.0.describe()
    }

    fn build(&self, settings: &Value, secrets: SecretSlots) -> Result<Arc<dyn Connector>, Vec<FieldError>> {
        self.0.build(settings, secrets)
    }
}

impl fmt::Debug for SmtpKind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("SmtpKind")
    }
}
