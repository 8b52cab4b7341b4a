//! Redaction by value: takes secrets out of what others wrote, as an upstream that echoes our header in its error.
//!
//! One rule: where nothing matches, nothing is copied.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use data_encoding::{BASE64, BASE64_NOPAD, BASE64URL, BASE64URL_NOPAD, Encoding, HEXLOWER, HEXUPPER};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::Secret;

/// What stands in a secret's place.
pub const REDACTED: &str = "[redacted]";

/// Shorter secrets are not looked for: they would take half of every text with them.
const SHORTEST: usize = 6;

/// Finds secrets in texts and JSON: as they are, in base64 and base64url, in hex, URL-encoded and JSON-escaped.
///
/// Building one encodes each secret in every form; keep it for as long as the secrets stay.
#[derive(Clone, Default)]
pub struct Redactor {
    /// The secrets and their encoded forms, no two alike.
    needles: Vec<Secret>,
    /// Whether one of them could be read as a JSON number.
    numeric: bool,
}

impl Redactor {
    /// A redactor of these secrets. Those of fewer than six characters are left out.
    #[must_use]
    pub fn new(secrets: &[Secret]) -> Self {
        let long = |secret: &&Secret| secret.expose().chars().nth(SHORTEST - 1).is_some();
        let mut needles: Vec<Secret> = Vec::new();
        for form in secrets.iter().filter(long).flat_map(forms) {
            if needles.iter().all(|known| known.expose() != form.expose()) {
                needles.push(form);
            }
        }
        let numeric =
            needles.iter().any(|needle| needle.expose().bytes().all(|byte| b"0123456789+-.eE".contains(&byte)));
        Self { needles, numeric }
    }

    /// The text without the secrets; borrowed if there were none in it.
    #[must_use]
    pub fn text<'text>(&self, text: &'text str) -> Cow<'text, str> {
        let found = self.find(text);
        if found.is_empty() {
            return Cow::Borrowed(text);
        }
        let mut out = String::with_capacity(text.len());
        let mut kept = 0;
        for range in found {
            out.push_str(&text[kept..range.start]);
            out.push_str(REDACTED);
            kept = range.end;
        }
        out.push_str(&text[kept..]);
        Cow::Owned(out)
    }

    /// Takes the secrets out of every string, number and key of the value; whether there were any.
    pub fn value(&self, value: &mut Value) -> bool {
        if self.needles.is_empty() {
            return false;
        }
        match value {
            Value::Null | Value::Bool(_) => false,
            Value::Number(number) => {
                let found = self.numeric && !self.find(&number.to_string()).is_empty();
                if found {
                    *value = Value::String(REDACTED.to_owned());
                }
                found
            }
            Value::String(text) => match self.text(text) {
                Cow::Borrowed(_) => false,
                Cow::Owned(clean) => {
                    *text = clean;
                    true
                }
            },
            // Not `any`: every one of them must be seen.
            Value::Array(values) => values.iter_mut().fold(false, |found, value| self.value(value) | found),
            Value::Object(fields) => {
                let found = fields.values_mut().fold(false, |found, value| self.value(value) | found);
                self.keys(fields) | found
            }
        }
    }

    fn keys(&self, fields: &mut Map<String, Value>) -> bool {
        if fields.keys().all(|key| self.find(key).is_empty()) {
            return false;
        }
        for (key, value) in std::mem::take(fields) {
            let clean = self.text(&key).into_owned();
            // Two keys may become one; neither value may be lost.
            let mut free = clean.clone();
            let mut count = 1usize;
            while fields.contains_key(&free) {
                count += 1;
                free = format!("{clean} ({count})");
            }
            fields.insert(free, value);
        }
        true
    }

    /// Where any secret stands: in order, none touching the next. Allocates only if there is one.
    fn find(&self, text: &str) -> Vec<Range<usize>> {
        let mut found: Vec<Range<usize>> = Vec::new();
        for needle in self.needles.iter().map(Secret::expose).filter(|needle| needle.len() <= text.len()) {
            found.extend(text.match_indices(needle).map(|(start, match_)| start..start + match_.len()));
        }
        let (percent, plus, backslash) = (text.contains('%'), text.contains('+'), text.contains('\\'));
        for secret in self.needles.iter().map(Secret::expose) {
            if percent || (plus && secret.contains(' ')) {
                found.extend(escaped::find(text, |at| escaped::url(text, at, secret)));
            }
            if backslash {
                found.extend(escaped::find(text, |at| escaped::json(text, at, secret)));
            }
        }
        found.sort_unstable_by_key(|range| range.start);
        // One secret may be a part of another, or overlap it: what is left must hold no rest of either.
        found.dedup_by(|next, last| {
            let joined = next.start <= last.end;
            if joined {
                last.end = last.end.max(next.end);
            }
            joined
        });
        found
    }
}

