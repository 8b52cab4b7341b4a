//! The settings of a route whose provider is configured: which header, which algorithm, where the facts stand.

use std::time::Duration;

use aws_lc_rs::hmac;
use data_encoding::{BASE64, HEXLOWER};
use http::HeaderName;
use orchestrator_types::FieldError;
use serde_json::{Map, Value};

const KEYS: [&str; 9] = [
    "header",
    "algorithm",
    "encoding",
    "prefix",
    "id_pointer",
    "id_header",
    "type_pointer",
    "account_pointer",
    "timestamp_header",
];
const POINTER_MAX: usize = 255;
const PREFIX_MAX: usize = 32;

/// What is wrong with settings where none are taken.
pub(super) fn none(settings: Option<&Value>) -> Vec<FieldError> {
    match settings {
        None | Some(Value::Null) => vec![],
        Some(Value::Object(fields)) if fields.is_empty() => vec![],
        Some(_) => vec![FieldError::new("", "this provider takes no settings: leave them out")],
    }
}

/// The one setting of a provider that takes a number of seconds, not more than `most`, which is also what it is by default.
pub(super) fn seconds(settings: Option<&Value>, key: &str, most: Duration) -> Result<Duration, Vec<FieldError>> {
    let fields = match settings {
        None | Some(Value::Null) => return Ok(most),
        Some(Value::Object(fields)) => fields,
        Some(_) => return Err(vec![FieldError::new("", format!("an object with `{key}`"))]),
    };
    let unknown = fields.keys().filter(|name| *name != key);
    let mut errors: Vec<FieldError> = unknown
        .map(|name| FieldError::new(format!("/{}", escaped(name)), format!("no such setting; there is `{key}`")))
        .collect();
    let range = 1..=most.as_secs();
    let wanted = fields.get(key).map(|value| value.as_u64().filter(|seconds| range.contains(seconds)));
    if wanted == Some(None) {
        errors.push(FieldError::new(format!("/{key}"), format!("whole seconds, 1 to {}", most.as_secs())));
    }
    if errors.is_empty() { Ok(wanted.flatten().map_or(most, Duration::from_secs)) } else { Err(errors) }
}

fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    Hex,
    Base64,
}

impl Encoding {
    pub(super) fn decode(self, text: &str) -> Option<Vec<u8>> {
        let encoding = match self {
            Self::Hex => HEXLOWER,
            Self::Base64 => BASE64,
        };
        encoding.decode(text.as_bytes()).ok()
    }

    pub(super) fn encode(self, bytes: &[u8]) -> String {
        match self {
            Self::Hex => HEXLOWER.encode(bytes),
            Self::Base64 => BASE64.encode(bytes),
        }
    }
}

/// Where an event's id stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum IdPlace<'s> {
    Pointer(&'s str),
    Header(HeaderName),
}

/// How a sender of its own scheme signs.
#[derive(Debug, Clone)]
pub(super) struct HmacSettings<'s> {
    pub(super) header: HeaderName,
    pub(super) algorithm: hmac::Algorithm,
    pub(super) encoding: Encoding,
    pub(super) prefix: &'s str,
    pub(super) id: IdPlace<'s>,
    pub(super) type_pointer: Option<&'s str>,
    pub(super) account_pointer: Option<&'s str>,
    pub(super) timestamp_header: Option<HeaderName>,
}

impl<'s> HmacSettings<'s> {
    /// Reads settings, or says everything that is wrong with them at once.
    pub(super) fn read(settings: Option<&'s Value>) -> Result<Self, Vec<FieldError>> {
        let Some(Value::Object(fields)) = settings else {
            return Err(vec![FieldError::new(
                "",
                "`hmac` needs settings: an object with `header` and `id_pointer` or `id_header`",
            )]);
        };
        let mut reader = Reader { fields, errors: vec![] };
        reader.known_keys();
        let header = reader.header("header");
        if header.is_none() && !fields.contains_key("header") {
            reader.wrong("header", "name the header that carries the signature");
        }
        let algorithm = reader.choice(
            "algorithm",
            hmac::HMAC_SHA256,
            &[
                ("sha256", hmac::HMAC_SHA256),
                ("sha512", hmac::HMAC_SHA512),
                ("sha1", hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY),
            ],
        );
        let encoding =
            reader.choice("encoding", Encoding::Hex, &[("hex", Encoding::Hex), ("base64", Encoding::Base64)]);
        let prefix = reader.prefix();
        let id = reader.id();
        let type_pointer = reader.pointer("type_pointer");
        let account_pointer = reader.pointer("account_pointer");
        let timestamp_header = reader.header("timestamp_header");
        if header.is_some() && header == timestamp_header {
            reader.wrong("timestamp_header", "must be another header than that of the signature");
        }
        if let Some(IdPlace::Header(name)) = &id
            && [&header, &timestamp_header].contains(&&Some(name.clone()))
        {
            reader.wrong("id_header", "must be another header than those of the signature and the time");
        }
        match (header, id, reader.errors) {
            (Some(header), Some(id), errors) if errors.is_empty() => {
                Ok(Self { header, algorithm, encoding, prefix, id, type_pointer, account_pointer, timestamp_header })
            }
            (_, _, errors) => Err(errors),
        }
    }
}

struct Reader<'s> {
    fields: &'s Map<String, Value>,
    errors: Vec<FieldError>,
}

