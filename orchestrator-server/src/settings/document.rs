//! The settings as they are written: every one optional, none but these.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// All settings.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Document {
    pub(super) environment: Option<String>,
    pub(super) data_dir: Option<String>,
    pub(super) drain_s: Option<u64>,
    pub(super) store: Store,
    pub(super) queue: Queue,
    pub(super) payloads: Payloads,
    pub(super) listen: Listen,
    pub(super) auth: Auth,
    pub(super) secrets: Secrets,
    pub(super) egress: Egress,
    pub(super) telemetry: Telemetry,
    pub(super) workers: Workers,
    pub(super) limits: Limits,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Store {
    pub(super) url: Option<String>,
    pub(super) max_connections: Option<u64>,
    pub(super) statement_timeout_s: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Queue {
    pub(super) url: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Payloads {
    pub(super) url: Option<String>,
    pub(super) region: Option<String>,
    pub(super) endpoint: Option<String>,
    pub(super) access_key_id: Option<String>,
    pub(super) secret_access_key_file: Option<String>,
    pub(super) max_bytes: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Listen {
    pub(super) api: Option<String>,
    pub(super) ops: Option<String>,
    pub(super) control: Option<String>,
    pub(super) break_glass: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Auth {
    pub(super) issuers: Vec<Issuer>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Issuer {
    pub(super) issuer: String,
    pub(super) audience: List,
    pub(super) jwks_file: Option<String>,
    pub(super) jwks_url: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Secrets {
    pub(super) kek_file: Option<String>,
    pub(super) older_kek_files: List,
    pub(super) dir: Option<String>,
    pub(super) vault_url: Option<String>,
    pub(super) vault_namespace: Option<String>,
    pub(super) vault_prefix: Option<String>,
    pub(super) vault_token_file: Option<String>,
    pub(super) vault_role_id: Option<String>,
    pub(super) vault_secret_id_file: Option<String>,
    pub(super) vault_approle_mount: Option<String>,
    pub(super) vault_ca_file: Option<String>,
    pub(super) vault_allow: List,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Egress {
    pub(super) allow: List,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Telemetry {
    pub(super) log: Option<String>,
    pub(super) otlp_url: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Workers {
    pub(super) slots: Option<u64>,
    pub(super) per_workspace: Option<u64>,
    pub(super) lease_s: Option<u64>,
    pub(super) weights: BTreeMap<String, u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Limits {
    pub(super) body_bytes: Option<u64>,
    pub(super) ingress_bytes: Option<u64>,
    pub(super) batch_bytes: Option<u64>,
    pub(super) header_bytes: Option<u64>,
    pub(super) connections: Option<u64>,
    pub(super) connections_per_address: Option<u64>,
    pub(super) waiting_per_workspace: Option<u64>,
}

/// A list, or its items in one text with commas between them, as an environment variable has it.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct List(pub(super) Vec<String>);

impl<'de> Deserialize<'de> for List {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Items;

        impl<'de> Visitor<'de> for Items {
            type Value = List;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a list, or a text with commas between the items")
            }

            fn visit_str<E>(self, text: &str) -> Result<List, E> {
                let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
                Ok(List(items.map(str::to_owned).collect()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<List, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = list.next_element()? {
                    items.push(item);
                }
                Ok(List(items))
            }
        }

        deserializer.deserialize_any(Items)
    }
}