impl fmt::Debug for Redactor {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Redactor({} forms)", self.needles.len())
    }
}

/// The secret as it is, and in the encodings that write it in one way only.
fn forms(secret: &Secret) -> impl Iterator<Item = Secret> {
    let bytes = secret.expose().as_bytes();
    let encoded = [
        BASE64.encode(bytes),
        BASE64_NOPAD.encode(bytes),
        BASE64URL.encode(bytes),
        BASE64URL_NOPAD.encode(bytes),
        HEXLOWER.encode(bytes),
        HEXUPPER.encode(bytes),
    ];
    let within = within_base64(bytes, &BASE64_NOPAD).into_iter().chain(within_base64(bytes, &BASE64URL_NOPAD));
    std::iter::once(secret.clone()).chain(encoded.map(Secret::new)).chain(within.map(Secret::new))
}

/// The secret somewhere inside of what was encoded, as a password is in `user:password`: its letters depend on where among
/// three bytes it begins, and those at its edges on what is around it. Those are left out.
fn within_base64(bytes: &[u8], encoding: &Encoding) -> [String; 3] {
    [(0, 0), (1, 2), (2, 3)].map(|(before, foreign)| {
        let padded = Zeroizing::new([&[0; 2][..before], bytes].concat());
        let text = Zeroizing::new(encoding.encode(&padded));
        let whole = text.len() - usize::from(!padded.len().is_multiple_of(3));
        text.get(foreign..whole).unwrap_or_default().to_owned()
    })
}

/// Writers differ in what they escape, so a text is compared as it would be read, character by character.
mod escaped {
    use std::ops::Range;

    /// Every place from which `matches` reads the secret to its end.
    pub(super) fn find(text: &str, matches: impl Fn(usize) -> Option<usize>) -> impl Iterator<Item = Range<usize>> {
        text.char_indices().filter_map(move |(start, _)| matches(start).map(|end| start..end))
    }

    /// The end of the secret in a URL or form that begins at `at`.
    pub(super) fn url(text: &str, mut at: usize, secret: &str) -> Option<usize> {
        let text = text.as_bytes();
        for wanted in secret.bytes() {
            let (read, length) = match *text.get(at)? {
                b'%' => match hex(text.get(at + 1..at + 3)) {
                    Some(code) => (u8::try_from(code).ok()?, 3),
                    None => (b'%', 1),
                },
                b'+' if wanted == b' ' => (b' ', 1),
                plain => (plain, 1),
            };
            if read != wanted {
                return None;
            }
            at += length;
        }
        Some(at)
    }

    /// The end of the secret in a JSON string that begins at `at`.
    pub(super) fn json(text: &str, mut at: usize, secret: &str) -> Option<usize> {
        for wanted in secret.chars() {
            let rest = text.get(at..)?;
            let (read, length) = match rest.strip_prefix('\\') {
                Some(rest) => escape(rest)?,
                None => rest.chars().next().map(|plain| (plain, plain.len_utf8()))?,
            };
            if read != wanted {
                return None;
            }
            at += length;
        }
        Some(at)
    }

