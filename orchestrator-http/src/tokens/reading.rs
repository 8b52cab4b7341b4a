//! Reading a token's two JSON parts: pure functions, `None` for whatever is not exactly as it must be.

use jsonwebtoken::Algorithm;
use orchestrator_types::Timestamp;
use serde_json::{Map, Value};

use super::claims::Audience;
use super::jwks::{MAX_KID, algorithm_of};

/// The `typ` of the install's own tokens (RFC 9068).
pub(super) const OWN_TYPE: &str = "at+jwt";
const MAX_TEXT: usize = 255;
/// The end of the year 9999, in seconds: what lies beyond is no date.
const LAST_SECOND: f64 = 253_402_300_799.0;
/// What a header must not say: where to get a key, which extension to obey, that the payload is something else.
const FORBIDDEN: [&str; 9] = ["crit", "jku", "x5u", "jwk", "x5c", "b64", "zip", "enc", "cty"];

/// The algorithm of a client assertion's header; its key is known by the client, so it needs no key id.
pub(super) fn assertion_algorithm(header: &Map<String, Value>) -> Option<Algorithm> {
    if FORBIDDEN.iter().any(|name| header.contains_key(*name)) {
        return None;
    }
    algorithm_of(header.get("alg")?.as_str()?)
}

/// The algorithm and key id of a header.
pub(super) fn header(header: &Map<String, Value>) -> Option<(Algorithm, &str)> {
    let algorithm = assertion_algorithm(header)?;
    let kind = |kind: &Value| {
        kind.as_str().is_some_and(|kind| ["jwt", OWN_TYPE, "application/at+jwt"].contains(&&*kind.to_ascii_lowercase()))
    };
    if !header.get("typ").is_none_or(kind) {
        return None;
    }
    let kid = header.get("kid")?.as_str()?;
    let sound = (1..=MAX_KID).contains(&kid.len()) && kid.bytes().all(|byte| byte.is_ascii_graphic());
    sound.then_some((algorithm, kid))
}

/// Which of the `allowed` APIs a token is for. Own tokens name one; those of others may name further services beside it.
pub(super) fn audience(value: &Value, own: bool, allowed: &[Audience]) -> Option<Audience> {
    let ours = |name: &str| name.parse::<Audience>().ok();
    let audience = match value {
        Value::String(name) => ours(name)?,
        Value::Array(names) if !own => {
            let names = names.iter().map(Value::as_str).collect::<Option<Vec<&str>>>()?;
            let mut found = names.into_iter().filter_map(ours);
            match (found.next(), found.next()) {
                (Some(audience), None) => audience,
                _ => return None,
            }
        }
        _ => return None,
    };
    allowed.contains(&audience).then_some(audience)
}

/// Who acts for the subject: one step, never a chain.
pub(super) fn actor(value: &Value) -> Option<String> {
    let actor = value.as_object()?;
    if actor.contains_key("act") {
        return None;
    }
    text(actor.get("sub")?)
}

/// A claim that may be absent; what is there must be right.
pub(super) fn optional<T>(
    claims: &Map<String, Value>,
    name: &str,
    read: impl FnOnce(&Value) -> Option<T>,
) -> Option<Option<T>> {
    match claims.get(name) {
        None => Some(None),
        Some(value) => read(value).map(Some),
    }
}

/// A short text without control characters.
pub(super) fn text(value: &Value) -> Option<String> {
    value.as_str().filter(|text| is_text(text)).map(str::to_owned)
}

/// Whether it is one.
pub(super) fn is_text(text: &str) -> bool {
    (1..=MAX_TEXT).contains(&text.len()) && !text.chars().any(char::is_control)
}

/// A NumericDate (RFC 7519): a number of seconds, perhaps with a fraction, of a year that has four digits.
pub(super) fn date(value: &Value) -> Option<Timestamp> {
    let seconds = value.as_number()?.as_f64()?;
    // In range, so the cast loses the sub-millisecond part only.
    (0.0..=LAST_SECOND).contains(&seconds).then(|| Timestamp::from_unix_ms((seconds * 1000.0) as i64))
}
