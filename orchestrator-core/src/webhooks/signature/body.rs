//! The JSON of a body: parsed once, and never deeper than a stack can bear.

use serde_json::Value;

/// How deep arrays and objects may stand in one another.
pub const DEPTH_MAX: usize = 64;

/// Why a body cannot be read as JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// It is none.
    #[error("the body is not JSON")]
    NotJson,
    /// It is nested more than 64 deep.
    #[error("the body is nested more than 64 deep")]
    TooDeep,
}

/// Parses a whole body. Nothing may stand before or after the one value.
///
/// # Errors
/// It is no JSON, or is nested more than [`DEPTH_MAX`] deep; this is found before anything is built.
pub fn parse_json(body: &[u8]) -> Result<Value, BodyError> {
    if !depth_within(body, DEPTH_MAX) {
        return Err(BodyError::TooDeep);
    }
    serde_json::from_slice(body).map_err(|_| BodyError::NotJson)
}

/// Whether no bracket stands deeper than `max`. Of what is no JSON it says anything.
fn depth_within(body: &[u8], max: usize) -> bool {
    let (mut depth, mut quoted, mut escaped) = (0usize, false, false);
    for byte in body {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'[' | b'{' if !quoted => {
                depth += 1;
                if depth > max {
                    return false;
                }
            }
            b']' | b'}' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    true
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    fn nested(open: &str, close: &str, depth: usize) -> Vec<u8> {
        [open.repeat(depth), "1".to_owned(), close.repeat(depth)].concat().into_bytes()
    }

    fn depth(value: &Value) -> usize {
        match value {
            Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
            Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or(0),
            _ => 0,
        }
    }

    #[test]
    fn inv_29_a_body_may_be_64_deep_and_no_deeper() {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            assert!(parse_json(&nested(open, close, 64)).is_ok());
            for deep in [65, 127, 128, 1_000_000] {
                assert_eq!(parse_json(&nested(open, close, deep)), Err(BodyError::TooDeep));
            }
        }
        assert_eq!(parse_json(&b"[".repeat(1_000_000)), Err(BodyError::TooDeep));
    }

    #[test]
    fn brackets_in_strings_are_no_depth() {
        let text = format!("[\"{}\\\"{}\", []]", "[".repeat(500), "{".repeat(500));
        assert!(parse_json(text.as_bytes()).is_ok());
        assert!(parse_json(br#"["\\", [1]]"#).is_ok());
    }

    #[test]
    fn inv_29_what_is_not_one_json_value_is_refused() {
        for body in [
            &b""[..],
            b"{",
            b"{} {}",
            b"\xef\xbb\xbf{}",
            b"{}\0",
            b"[1e999]",
            b"\"\xff\"",
            br#""\ud800""#,
            b"nul",
            b"]]",
        ] {
            assert_eq!(parse_json(body), Err(BodyError::NotJson), "{:?}", String::from_utf8_lossy(body));
        }
    }

    proptest! {
        #[test]
        fn inv_29_any_bytes_are_parsed_or_refused(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse_json(&body);
        }

        #[test]
        fn inv_29_the_depth_is_that_of_the_parsed_value(value in value(), max in 0usize..6) {
            let body = serde_json::to_vec(&value).unwrap();
            prop_assert_eq!(depth_within(&body, max), depth(&value) <= max);
        }
    }

    /// Values whose texts and keys are full of what opens, closes and escapes.
    fn value() -> impl Strategy<Value = Value> {
        let text = r#"[\[\]{}"\\a]{0,6}"#;
        let leaf = prop_oneof![Just(Value::Null), text.prop_map(Value::from)];
        leaf.prop_recursive(6, 24, 4, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(text, inner, 0..4)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }
}
