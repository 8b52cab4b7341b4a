//! A bundle as text: JSON or YAML, read strictly. A key that stands twice is a mistake, not a choice.

use std::fmt;

use orchestrator_types::{Bundle, FieldError};
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use serde_path_to_error::{Segment, Track};

use crate::error::Error;
use crate::store::StoreError;
use crate::webhooks::signature::DEPTH_MAX;

/// How a bundle is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Syntax {
    /// JSON.
    Json,
    /// YAML 1.2: one document, of what JSON can say.
    Yaml,
}

impl Syntax {
    /// What a text looks like.
    #[must_use]
    pub fn of(text: &str) -> Self {
        if text.trim_start().starts_with('{') { Self::Json } else { Self::Yaml }
    }

    /// Reads a document.
    ///
    /// # Errors
    /// It is none, is nested more than 64 deep, or has a key twice: with a pointer, and in YAML with its line.
    pub fn read(self, text: &[u8]) -> Result<Value, FieldError> {
        let mut track = Track::new();
        let read = match self {
            Self::Json => {
                let mut reader = serde_json::Deserializer::from_slice(text);
                let whole = serde_path_to_error::Deserializer::new(&mut reader, &mut track);
                let value = Strict { depth: 0 }.deserialize(whole).map_err(|error| error.to_string());
                value.and_then(|value| {
                    let end = reader.end().map_err(|_| "something follows the JSON value".to_owned());
                    end.map(|()| value)
                })
            }
            Self::Yaml => {
                let reader = serde_norway::Deserializer::from_slice(text);
                let whole = serde_path_to_error::Deserializer::new(reader, &mut track);
                Strict { depth: 0 }.deserialize(whole).map_err(|error| error.to_string())
            }
        };
        read.map_err(|problem| {
            let mut pointer = String::new();
            for segment in track.path().iter() {
                match segment {
                    Segment::Seq { index } => pointer.push_str(&format!("/{index}")),
                    Segment::Map { key } | Segment::Enum { variant: key } => pointer.push_str(&escaped(key)),
                    Segment::Unknown => {}
                }
            }
            FieldError::new(pointer, problem.chars().take(DETAIL_MAX).collect::<String>())
        })
    }

    /// Writes a bundle: always in the same order, and with a newline at its end.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(self, bundle: &Bundle) -> Result<String, Error> {
        let unwritable = |problem: String| Error::from(StoreError::Corrupt(problem));
        match self {
            Self::Json => {
                let text = serde_json::to_string_pretty(bundle).map_err(|error| unwritable(error.to_string()))?;
                Ok(text + "\n")
            }
            Self::Yaml => serde_norway::to_string(bundle).map_err(|error| unwritable(error.to_string())),
        }
    }
}

const DETAIL_MAX: usize = 300;

/// A field as a part of a JSON pointer.
pub(super) fn escaped(name: &str) -> String {
    format!("/{}", name.replace('~', "~0").replace('/', "~1"))
}

/// Reads a value whose keys stand once, and which is not deeper than a stack can bear.
struct Strict {
    depth: usize,
}

impl Strict {
    fn inner<E: serde::de::Error>(&self) -> Result<usize, E> {
        if self.depth == DEPTH_MAX { Err(E::custom("nested deeper than 64 levels")) } else { Ok(self.depth + 1) }
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("what JSON can say")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("a number that JSON does not have"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let depth = self.inner()?;
        let mut all = Vec::new();
        while let Some(item) = items.next_element_seed(Strict { depth })? {
            all.push(item);
        }
        Ok(Value::Array(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        let depth = self.inner()?;
        // In the order of their names, so that two texts that say the same are the same.
        let mut all = std::collections::BTreeMap::new();
        while let Some(name) = fields.next_key::<String>()? {
            if all.contains_key(&name) {
                return Err(A::Error::custom(format!("`{name}` stands here twice")));
            }
            all.insert(name, fields.next_value_seed(Strict { depth })?);
        }
        Ok(Value::Object(all.into_iter().collect::<Map<_, _>>()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn refused(syntax: Syntax, text: &str) -> FieldError {
        syntax.read(text.as_bytes()).unwrap_err()
    }

    #[test]
    fn the_same_is_read_from_json_and_yaml() {
        let json = r#"{"b": [1, -2, 1.5, null, true], "a": {"x": "no", "y": ""}}"#;
        let yaml = "b: [1, -2, 1.5, null, true]\na:\n  x: no\n  y: ''\n";
        let expected = json!({"a": {"x": "no", "y": ""}, "b": [1, -2, 1.5, null, true]});
        assert_eq!(Syntax::of(json).read(json.as_bytes()).unwrap(), expected);
        assert_eq!(Syntax::of(yaml).read(yaml.as_bytes()).unwrap(), expected);
    }

    #[test]
    fn a_key_that_stands_twice_is_pointed_at() {
        let json = refused(Syntax::Json, r#"{"config": {"policies": {"a": {}, "b": {}, "a": {}}}}"#);
        assert!(
            json.pointer.starts_with("/config/policies") && json.detail.contains("`a` stands here twice"),
            "{json:?}"
        );
        let yaml = refused(Syntax::Yaml, "config:\n  settings: {}\n  settings: {}\n");
        assert!(yaml.pointer.starts_with("/config") && yaml.detail.contains("twice"), "{yaml:?}");
    }

    #[test]
    fn a_mistake_in_yaml_is_told_with_its_line() {
        let refused = refused(Syntax::Yaml, "format: 1\nworkspace: a-dev\nconfig: {\n");
        assert!(refused.detail.contains("line"), "{refused:?}");
    }

    #[test]
    fn inv_29_what_is_no_document_is_refused() {
        for text in ["", "{", "{} {}", "[1,]", "nul"] {
            assert!(Syntax::Json.read(text.as_bytes()).is_err(), "{text}");
        }
        for text in
            ["a: .nan", "a: .inf", "[a]: b", "a: !tag b", "--- a\n--- b", "a: &x [*x]", "\u{0}", "a: b: c", "? {a: b}"]
        {
            assert!(Syntax::Yaml.read(text.as_bytes()).is_err(), "{text:?}: {:?}", Syntax::Yaml.read(text.as_bytes()));
        }
        for deep in [65usize, 10_000] {
            let (json, yaml) = ("[".repeat(deep) + &"]".repeat(deep), "[".repeat(deep) + &"]".repeat(deep));
            assert!(refused(Syntax::Json, &json).detail.contains("deep") || deep > 100);
            assert!(Syntax::Yaml.read(yaml.as_bytes()).is_err());
        }
        assert!(Syntax::Json.read(("[".repeat(64) + &"]".repeat(64)).as_bytes()).is_ok());
    }

    #[test]
    fn inv_29_aliases_do_not_make_a_small_text_large() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..12 {
            let row = format!("*a{}, ", level - 1).repeat(10);
            text.push_str(&format!("a{level}: &a{level} [{}]\n", row.trim_end_matches(", ")));
        }
        assert!(Syntax::Yaml.read(text.as_bytes()).is_err());
    }

    proptest! {
        #[test]
        fn inv_29_any_text_is_read_or_refused(text in "[\\[\\]{}:,\"' \n&*!|>?#-a-z0-9.]{0,60}", bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            for syntax in [Syntax::Json, Syntax::Yaml] {
                let _ = syntax.read(text.as_bytes());
                let _ = syntax.read(&bytes);
            }
        }
    }
}
