//! The workspace config: everything that describes a workspace, as one document without secrets.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::names::Name;
use crate::policy::{BreakerHold, Policy};

/// All that describes a workspace. Immutable once it is a version.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WorkspaceConfig {
    /// Policies by name; connectors and callbacks bind to them.
    pub policies: BTreeMap<Name, Policy>,
    /// Connectors by name.
    pub connectors: BTreeMap<Name, ConnectorConfig>,
    /// Pointers to secrets, never the secrets.
    pub secret_refs: BTreeMap<Name, SecretRef>,
    /// Where results and webhooks are delivered.
    pub callbacks: BTreeMap<Name, CallbackConfig>,
    /// Which provider events are this workspace's.
    pub webhook_routes: BTreeMap<Name, WebhookRouteConfig>,
    /// When bodies move out of line.
    pub payloads: PayloadConfig,
    /// How long things are kept.
    pub retention: RetentionConfig,
    /// What is logged.
    pub logging: LoggingConfig,
    /// The product's own documents, versioned with the rest and handed to it by `GET /config`.
    pub settings: BTreeMap<String, Value>,
}

/// A connector: a kind, its settings, and which secrets fill its slots.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ConnectorConfig {
    /// The kind, as `GET /connector-kinds` lists them.
    pub kind: Name,
    /// The policy of its calls.
    #[serde(default = "default_policy")]
    pub policy: Name,
    /// Holds its breaker open or closed, until it is taken away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub breaker_hold: Option<BreakerHold>,
    /// The kind's own settings, checked against its schema.
    #[serde(default = "empty_object")]
    pub settings: Value,
    /// Secret references by the kind's slots.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<Name, Name>,
}

fn default_policy() -> Name {
    // "default" is a well-formed name.
    #[allow(clippy::unwrap_used, reason = "a constant that is a well-formed name")]
    "default".parse().unwrap()
}

fn empty_object() -> Value {
    Value::Object(serde_json::Map::new())
}

/// A named pointer to a secret.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "source", rename_all = "snake_case", deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[non_exhaustive]
pub enum SecretRef {
    /// An environment variable of the server, under the workspace's prefix.
    Env {
        /// The variable.
        key: String,
    },
    /// A file under `secrets.dir`.
    File {
        /// Relative to the workspace's folder there.
        path: String,
    },
    /// The encrypted store.
    Stored {
        /// The secret's name.
        name: Name,
    },
    /// HashiCorp Vault or OpenBao, its second key-value engine.
    Vault {
        /// The path of the secret as the API has it, with `data` in it: `kv/data/buildos`.
        path: String,
        /// The field in it.
        field: String,
        /// This version alone; the newest if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        version: Option<u64>,
    },
}

/// Where results and webhooks are delivered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CallbackConfig {
    /// The product's endpoint.
    pub url: String,
    /// The policy of its deliveries.
    #[serde(default = "default_policy")]
    pub policy: Name,
    /// Holds its breaker open or closed, until it is taken away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub breaker_hold: Option<BreakerHold>,
    /// The secret reference that signs it (Standard Webhooks).
    pub signing_secret: Name,
}

/// Which events of a provider belong to the workspace. Names one of `account`, `route_key` or `default`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WebhookRouteConfig {
    /// The provider: `stripe`, `standard-webhooks`, `hmac`, …
    pub provider: Name,
    /// The account that the payload names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// The last part of the ingress path, for senders that name no account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route_key: Option<Name>,
    /// Whether this takes the events that name no account, if its secret verifies them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub default: bool,
    /// The secret reference that verifies its signatures.
    pub signing_secret: Name,
    /// A connector that is called with each event, if its kind takes webhooks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connector: Option<Name>,
    /// The callback that each event is delivered to; without one it waits to be polled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub callback: Option<Name>,
    /// The provider's own settings (`hmac`: header, algorithm, encoding, pointers).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<Value>,
}

/// When bodies move out of line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PayloadConfig {
    /// Larger bodies are stored apart and referred to.
    pub inline_max_bytes: u64,
    /// Whether stored bodies are encrypted with the workspace's key.
    pub encrypt: bool,
}

impl Default for PayloadConfig {
    fn default() -> Self {
        Self { inline_max_bytes: 65_536, encrypt: true }
    }
}

/// How long things are kept, in days. Dedupe and idempotency windows are not shortened by it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RetentionConfig {
    /// Request log and executions.
    pub requests_days: u32,
    /// Events.
    pub events_days: u32,
    /// Webhook bodies.
    pub inbox_days: u32,
}

impl Default for RetentionConfig {
    fn default() -> Self {
        Self { requests_days: 30, events_days: 90, inbox_days: 30 }
    }
}

/// What is logged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LoggingConfig {
    /// The share of successful calls that reach the log, 0 to 1. Failures always do.
    pub sample_success: f64,
}

impl Default for LoggingConfig {
    fn default() -> Self {
        Self { sample_success: 1.0 }
    }
}
