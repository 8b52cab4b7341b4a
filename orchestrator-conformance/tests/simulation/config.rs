//! The workspaces of every run.

use orchestrator_core::types::{Bundle, WorkspaceId};
use serde_json::json;

/// Two tenants, with the same connectors.
pub const WORKSPACES: [&str; 2] = ["shop-dev", "mall-dev"];
/// Standard Webhooks secret of 24 bytes.
const CB: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3";

pub fn workspace(name: &str) -> WorkspaceId {
    name.parse().unwrap()
}

/// The secrets, as the environment has them.
pub fn lookup(key: &str) -> Option<String> {
    match key.rsplit_once('_') {
        Some((_, "CB")) => Some(CB.to_owned()),
        Some((of, "WHSEC")) => Some(webhook_secret(of)),
        _ => None,
    }
}

fn webhook_secret(of: &str) -> String {
    format!("whsec_of_{of}")
}

/// What the provider signs the webhooks of a workspace with.
pub fn provider_secret(workspace: &str) -> String {
    webhook_secret(&workspace.to_uppercase().replace('-', "_"))
}

pub fn account(workspace: &str) -> String {
    format!("acct_{workspace}")
}

/// A quick policy, so that runs are short. One connector is limited, and one has a breaker.
pub fn bundle(name: &str) -> Bundle {
    let prefix = name.to_uppercase().replace('-', "_");
    let secret = |key: &str| json!({"source": "env", "key": format!("{prefix}_{key}")});
    let config = json!({
        "policies": {
            "default": {
                "timeout": {"attempt_ms": 700, "total_ms": 2_000},
                "retry": {"max_attempts": 2, "initial_ms": 50, "max_ms": 200, "jitter": "none"},
                "job_retry": {"max_attempts": 4, "initial_ms": 200, "max_ms": 2_000, "jitter": "none"},
            },
            "limited": {
                "timeout": {"attempt_ms": 700, "total_ms": 2_000},
                "job_retry": {"max_attempts": 4, "initial_ms": 200, "max_ms": 2_000, "jitter": "none"},
                "rate_limit": {"per_second": 5.0, "burst": 2},
                "concurrency": {"max": 3},
            },
        },
        "connectors": {
            "crm": {"kind": "scripted"},
            "slow": {"kind": "scripted", "policy": "limited"},
        },
        "callbacks": {"product": {"url": "https://product.example/hook", "signing_secret": "cb"}},
        "webhook_routes": {"main": {
            "provider": "stripe", "signing_secret": "whsec", "callback": "product", "account": account(name),
        }},
        "secret_refs": {"cb": secret("CB"), "whsec": secret("WHSEC")},
        "retention": {"requests_days": 1},
    });
    Bundle { format: 1, workspace: workspace(name), config: serde_json::from_value(config).unwrap(), operators: None }
}
