//! The differences between two documents, as JSON pointers with what was and what is.

use orchestrator_types::{Change, ChangeKind};
use serde::Serialize;
use serde_json::{Map, Value};

/// Each difference, in the order of their pointers. Objects are compared field by field, everything else whole.
pub(crate) fn changes(before: &impl Serialize, after: &impl Serialize) -> Vec<Change> {
    let value = |document: Result<Value, _>| document.unwrap_or(Value::Null);
    let mut changes = Vec::new();
    compare(
        &mut String::new(),
        &value(serde_json::to_value(before)),
        &value(serde_json::to_value(after)),
        &mut changes,
    );
    changes
}

fn compare(pointer: &mut String, before: &Value, after: &Value, changes: &mut Vec<Change>) {
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => compare_objects(pointer, before, after, changes),
        _ if before == after => {}
        _ => changes.push(change(pointer, ChangeKind::Changed, Some(before), Some(after))),
    }
}

fn compare_objects(
    pointer: &mut String,
    before: &Map<String, Value>,
    after: &Map<String, Value>,
    changes: &mut Vec<Change>,
) {
    let keys: std::collections::BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    for key in keys {
        let length = pointer.len();
        pointer.push('/');
        pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
        match (before.get(key), after.get(key)) {
            (Some(before), Some(after)) => compare(pointer, before, after, changes),
            (Some(before), None) => changes.push(change(pointer, ChangeKind::Removed, Some(before), None)),
            (None, after) => changes.push(change(pointer, ChangeKind::Added, None, after)),
        }
        pointer.truncate(length);
    }
}

fn change(pointer: &str, kind: ChangeKind, before: Option<&Value>, after: Option<&Value>) -> Change {
    Change { pointer: pointer.to_owned(), kind, before: before.cloned(), after: after.cloned() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_difference_names_what_was_and_what_is() {
        let before = json!({"a": {"x": 1, "y": 2}, "gone": true, "sl/ash": [1]});
        let after = json!({"a": {"x": 1, "y": 3}, "new": null, "sl/ash": [1, 2]});
        let found: Vec<_> = changes(&before, &after).into_iter().map(|change| (change.pointer, change.kind)).collect();
        assert_eq!(
            found,
            [
                ("/a/y".to_owned(), ChangeKind::Changed),
                ("/gone".to_owned(), ChangeKind::Removed),
                ("/new".to_owned(), ChangeKind::Added),
                ("/sl~1ash".to_owned(), ChangeKind::Changed),
            ]
        );
        assert!(changes(&before, &before).is_empty());
    }
}
