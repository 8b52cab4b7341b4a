//! JSON from strangers: bounded depth first, then parsed with a pointer to whatever is wrong.

use orchestrator_types::FieldError;
use serde::de::DeserializeOwned;
use serde_path_to_error::{Path, Segment};

use crate::problem::Refusal;

const MAX_DEPTH: usize = 64;
const MAX_DETAIL: usize = 300;

/// The `T` that `text` is.
pub(super) fn parse<T: DeserializeOwned>(text: &[u8]) -> Result<T, Refusal> {
    if depth(text) > MAX_DEPTH {
        return Err(Refusal::invalid("", format!("the JSON is nested deeper than {MAX_DEPTH} levels")));
    }
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let value: T = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let message = error.inner().to_string();
        let pointer = format!("{}{}", pointer(error.path()), field_of(&message));
        Refusal::invalid("", "").errors(vec![FieldError::new(pointer, said(&message))])
    })?;
    deserializer.end().map_err(|_| Refusal::invalid("", "something follows the JSON value"))?;
    Ok(value)
}

/// How deep arrays and objects are nested, without parsing: a walk that recurses must not meet what would end it.
fn depth(text: &[u8]) -> usize {
    let (mut now, mut deepest, mut in_string, mut escaped) = (0usize, 0usize, false, false);
    for byte in text {
        match (in_string, byte) {
            (true, _) if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (true, b'"') => in_string = false,
            (true, _) => {}
            (false, b'"') => in_string = true,
            (false, b'[' | b'{') => {
                now += 1;
                deepest = deepest.max(now);
            }
            (false, b']' | b'}') => now = now.saturating_sub(1),
            (false, _) => {}
        }
    }
    deepest
}

/// A path as a JSON pointer (RFC 6901).
fn pointer(path: &Path) -> String {
    let mut pointer = String::new();
    for segment in path.iter() {
        match segment {
            Segment::Seq { index } => pointer.push_str(&format!("/{index}")),
            Segment::Map { key } | Segment::Enum { variant: key } => pointer.push_str(&escaped(key)),
            Segment::Unknown => {}
        }
    }
    pointer
}

fn escaped(name: &str) -> String {
    format!("/{}", name.replace('~', "~0").replace('/', "~1"))
}

/// The field that is missing or given twice: there the path ends at the object that holds it.
fn field_of(message: &str) -> String {
    ["missing field `", "duplicate field `"]
        .into_iter()
        .find_map(|start| message.strip_prefix(start)?.split_once('`'))
        .map(|(field, _)| escaped(field))
        .unwrap_or_default()
}

/// A message for the caller: bounded, and without the position, which the pointer tells better.
fn said(message: &str) -> String {
    message.split(" at line ").next().unwrap_or(message).chars().take(MAX_DETAIL).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use axum::response::IntoResponse;
    use orchestrator_types::{ExecuteRequest, JobBatchRequest, Problem, TraceId};

    use super::*;

    fn refused<T: DeserializeOwned>(text: &str) -> Vec<(String, String)> {
        let refusal = parse::<T>(text.as_bytes()).err().unwrap();
        assert_eq!((refusal.status().as_u16(), refusal.code()), (400, "invalid_request"));
        let body = refusal.render(TraceId::from_bits(1)).into_response().into_body();
        let problem: Problem = futures_util::FutureExt::now_or_never(axum::body::to_bytes(body, 65_536))
            .map(|bytes| serde_json::from_slice(&bytes.unwrap()).unwrap())
            .unwrap();
        problem.errors.into_iter().map(|error| (error.pointer, error.detail)).collect()
    }

    #[test]
    fn what_is_wrong_is_pointed_at() {
        let batch = r#"{"jobs":[{"connector":"a","operation":"b"},{"connector":"A","operation":"b"}]}"#;
        for (errors, pointer) in [
            (refused::<ExecuteRequest>(r#"{"connector":"a","operation":"b","tiemout_ms":1}"#), "/tiemout_ms"),
            (refused::<ExecuteRequest>(r#"{"connector":"a"}"#), "/operation"),
            (refused::<ExecuteRequest>(r#"{"connector":"a","connector":"b","operation":"b"}"#), "/connector"),
            (refused::<ExecuteRequest>(r#"{"connector":1,"operation":"b"}"#), "/connector"),
            (refused::<ExecuteRequest>(r#"{"connector":"a","operation":"b","timeout_ms":-1}"#), "/timeout_ms"),
            (refused::<JobBatchRequest>(batch), "/jobs/1/connector"),
            (refused::<ExecuteRequest>("{"), ""),
            (refused::<ExecuteRequest>(""), ""),
            (refused::<ExecuteRequest>(r#"{"connector":"a","operation":"b"} x"#), ""),
            (refused::<ExecuteRequest>("{\"connector\":\"\u{0}\"}"), "/connector"),
        ] {
            assert_eq!(errors[0].0, pointer, "{errors:?}");
            assert!(!errors[0].1.is_empty() && !errors[0].1.contains("line"));
        }
    }

    #[test]
    fn inv_29_depth_is_bounded_before_anything_is_parsed() {
        let nested = |levels: usize| {
            let inner = format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
            format!(r#"{{"connector":"a","operation":"b","input":{inner}}}"#)
        };
        assert!(parse::<ExecuteRequest>(nested(63).as_bytes()).is_ok());
        assert!(refused::<ExecuteRequest>(&nested(64))[0].1.contains("deeper"));
        assert!(refused::<ExecuteRequest>(&"[".repeat(500_000))[0].1.contains("deeper"));
        // Brackets within texts are none.
        let text = format!(r#"{{"connector":"a","operation":"b","input":"\"{}"}}"#, "[".repeat(100));
        assert!(parse::<ExecuteRequest>(text.as_bytes()).is_ok());
    }
}
