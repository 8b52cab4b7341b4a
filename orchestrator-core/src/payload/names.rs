//! Which payloads a document names: wherever a `payload_ref` stands, by its `id`.

use bytes::Bytes;
use orchestrator_types::PayloadId;
use serde_json::Value;

const NAME: &str = "payload_ref";

/// Each payload that is named, with the pointer of its name. A name that is no id is not there.
pub(crate) fn named_in(document: &Value) -> Vec<(String, PayloadId)> {
    let mut found = Vec::new();
    walk(document, &mut String::new(), &mut found);
    found
}

fn walk(value: &Value, at: &mut String, found: &mut Vec<(String, PayloadId)>) {
    let length = at.len();
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                at.push('/');
                at.push_str(&name.replace('~', "~0").replace('/', "~1"));
                let id = (name == NAME).then(|| value.get("id")?.as_str()?.parse().ok()).flatten();
                match id {
                    Some(id) => found.push((at.clone(), id)),
                    None => walk(value, at, found),
                }
                at.truncate(length);
            }
        }
        Value::Array(items) => {
            for (index, value) in items.iter().enumerate() {
                at.push('/');
                at.push_str(&index.to_string());
                walk(value, at, found);
                at.truncate(length);
            }
        }
        _ => {}
    }
}

/// The input of a job that is stored apart: no JSON begins like this.
const APART: &str = "payload:";

/// What a job has for its input when that is stored apart.
pub(crate) fn apart(id: PayloadId) -> Bytes {
    Bytes::from(format!("{APART}{id}"))
}

/// The payload that is the input, if it is stored apart.
pub(crate) fn is_apart(input: &[u8]) -> Option<PayloadId> {
    std::str::from_utf8(input).ok()?.strip_prefix(APART)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_are_found_wherever_they_stand() {
        let (one, two) = (PayloadId::new(), PayloadId::new());
        let document = json!({
            "a/b": [{"payload_ref": {"id": one}}, {"payload_ref": {"id": "nobody"}}],
            "c": {"payload_ref": {"id": two, "size": 3}},
            "payload_ref": "text", "id": one,
        });
        let mut found = named_in(&document);
        found.sort();
        assert_eq!(found, [("/a~1b/0/payload_ref".to_owned(), one), ("/c/payload_ref".to_owned(), two)]);
    }

    #[test]
    fn an_input_that_lies_apart_is_no_json() {
        let id = PayloadId::new();
        assert_eq!(is_apart(&apart(id)), Some(id));
        assert!(serde_json::from_slice::<Value>(&apart(id)).is_err());
        assert_eq!(is_apart(format!("\"payload:{id}\"").as_bytes()), None);
    }
}