impl<'s> Reader<'s> {
    fn wrong(&mut self, key: &str, detail: &str) {
        self.errors.push(FieldError::new(format!("/{key}"), detail));
    }

    fn known_keys(&mut self) {
        for key in self.fields.keys().filter(|key| !KEYS.contains(&key.as_str())) {
            let detail = format!("`hmac` has no such setting; it has {}", KEYS.join(", "));
            self.errors.push(FieldError::new(format!("/{}", escaped(key)), detail));
        }
    }

    fn text(&mut self, key: &str) -> Option<&'s str> {
        match self.fields.get(key)? {
            Value::String(text) => Some(text),
            _ => {
                self.wrong(key, "must be a text");
                None
            }
        }
    }

    fn header(&mut self, key: &str) -> Option<HeaderName> {
        let name = HeaderName::from_bytes(self.text(key)?.as_bytes()).ok().filter(|name| name.as_str().len() <= 64);
        if name.is_none() {
            self.wrong(key, "must be the name of a header, at most 64 characters");
        }
        name
    }

    fn pointer(&mut self, key: &str) -> Option<&'s str> {
        let pointer = Some(self.text(key)?).filter(|text| text.starts_with('/') && text.len() <= POINTER_MAX);
        if pointer.is_none() {
            self.wrong(key, "must be a JSON pointer into the body, as `/data/id`, at most 255 characters");
        }
        pointer
    }

    fn choice<T: Copy>(&mut self, key: &str, default: T, others: &[(&str, T)]) -> T {
        let Some(text) = self.text(key) else { return default };
        if let Some((_, chosen)) = others.iter().find(|(name, _)| *name == text) {
            return *chosen;
        }
        let names: Vec<&str> = others.iter().map(|(name, _)| *name).collect();
        self.wrong(key, &format!("must be one of {}", names.join(", ")));
        default
    }

    fn prefix(&mut self) -> &'s str {
        let prefix = self.text("prefix").unwrap_or_default();
        if prefix.len() > PREFIX_MAX || !prefix.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') {
            self.wrong("prefix", "must be at most 32 visible ASCII characters");
        }
        prefix
    }

    fn id(&mut self) -> Option<IdPlace<'s>> {
        match (self.fields.contains_key("id_pointer"), self.fields.contains_key("id_header")) {
            (true, false) => self.pointer("id_pointer").map(IdPlace::Pointer),
            (false, true) => self.header("id_header").map(IdPlace::Header),
            (false, false) => {
                self.wrong("id_pointer", "say where the event's id stands: `id_pointer` or `id_header`");
                None
            }
            (true, true) => {
                self.wrong("id_header", "name one of `id_pointer` and `id_header`, not both");
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use serde_json::json;

    use super::*;

    #[test]
    fn the_least_settings_are_sha256_in_hex() {
        let settings = json!({"header": "X-Signature", "id_pointer": "/id"});
        let read = HmacSettings::read(Some(&settings)).unwrap();
        assert_eq!((read.algorithm, read.encoding), (hmac::HMAC_SHA256, Encoding::Hex));
        assert_eq!((read.header.as_str(), read.id, read.prefix), ("x-signature", IdPlace::Pointer("/id"), ""));
    }

    #[test]
    fn every_wrong_setting_is_told_at_once() {
        let wrong = json!({
            "header": "bad header", "algorithm": "md5", "encoding": 1, "prefix": "é", "id_pointer": "id", "id_header": "x",
            "type_pointer": "", "account_pointer": [], "timestamp_header": "", "se/cret": "s3cr3t"
        });
        let errors = HmacSettings::read(Some(&wrong)).unwrap_err();
        let mut pointers: Vec<&str> = errors.iter().map(|error| error.pointer.as_str()).collect();
        pointers.sort_unstable();
        let expected = [
            "/account_pointer",
            "/algorithm",
            "/encoding",
            "/header",
            "/id_header",
            "/prefix",
            "/se~1cret",
            "/timestamp_header",
            "/type_pointer",
        ];
        assert_eq!(pointers, expected);
        assert!(errors.iter().all(|error| !error.detail.contains("s3cr3t")));
    }

    #[test]
    fn settings_that_lack_something_are_refused() {
        for (settings, pointers) in [
            (json!(null), vec![""]),
            (json!([]), vec![""]),
            (json!({}), vec!["/header", "/id_pointer"]),
            (json!({"header": "x"}), vec!["/id_pointer"]),
            (json!({"header": "x", "id_pointer": "id"}), vec!["/id_pointer"]),
            (json!({"header": "x", "id_header": "y", "timestamp_header": "X"}), vec!["/timestamp_header"]),
            (json!({"header": 1, "id_header": "y"}), vec!["/header"]),
            (json!({"header": "x", "id_header": "X"}), vec!["/id_header"]),
        ] {
            let errors = HmacSettings::read(Some(&settings)).unwrap_err();
            assert_eq!(errors.iter().map(|error| error.pointer.as_str()).collect::<Vec<_>>(), pointers, "{settings}");
        }
        assert!(HmacSettings::read(None).is_err());
    }

    #[test]
    fn a_provider_without_settings_takes_none() {
        assert!(none(None).is_empty() && none(Some(&json!({}))).is_empty());
        assert_eq!(none(Some(&json!({"a": 1}))).len(), 1);
    }
}
