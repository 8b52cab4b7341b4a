//! A bundle of one workspace as one of another: `buildos-dev` to `buildos-prod`, in this install or the next.
//!
//! Only what has the workspace's name by rule is renamed: the workspace itself, and the variables of `env` secrets, which
//! must begin with it. What else still names the old one is told, and left alone.

use orchestrator_types::{Bundle, Change, ChangeKind, FieldError, SecretRef, WorkspaceId};
use serde_json::{Value, json};

use super::text::escaped;
use crate::secrets::env_prefix;

const TOLD: usize = 20;

/// What a renaming changed, and what still names the old workspace.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Renamed {
    /// What is another, with pointers into the bundle.
    pub changes: Vec<Change>,
    /// What still names the old workspace.
    pub warnings: Vec<FieldError>,
}

/// Makes the bundle one of `to`.
pub fn rename_bundle(bundle: &mut Bundle, to: &WorkspaceId) -> Renamed {
    let from = std::mem::replace(&mut bundle.workspace, to.clone());
    let mut renamed = Renamed::default();
    if from == *to {
        return renamed;
    }
    let change = |pointer: String, before: &str, after: &str| Change {
        pointer,
        kind: ChangeKind::Changed,
        before: Some(json!(before)),
        after: Some(json!(after)),
    };
    renamed.changes.push(change("/workspace".to_owned(), from.as_str(), to.as_str()));
    let (old, new) = (env_prefix(&from), env_prefix(to));
    for (name, reference) in &mut bundle.config.secret_refs {
        if let SecretRef::Env { key } = reference
            && let Some(rest) = key.strip_prefix(&old)
        {
            let after = format!("{new}{rest}");
            renamed.changes.push(change(format!("/config/secret_refs/{name}/key"), key, &after));
            *key = after;
        }
    }
    let document = serde_json::to_value(&bundle.config).unwrap_or_default();
    still(&document, &mut "/config".to_owned(), &from, &mut renamed.warnings);
    renamed
}

/// Finds the texts in which a workspace is named.
fn still(value: &Value, pointer: &mut String, from: &WorkspaceId, found: &mut Vec<FieldError>) {
    let length = pointer.len();
    match value {
        _ if found.len() == TOLD => {}
        Value::String(text) if text.contains(from.as_str()) => {
            found.push(FieldError::new(pointer.as_str(), format!("still names `{from}`")));
        }
        Value::Object(fields) => {
            for (name, field) in fields {
                pointer.push_str(&escaped(name));
                still(field, pointer, from, found);
                pointer.truncate(length);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                pointer.push_str(&format!("/{index}"));
                still(item, pointer, from, found);
                pointer.truncate(length);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn the_workspace_and_its_variables_are_renamed_and_the_rest_is_told() {
        let mut bundle: Bundle = serde_json::from_value(json!({
            "format": 1, "workspace": "buildos-dev",
            "config": {
                "secret_refs": {
                    "token": {"source": "env", "key": "BUILDOS_DEV_TOKEN"},
                    "shared": {"source": "env", "key": "OTHER_DEV_TOKEN"},
                    "file": {"source": "file", "path": "stripe"},
                },
                "callbacks": {"main": {"url": "https://buildos-dev.example/hook", "signing_secret": "token"}},
                "settings": {"links": ["https://buildos-dev.example"]},
            },
        }))
        .unwrap();
        let renamed = rename_bundle(&mut bundle, &"buildos-prod".parse().unwrap());
        let pointers: Vec<&str> = renamed.changes.iter().map(|change| change.pointer.as_str()).collect();
        assert_eq!(pointers, ["/workspace", "/config/secret_refs/token/key"]);
        assert_eq!(renamed.changes[1].after, Some(json!("BUILDOS_PROD_TOKEN")));
        let warned: Vec<&str> = renamed.warnings.iter().map(|warning| warning.pointer.as_str()).collect();
        assert_eq!(warned, ["/config/callbacks/main/url", "/config/settings/links/0"]);
        assert_eq!(bundle.workspace.as_str(), "buildos-prod");
        assert_eq!(rename_bundle(&mut bundle, &"buildos-prod".parse().unwrap()), Renamed::default());
        let back = rename_bundle(&mut bundle, &"buildos-dev".parse().unwrap());
        assert_eq!(back.changes[1].after, Some(json!("BUILDOS_DEV_TOKEN")));
    }
}