    /// The character of an escape whose backslash has been read, and how long it is with it.
    fn escape(rest: &str) -> Option<(char, usize)> {
        let short = match rest.bytes().next()? {
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let unit = |at: usize| hex(rest.as_bytes().get(at..at + 4));
                let first = unit(1)?;
                let (units, length) = match first {
                    0xd800..=0xdbff => ([Some(first), unit(7).filter(|_| rest.get(5..7) == Some("\\u"))], 12),
                    _ => ([Some(first), None], 6),
                };
                let mut read = char::decode_utf16(units.into_iter().flatten());
                return read.next()?.ok().map(|char| (char, length));
            }
            same @ (b'"' | b'\\' | b'/') => char::from(same),
            _ => return None,
        };
        Some((short, 2))
    }

    fn hex(digits: Option<&[u8]>) -> Option<u16> {
        digits?.iter().try_fold(0, |value, digit| {
            let digit = char::from(*digit).to_digit(16)?;
            Some(value << 4 | u16::try_from(digit).ok()?)
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const HARD: &str = "pä\"ss/w?rd +1\\\n~!*'()é𝄞";

    fn redactor(secrets: &[&str]) -> Redactor {
        Redactor::new(&secrets.iter().map(|text| Secret::new((*text).to_owned())).collect::<Vec<_>>())
    }

    /// The forms as others make them, not as this module does.
    fn written(secret: &str) -> Vec<String> {
        let quoted = serde_json::to_string(secret).unwrap();
        let form: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
        let mut url = url::Url::parse("https://host/").unwrap();
        url.query_pairs_mut().append_pair("a", secret);
        vec![
            secret.to_owned(),
            BASE64.encode(secret.as_bytes()),
            BASE64_NOPAD.encode(secret.as_bytes()),
            BASE64URL.encode(secret.as_bytes()),
            BASE64URL_NOPAD.encode(secret.as_bytes()),
            secret.bytes().map(|byte| format!("{byte:02x}")).collect(),
            secret.bytes().map(|byte| format!("{byte:02X}")).collect(),
            quoted[1..quoted.len() - 1].to_owned(),
            form.clone(),
            form.replace('+', "%20"),
            url.query().unwrap()[2..].to_owned(),
        ]
    }

    #[test]
    fn inv_23_planted_secrets_are_found_in_every_form() {
        for secret in
            ["sk_live_51H8abcDEF", HARD, "123456", "a b c d", "-----BEGIN KEY-----\nMIIE+/=\n-----END KEY-----\n"]
        {
            let redactor = redactor(&[secret]);
            for form in written(secret) {
                for (before, after) in [("", ""), ("Bearer ", "\""), ("é", "é"), ("{\"token\":\"", "\"}")] {
                    let planted = format!("{before}{form}{after}");
                    assert_eq!(redactor.text(&planted), format!("{before}[redacted]{after}"), "{form}");
                }
            }
        }
    }

    #[test]
    fn inv_23_a_secret_inside_of_what_was_encoded_is_found() {
        let secret = "sk_live_51H8abcDEF~~~??";
        let redactor = redactor(&[secret]);
        for before in ["", "a", "ab", "abc", "user:", "Bearer "] {
            for after in ["", "!", "!!", "!!!", "\n"] {
                let text = format!("{before}{secret}{after}");
                for encoded in [BASE64.encode(text.as_bytes()), BASE64URL_NOPAD.encode(text.as_bytes())] {
                    let shown = redactor.text(&encoded).into_owned();
                    let rest = shown.replace(REDACTED, "");
                    // What is around it, and at most two letters that hold bits of its first and last byte.
                    let most = (before.len() + after.len()) * 4 / 3 + 8;
                    assert!(shown.contains(REDACTED) && rest.len() <= most, "{encoded} became {shown}");
                }
            }
        }
    }

    #[test]
    fn inv_23_ascii_json_and_escaped_slashes_are_found() {
        let redactor = redactor(&["pä/ss\u{1}𝄞"]);
        for form in [r"p\u00e4/ss\u0001\ud834\udd1e", r"p\u00E4\/ss\u0001\uD834\uDD1E", r"pä\/ss\u0001𝄞"] {
            assert_eq!(redactor.text(form), REDACTED, "{form}");
        }
    }

    #[test]
    fn inv_23_escapes_are_read_as_others_write_them() {
        let redactor = redactor(&["~~~~~~?s"]);
        for form in
            ["%7E%7e~~%7E~?s", "fn5+fn5+P3M=", "fn5%2Bfn5%2bP3M%3D", r"\u007e\u007E~~~~?s", r"fn5\u002bfn5+P3M\u003d"]
        {
            assert_eq!(redactor.text(form), REDACTED, "{form}");
        }
        for crooked in
            ["%", "%7", "%7é", "%zz~~~~~?s", "\\", r"\u", r"\u00", r"\u00é", r"\ud834", r"\ud834\u0041", r"\x"]
        {
            assert_eq!(redactor.text(crooked), crooked);
            assert_eq!(redactor.text(&format!("{crooked} ~~~~~~?s")), format!("{crooked} [redacted]"));
        }
    }

    #[test]
    fn inv_23_a_secret_is_taken_out_of_keys_strings_and_numbers_of_json() {
        let redactor = redactor(&["s3cr3t-token", "12345678"]);
        let mut value = json!({
            "s3cr3t-token": 1, "plain": ["x s3cr3t-token y", {"deep": "czNjcjN0LXRva2Vu"}], "pin": 12345678, "other": 1234567, "none": null
        });
        assert!(redactor.value(&mut value));
        let clean = json!({
            "[redacted]": 1, "plain": ["x [redacted] y", {"deep": "[redacted]"}], "pin": "[redacted]", "other": 1234567, "none": null
        });
        assert_eq!(value, clean);
        assert!(!redactor.value(&mut value), "a second time there is nothing");
    }

    #[test]
    fn inv_23_every_part_of_a_value_is_seen() {
        let redactor = redactor(&["s3cr3t-token"]);
        let mut value = json!(["s3cr3t-token", "s3cr3t-token", {"a": "s3cr3t-token", "s3cr3t-token": "s3cr3t-token"}]);
        assert!(redactor.value(&mut value));
        assert!(!value.to_string().contains("s3cr3t"));
    }

    #[test]
    fn keys_that_become_alike_keep_their_values() {
        let redactor = redactor(&["s3cr3t-one", "s3cr3t-two"]);
        let mut value = json!({"s3cr3t-one": 1, "s3cr3t-two": 2, "[redacted]": 3});
        assert!(redactor.value(&mut value));
        let mut values: Vec<i64> = value.as_object().unwrap().values().filter_map(Value::as_i64).collect();
        values.sort_unstable();
        assert_eq!(values, [1, 2, 3]);
    }

    #[test]
    fn inv_23_secrets_that_hold_or_overlap_each_other_leave_no_rest() {
        let redactor = redactor(&["abcdef", "abcdefghij", "hijklmn"]);
        assert_eq!(redactor.text("-abcdefghijklmn-"), "-[redacted]-");
        assert_eq!(redactor.text("abcdefghi"), "[redacted]ghi");
        assert_eq!(redactor.text("abcdef hijklmn"), "[redacted] [redacted]");
    }

    #[test]
    fn what_holds_no_secret_is_not_copied() {
        let redactor = redactor(&["s3cr3t-token", "short", ""]);
        for text in ["", "short", "s3cr3t-toke", "harmless é"] {
            assert!(matches!(redactor.text(text), Cow::Borrowed(same) if same == text));
        }
        let mut value = json!({"short": ["short", 1, true, null]});
        assert!(!redactor.value(&mut value));
        assert_eq!(value, json!({"short": ["short", 1, true, null]}));
        assert!(matches!(Redactor::default().text("s3cr3t-token"), Cow::Borrowed(_)));
    }

    #[test]
    fn six_characters_are_counted_not_bytes() {
        assert_eq!(redactor(&["ééééé"]).text("ééééé"), "ééééé");
        assert_eq!(redactor(&["éééééé"]).text("éééééé"), REDACTED);
    }

    #[test]
    fn inv_23_a_redactor_prints_no_secret() {
        assert!(!format!("{:?}", redactor(&["s3cr3t-token"])).contains("s3cr3t"));
    }

    proptest! {
        #[test]
        fn inv_23_no_secret_survives_wherever_it_is_planted(
            secret in "\\PC{6,24}", before in "\\PC{0,12}", after in "\\PC{0,12}", form in 0usize..11,
        ) {
            let planted = format!("{before}{}{after}", written(&secret)[form]);
            let clean = redactor(&[&secret]).text(&planted).into_owned();
            prop_assert!(clean.contains(REDACTED));
            let left = clean.replace(REDACTED, "");
            prop_assert!(left.len() <= before.len() + after.len());
        }
    }
}
