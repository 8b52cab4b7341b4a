//! One part of a config, set or removed by name: what `PUT …/connectors/{name}` and its like do.

use orchestrator_types::{FieldError, Name, WorkspaceConfig};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::Error;

/// The parts of a config that have names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResourceKind {
    /// `policies`
    Policy,
    /// `connectors`
    Connector,
    /// `secret-refs`
    SecretRef,
    /// `callbacks`
    Callback,
    /// `webhook-routes`
    WebhookRoute,
}

impl ResourceKind {
    /// The part that a path names.
    #[must_use]
    pub fn parse(path: &str) -> Option<Self> {
        Some(match path {
            "policies" => Self::Policy,
            "connectors" => Self::Connector,
            "secret-refs" => Self::SecretRef,
            "callbacks" => Self::Callback,
            "webhook-routes" => Self::WebhookRoute,
            _ => return None,
        })
    }

    pub(super) const fn what(self) -> &'static str {
        match self {
            Self::Policy => "policy",
            Self::Connector => "connector",
            Self::SecretRef => "secret reference",
            Self::Callback => "callback",
            Self::WebhookRoute => "webhook route",
        }
    }

    /// Sets the part of that name.
    pub(super) fn put(self, config: &mut WorkspaceConfig, name: &Name, document: Value) -> Result<(), Error> {
        match self {
            Self::Policy => drop(config.policies.insert(name.clone(), read(document)?)),
            Self::Connector => drop(config.connectors.insert(name.clone(), read(document)?)),
            Self::SecretRef => drop(config.secret_refs.insert(name.clone(), read(document)?)),
            Self::Callback => drop(config.callbacks.insert(name.clone(), read(document)?)),
            Self::WebhookRoute => drop(config.webhook_routes.insert(name.clone(), read(document)?)),
        }
        Ok(())
    }

    /// Removes the part of that name.
    pub(super) fn remove(self, config: &mut WorkspaceConfig, name: &Name) -> Result<(), Error> {
        let found = match self {
            Self::Policy => config.policies.remove(name).is_some(),
            Self::Connector => config.connectors.remove(name).is_some(),
            Self::SecretRef => config.secret_refs.remove(name).is_some(),
            Self::Callback => config.callbacks.remove(name).is_some(),
            Self::WebhookRoute => config.webhook_routes.remove(name).is_some(),
        };
        if found { Ok(()) } else { Err(Error::not_found(self.what())) }
    }
}

fn read<T: DeserializeOwned>(document: Value) -> Result<T, Error> {
    serde_json::from_value(document)
        .map_err(|error| Error::InvalidRequest(vec![FieldError::new("", error.to_string())]))
}
